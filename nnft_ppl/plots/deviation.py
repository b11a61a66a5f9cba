"""Deviation of the 2-, 4- and 6-pt functions from the Gaussian process by width."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.deviation import Deviation, mean_deviation
from nnft_ppl.correlators.origin import EXACT, origin_of
from nnft_ppl.correlators.sampled.estimators import ESTIMATORS
from nnft_ppl.plots.given import several
from nnft_ppl.plots.style import (
    MUTED,
    Given,
    colored,
    colors,
    ink,
    look,
    name_values,
    panels,
    plain,
)

_TAIL = "heavy tail: not to be trusted"
_ZERO = 1e-13
"""Exact deviations below this are rounding: they are zero."""


def plot_deviation(
    correlators: Correlators
    | Sequence[Correlators]
    | Mapping[str, Sequence[Correlators]],
    *,
    ax: Given = None,
) -> Figure:
    """Mean over entries of |G − G_GP|/|G_GP| against width, one panel per order.

    Of even orders: odd ones are for `sign_symmetry`.
    Where no kernel is known the 2-pt function is that of the Gaussian process, and has
    no panel.

    Args:
        correlators: Any mixture of widths and estimators of one architecture. Exact
            ones are drawn as a line, plain moments as open circles with their noise
            level, other estimators as filled points with one standard error. Or
            label -> such a mixture, of different architectures perhaps: each label has
            its colour, its exact ones joined by a line, and no noise level.
        ax: Axes to draw on instead of a new figure, one for each order.

    Raises:
        SpecError: No correlators are given, or not as many axes as orders.
    """
    series: dict[str, list[Correlators]] = {}
    if isinstance(correlators, Mapping):
        for label, given in correlators.items():
            series[plain(str(label))] = several("correlators", given, Correlators)
        correlators = [one for given in series.values() for one in given]
    correlators = several("correlators", correlators, Correlators)
    orders = sorted({k for c in correlators for k in c.orders if k % 2 == 0})
    if len(orders) > 1 and not any(c.network.has_kernel for c in correlators):
        orders.remove(2)  # the Gaussian process has the 2-pt function of each
    with look():
        drawn = panels(ax, [2.6] * len(orders), sharex=True)
        for axis, order in zip(drawn.axes, orders, strict=True):
            axis.set(title=f"{order}-point function")
            axis.set_xscale("log")
            axis.set_yscale("log", nonpositive="clip")
            if series:
                _overlay(axis, series, order)
            else:
                _panel(axis, [c for c in correlators if order in c.orders], order)
            _name_widths(axis, [c for c in correlators if order in c.orders])
            axis.set_ylabel(r"mean $|G-G_{GP}|\,/\,|G_{GP}|$")
        drawn.label_x("width $N$")
        drawn.legend()
    return drawn.figure


def _panel(axis: Axes, correlators: Sequence[Correlators], order: int) -> None:
    """One order: a series per estimator."""
    series: dict[str, dict[int, Deviation]] = {}
    for c in correlators:
        series.setdefault(c.estimator, {})[c.network.width] = mean_deviation(c, order)
    for estimator, by_width in sorted(series.items()):
        if origin_of(estimator) is EXACT:
            continue
        widths = np.array(sorted(by_width))
        rows = [by_width[w] for w in widths]
        value, error, background = (
            np.array([getattr(row, name) for row in rows])
            for name in ("value", "error", "background")
        )
        tail = np.array([row.is_heavy_tailed for row in rows])
        if tail.any():
            axis.plot(
                widths[tail], value[tail], "x", ms=9, color=ink(), mew=0.9, label=_TAIL
            )
        route = ESTIMATORS.get(estimator)
        label = f"{estimator} (1 sd)" if route is None else route.label
        if route is not None and route.shows_background:
            axis.plot(widths, value, "o", mfc="none", color=colors()[1], label=label)
            axis.plot(
                widths,
                background,
                "--",
                color=MUTED,
                lw=1.2,
                label=f"background of the {label} (1 sd)",
            )
        else:
            axis.errorbar(
                widths,
                value,
                yerr=error,
                fmt="s",
                ms=4.5,
                capsize=2.5,
                color=colors()[0],
                label=label,
            )
    for estimator, by_width in series.items():
        if origin_of(estimator) is EXACT:
            _exact_line(axis, by_width)


def _overlay(
    axis: Axes, series: Mapping[str, Sequence[Correlators]], order: int
) -> None:
    """One order of everything that has it: a colour a label."""
    is_seen = False
    for (label, given), (color, marker) in zip(series.items(), colored(), strict=False):
        here = sorted(
            (c for c in given if order in c.orders), key=lambda c: c.network.width
        )
        if not here:
            continue
        rows = [mean_deviation(c, order) for c in here]
        widths = np.array([c.network.width for c in here])
        value, error = (
            np.array([getattr(row, name) for row in rows])
            for name in ("value", "error")
        )
        seen = value > _ZERO  # an exact zero has no place on a logarithmic axis
        is_seen |= bool(seen.any())
        line = "-" if all(c.is_exact for c in here) else ""
        axis.errorbar(
            widths[seen],
            value[seen],
            yerr=error[seen],
            fmt=f"{marker}{line}",
            ms=4.5,
            lw=1.2,
            elinewidth=1.2,
            capsize=2.5,
            color=color,
            label=label if seen.any() else None,
        )
        tail = np.array([row.is_heavy_tailed for row in rows])
        if tail.any():
            axis.plot(
                widths[tail], value[tail], "x", ms=9, color=ink(), mew=0.9, label=_TAIL
            )
    if not is_seen:
        axis.text(0.03, 0.9, "zero, to rounding", transform=axis.transAxes, va="top")


def _name_widths(axis: Axes, correlators: Sequence[Correlators]) -> None:
    every = [c.network.width for c in correlators]
    axis.set_xlim(min(every) / 1.5, max(every) * 1.5)  # one width alone has no span
    name_values(axis, every)


def _exact_line(axis: Axes, by_width: dict[int, Deviation]) -> None:
    """A line, or a note where the exact deviation is zero."""
    widths = np.array(sorted(by_width))
    value = np.array([by_width[width].value for width in widths])
    if value.max() < _ZERO:
        axis.set_ylim(top=axis.get_ylim()[1] * 8)  # room for the note
        axis.text(
            0.97,
            0.97,
            "exact deviation: zero at every width;\nall points are sampling noise",
            transform=axis.transAxes,
            ha="right",
            va="top",
            fontsize=8.5,
            color=ink(),
        )
        return
    axis.plot(widths, value, "-", color=ink(), lw=1.3, zorder=1, label="exact")
