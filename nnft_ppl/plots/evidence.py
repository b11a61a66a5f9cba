"""Evidence of data against the width, and how far its weights can be trusted."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from nnft_ppl.bayes.evidence import EvidenceCurve
from nnft_ppl.bayes.weights import MIN_EFFECTIVE, largest_k
from nnft_ppl.plots.style import COLORS, INK, MARKERS, MUTED, look, panels

_ROUTES = {"weights": "by weights", "smc": "by tempered Monte Carlo", "nuts": "by NUTS"}


def plot_evidence(curve: EvidenceCurve) -> Figure:
    """Log evidence at every width with one standard error; the Gaussian process's.

    Widths without an evidence have no point.
    """
    table = curve.table
    with look():
        figure, axes = panels(1, 1, (7.0, 3.6))
        axis = axes[0][0]
        axis.axhline(
            curve.infinite, color=INK, lw=1.2, ls="--", label="Gaussian process"
        )
        axis.plot(table.index, table["log_evidence"], "-", color=MUTED, lw=0.8)
        for (method, label), color, marker in zip(
            _ROUTES.items(), COLORS, MARKERS, strict=False
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
        axis.set(title="Evidence", ylabel=r"$\log p(y)$")
        _width_axis(axis, curve)
        axis.legend(loc="best")
    return figure


def plot_weights(curve: EvidenceCurve) -> Figure:
    """Pareto k of the weights at every width, and how many draws they are worth.

    Left: k with the largest that is good for so many networks. Right: effective draws
    of the posterior, whatever it was found by, beside the number of networks drawn and
    the fewest that weights are trusted with. Weights of infinite k have no point.
    """
    table = curve.table
    with look():
        figure, axes = panels(1, 2, (8.0, 3.4))
        left, right = axes[0]
        limit = largest_k(curve.num_draws)
        fail = rf"weights fail above $\hat k$ = {limit:.2g}, or below {MIN_EFFECTIVE:g}"
        left.plot(table.index, table["pareto_k"], "o-", color=COLORS[0], lw=0.8)
        left.axhline(
            limit,
            color=COLORS[1],
            ls="--",
            lw=1.2,
            label=fail,
        )
        finite = table["pareto_k"].to_numpy()
        finite = finite[np.isfinite(finite)]
        left.set_ylim(
            min(0.0, finite.min(initial=0.0)) - 0.05,
            max(limit, finite.max(initial=0.0)) + 0.2,
        )
        left.set(title="Weights of networks", ylabel=r"Pareto $\hat k$")
        for (method, label), color, marker in zip(
            _ROUTES.items(), COLORS, MARKERS, strict=False
        ):
            rows = table[table["method"] == method]
            if len(rows):
                right.plot(
                    rows.index,
                    rows["effective_draws"],
                    marker,
                    color=color,
                    label=label,
                )
        right.axhline(
            curve.num_draws, color=INK, ls="--", lw=1.2, label="networks drawn"
        )
        right.axhline(MIN_EFFECTIVE, color=COLORS[1], ls="--", lw=1.2)
        right.set_yscale("log")
        right.set(title="What the posterior is worth", ylabel="effective draws")
        for axis in (left, right):
            _width_axis(axis, curve)
        found, labels = right.get_legend_handles_labels()
        fails, named = left.get_legend_handles_labels()
        figure.legend(
            [*found, *fails], [*labels, *named], loc="outside lower center", ncols=2
        )
    return figure


def _width_axis(axis: Axes, curve: EvidenceCurve) -> None:
    """Logarithmic, with a few widths named where they span less than a decade."""
    widths = curve.table.index.to_numpy()
    axis.set_xscale("log")
    axis.set_xlim(widths.min() / 1.5, widths.max() * 1.5)
    if widths.max() < 10 * widths.min():
        axis.set_xticks(widths, [str(width) for width in widths])
        axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("width $N$")
