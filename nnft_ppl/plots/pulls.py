"""What a fit leaves of its data, in units of the noise, with all correlations."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from nnft_ppl._arguments import check_kind
from nnft_ppl._errors import SpecError
from nnft_ppl.inference.adequacy import pulls
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.inference.posterior import cutoff_number
from nnft_ppl.plots.prediction import cutoff_label
from nnft_ppl.plots.style import MUTED, Given, colors, ink, look, panels

_INTERVAL = 0.95


def plot_pulls(
    fit: CouplingFit, cutoff: float | None = None, *, ax: Given = None
) -> Figure:
    """Whitened residuals of a fit, and their quantiles beside a normal law's.

    Entries of a correlator share their noise, so that residuals entry by entry would
    show one fluctuation many times. These are of the modes in which the noise is
    independent: standard normal where the action fits within the noise, whatever the
    correlations, which is what the p-value of `CouplingFit.adequacy` tests. Above: each
    mode, with bands of one and two standard deviations. Below: sorted, against normal
    quantiles, with the 95 % band of each.

    Args:
        fit: To measured correlators.
        cutoff: One of its cutoffs; the only one when `None`.
        ax: Two axes to draw on instead of a new figure.

    Raises:
        SpecError: The fit has no such cutoff, several and none is given, or data
            without noise; or `ax` is not two Axes.
    """
    check_kind("fit", fit, CouplingFit)
    if cutoff is None:
        if len(fit.cutoffs) > 1:
            raise SpecError(
                f"`cutoff` is not given; expected one of {list(fit.cutoffs)}, the "
                "cutoffs of the fit"
            )
        cutoff = fit.cutoffs[0]
    which = cutoff_number(fit.cutoffs, cutoff)
    couplings = fit.dimensionless[:, :, which].mean(axis=(0, 1))
    found = pulls(fit.likelihood, which, couplings)
    if len(found) < 2:
        raise SpecError(
            f"{fit.correlators!r} have no noise beyond rounding to measure residuals "
            "by; expected a fit to measured correlators"
        )
    p_value = fit.adequacy()["p_value"][which]
    place = cutoff_label(float(cutoff))
    with look():
        drawn = panels(ax, [2.6, 3.4])
        above, below = drawn.axes
        for reach, alpha in ((2, 0.15), (1, 0.25)):
            above.axhspan(-reach, reach, color=MUTED, alpha=alpha, lw=0)
        above.axhline(0, color=ink(), lw=0.8)
        above.plot(np.arange(1, len(found) + 1), found, ".", color=colors()[0])
        above.set(
            title=rf"Pulls, $\Lambda = {place}$: p = {p_value:.2g}",
            xlabel="mode of the noise",
            ylabel="residual / noise",
        )
        _draw_quantiles(below, np.sort(found))
    return drawn.figure


def _draw_quantiles(axis: Axes, found: np.ndarray) -> None:
    """Sorted pulls against the normal law's medians of order statistics."""
    number = len(found)
    rank = np.arange(1, number + 1)
    tails = np.array([1 - _INTERVAL, 1, 1 + _INTERVAL])[:, None] / 2
    low, middle, high = stats.norm.ppf(stats.beta.ppf(tails, rank, number + 1 - rank))
    axis.fill_between(
        middle,
        low,
        high,
        color=MUTED,
        alpha=0.25,
        lw=0,
        label=f"{round(100 * _INTERVAL)} % of each",
    )
    axis.plot(middle, middle, "-", color=ink(), lw=0.8, label="normal law")
    axis.plot(middle, found, ".", color=colors()[0], label="pulls")
    axis.set(title="Quantiles", xlabel="normal quantile", ylabel="pull")
    axis.legend(loc="upper left")
