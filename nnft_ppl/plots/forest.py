"""Couplings in their natural units, cutoff by cutoff, of one or several fits."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.plots.given import labelled
from nnft_ppl.plots.prediction import cutoff_label
from nnft_ppl.plots.style import MUTED, Given, colored, look, panels, symbol

_TAILS = (5, 25, 50, 75, 95)
"""Percentiles: ends of 90 %, ends of 50 %, the median."""


def plot_forest(
    fits: CouplingFit | Sequence[CouplingFit] | Mapping[str, CouplingFit],
    *,
    ax: Given = None,
) -> Figure:
    """Dimensionless couplings with 50 % and 90 % intervals, a row a cutoff and fit.

    Couplings g run over many decades; N c = N g · scale is of order one where they are
    natural, at every cutoff, so that intervals can be compared (theory.md §6). One
    panel for each operator that occurs.

    Args:
        fits: One fit, several, or label -> fit.
        ax: Axes to draw on instead of a new figure, one for each operator.

    Raises:
        SpecError: No fits are given, or `ax` is not as many Axes as operators.
    """
    named = labelled(fits, CouplingFit)
    operators = {o.name: o for fit in named.values() for o in fit.action.operators}
    cutoffs = sorted({cutoff for fit in named.values() for cutoff in fit.cutoffs})
    height = 1.1 + len(cutoffs) * (0.18 + 0.14 * len(named))
    with look():
        drawn = panels(ax, [height] * len(operators))
        offsets = np.linspace(-0.25, 0.25, len(named)) if len(named) > 1 else [0.0]
        for axis, (name, operator) in zip(drawn.axes, operators.items(), strict=True):
            axis.axvline(0, color=MUTED, lw=0.8)
            for (label, fit), offset, (color, marker) in zip(
                named.items(), offsets, colored(), strict=False
            ):
                if name not in fit.action.names:
                    continue
                column = fit.action.names.index(name)
                couplings = fit.correlators.network.width * fit.dimensionless
                ends = np.percentile(couplings[..., column], _TAILS, axis=(0, 1))
                row = np.array([cutoffs.index(c) for c in fit.cutoffs]) + offset
                axis.hlines(row, ends[0], ends[4], color=color, lw=1.0)
                axis.hlines(row, ends[1], ends[3], color=color, lw=3.0)
                told = label if len(named) > 1 else "median, 50 %, 90 %"
                axis.plot(ends[2], row, marker, ms=5, color=color, label=told)
            axis.set_yticks(
                range(len(cutoffs)), [f"${cutoff_label(c)}$" for c in cutoffs]
            )
            axis.set_ylim(len(cutoffs) - 0.5, -0.5)
            axis.set(title=symbol(operator), ylabel=r"cutoff $\Lambda$")
            axis.set_xlabel("$N$ × dimensionless coupling")
        drawn.legend()
    return drawn.figure
