"""The noise of measured correlators: how entries correlate, and the modes of that."""

import numpy as np
from matplotlib.figure import Figure

from nnft_ppl._arguments import check_kind
from nnft_ppl._errors import SpecError
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.plots.style import MUTED, Given, colors, look, panels


def plot_correlation(
    correlators: Correlators, order: int = 4, *, ax: Given = None
) -> Figure:
    """Correlation matrix of the entries of a connected correlator, and its eigenvalues.

    Entries come from the same networks, so that their errors are alike: bars that look
    independent are not. Above: correlation coefficients, in the order of `entries`.
    Below: the eigenvalues of that matrix, largest first, and the share of the variance
    that the largest have together. A line marks the number of batch means that the
    covariance is from: fewer than entries, and the last eigenvalues are rounding.

    Args:
        correlators: Measured.
        order: k.
        ax: Two axes to draw on instead of a new figure.

    Raises:
        SpecError: They are exact and have no noise, lack the order, or `ax` is not two
            Axes.
    """
    check_kind("correlators", correlators, Correlators)
    if correlators.is_exact:
        raise SpecError(
            f"{correlators!r} have no sampling noise to be correlated; expected "
            "those of measure_correlators or correlators_from_draws"
        )
    covariance = correlators.covariance(order)
    error = correlators.connected_error(order)
    alive = error > 0
    matrix = covariance[np.ix_(alive, alive)] / np.outer(error[alive], error[alive])
    eigenvalues = np.maximum(np.linalg.eigvalsh(matrix)[::-1], 0.0)
    with look():
        drawn = panels(ax, [4.2, 2.6])
        above, below = drawn.axes
        image = above.imshow(matrix, vmin=-1, vmax=1, cmap="RdBu_r", aspect="equal")
        above.grid(visible=False)
        above.set(
            title=f"Correlation of {len(matrix)} entries of $G_{{{order}c}}$",
            xlabel="entry",
            ylabel="entry",
        )
        drawn.figure.colorbar(image, ax=above, label="coefficient of correlation")
        blue, orange, *_ = colors()
        number = np.arange(1, len(eigenvalues) + 1)
        seen = eigenvalues > 0
        below.plot(number[seen], eigenvalues[seen], "o", ms=3.5, color=blue)
        below.set_yscale("log")
        below.set_ylabel("eigenvalue", color=blue)
        share = np.cumsum(eigenvalues) / np.sum(eigenvalues)
        enough = int(np.searchsorted(share, 0.99)) + 1
        below.axvline(
            enough + 0.5, color=orange, ls="--", lw=1.2, label=f"99 % in {enough}"
        )
        if correlators.num_batches < len(eigenvalues):
            below.axvline(
                correlators.num_batches, color=MUTED, ls=":", label="batch means"
            )
        below.set(title="Eigenmodes", xlabel="mode, largest first")
        below.legend(loc="best")
    return drawn.figure
