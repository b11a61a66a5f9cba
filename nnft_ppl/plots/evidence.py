"""Evidence of data against the width, and how far its weights can be trusted."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnft_ppl._arguments import check_kind
from nnft_ppl.bayes.evidence import EvidenceCurve
from nnft_ppl.bayes.weights import MIN_EFFECTIVE, largest_k
from nnft_ppl.plots.style import (
    MUTED,
    Given,
    colored,
    colors,
    ink,
    look,
    name_values,
    panels,
)

_ROUTES = {"weights": "by weights", "smc": "by tempered Monte Carlo", "nuts": "by NUTS"}


def plot_evidence(curve: EvidenceCurve, *, ax: Given = None) -> Figure:
    """Log evidence at every width with one standard error; the Gaussian process's.

    Widths without an evidence have no point.

    Args:
        curve: From `evidence_by_width`.
        ax: Axes to draw on instead of a new figure.

    Raises:
        SpecError: It is no such curve, or `ax` is not one Axes.
    """
    check_kind("curve", curve, EvidenceCurve)
    table = curve.table
    with look():
        drawn = panels(ax, [3.4])
        axis = drawn.axes[0]
        axis.axhline(
            curve.infinite, color=ink(), lw=1.2, ls="--", label="Gaussian process"
        )
        axis.plot(table.index, table["log_evidence"], "-", color=MUTED, lw=0.8)
        for (method, label), (color, marker) in zip(
            _ROUTES.items(), colored(), strict=False
        ):
            rows = table[table["method"] == method]
            if len(rows) and np.isfinite(rows["log_evidence"]).any():
                known = rows["error"].where(np.isfinite(rows["error"]))
                axis.errorbar(
                    rows.index,
                    rows["log_evidence"],
                    yerr=known,
                    fmt=marker,
                    ms=4.5,
                    capsize=2.5,
                    color=color,
                    label=f"{label} (1 sd)",
                )
        axis.set(title="Evidence", ylabel=r"$\log p(y)$, nats")
        _width_axis(axis, curve)
        drawn.label_x("width $N$")
        axis.legend(loc="best")
    return drawn.figure


def plot_weights(curve: EvidenceCurve, *, ax: Given = None) -> Figure:
    """Pareto k of the weights at every width, and how many draws they are worth.

    Above: k with the largest that is good for so many networks. Below: effective draws
    of the posterior, whatever it was found by, beside the number of networks drawn and
    the fewest that weights are trusted with. Weights of infinite k have no point.

    Args:
        curve: From `evidence_by_width`.
        ax: Two axes to draw on instead of a new figure.

    Raises:
        SpecError: It is no such curve, or `ax` is not two Axes.
    """
    check_kind("curve", curve, EvidenceCurve)
    table = curve.table
    with look():
        drawn = panels(ax, [2.3, 2.9], sharex=True)
        above, below = drawn.axes
        limit = largest_k(curve.num_draws)
        fail = rf"weights fail above $\hat k$ = {limit:.2g}, or below {MIN_EFFECTIVE:g}"
        above.plot(table.index, table["pareto_k"], "o-", color=colors()[0], lw=0.8)
        above.axhline(
            limit,
            color=colors()[1],
            ls="--",
            lw=1.2,
            label=fail,
        )
        finite = table["pareto_k"].to_numpy()
        finite = finite[np.isfinite(finite)]
        above.set_ylim(
            min(0.0, finite.min(initial=0.0)) - 0.05,
            max(limit, finite.max(initial=0.0)) + 0.2,
        )
        above.set(title="Weights of networks", ylabel=r"Pareto $\hat k$")
        for (method, label), (color, marker) in zip(
            _ROUTES.items(), colored(), strict=False
        ):
            rows = table[table["method"] == method]
            if len(rows):
                below.plot(
                    rows.index,
                    rows["effective_draws"],
                    marker,
                    color=color,
                    label=label,
                )
        below.axhline(
            curve.num_draws, color=ink(), ls="--", lw=1.2, label="networks drawn"
        )
        below.axhline(MIN_EFFECTIVE, color=colors()[1], ls="--", lw=1.2)
        below.set_yscale("log")
        below.set(title="What the posterior is worth", ylabel="effective draws")
        for axis in (above, below):
            _width_axis(axis, curve)
        drawn.label_x("width $N$")
        drawn.legend()
    return drawn.figure


def _width_axis(axis: Axes, curve: EvidenceCurve) -> None:
    """Logarithmic, with a few widths named where they span little."""
    widths = curve.table.index.to_numpy()
    axis.set_xscale("log")
    axis.set_xlim(widths.min() / 1.5, widths.max() * 1.5)
    name_values(axis, widths)
