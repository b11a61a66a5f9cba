"""Couplings against the cutoff, and how they run, of one or several fits."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnft_ppl._errors import SpecError, shown
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.inference.posterior import INTERVAL
from nnft_ppl.plots.given import labelled
from nnft_ppl.plots.style import (
    MUTED,
    Given,
    colored,
    ink,
    look,
    name_values,
    panels,
    symbol,
    widen,
)

_TAILS = (50 * (1 - INTERVAL), 50, 50 * (1 + INTERVAL))
"""Percentiles: lower end, median, upper end."""
_DECADE = 10.0
"""Couplings closer than this factor are drawn on a linear axis."""
_LEAST_SPAN = 1e-3
"""Of such an axis, relative to the couplings: what does not run looks so."""


@dataclass(frozen=True, eq=False)
class _Series:
    """One coupling of one fit: (cutoff,) arrays.

    Attributes:
        label: What it is called.
        color: Of its points.
        marker: Of its points.
        fit: Where it is from.
        number: Of the operator in the action.
        lower: End of the interval of g.
        middle: Median.
        upper: The other end.
    """

    label: str
    color: str
    marker: str
    fit: CouplingFit
    number: int
    lower: np.ndarray
    middle: np.ndarray
    upper: np.ndarray

    @property
    def decided(self) -> np.ndarray:
        """Whether the interval has one sign."""
        return np.asarray(self.lower * self.upper > 0)

    @property
    def reach(self) -> np.ndarray:
        """The end of the interval that is farther from zero."""
        return np.maximum(np.abs(self.lower), np.abs(self.upper))


def plot_couplings(
    fits: CouplingFit | Sequence[CouplingFit] | Mapping[str, CouplingFit],
    *,
    operators: Collection[str] | None = None,
    ax: Given = None,
) -> Figure:
    """Each coupling g(Λ) with its 90 % interval; below, the exponent of its running.

    Where all are within a decade the axis is linear, with signs; else |g| is on a
    logarithmic one, with the sign in the legend. Without two finite cutoffs in one fit
    nothing runs, and only the couplings are drawn. g has the dimension that makes the
    action a pure number (docs/running.md).

    Args:
        fits: One fit, several, or label -> fit.
        operators: Names of those to draw, such as one of which the couplings have one
            unit; every operator unless given.
        ax: Axes to draw on instead of a new figure: two, or one where nothing runs.

    Raises:
        SpecError: No fits are given, `operators` are not names of which each fit has
            one, or `ax` is not as many Axes as panels.
    """
    named = labelled(fits, CouplingFit)
    _check_operators(named, operators)
    runs = any(np.isfinite(fit.cutoffs).sum() > 1 for fit in named.values())
    with look():
        drawn = panels(ax, [3.4, 2.6] if runs else [3.2], sharex=True)
        series = _collect(named, operators)
        place = _beyond(named.values())
        _draw_sizes(drawn.axes[0], series, place)
        if runs:
            for one in series:
                _draw_exponent(drawn.axes[1], one)
            _finish_exponents(drawn.axes[1])
            _name_cutoffs(drawn.axes[1], series)
        drawn.label_x(r"cutoff $\Lambda$")
        drawn.legend()
    return drawn.figure


def _check_operators(
    named: Mapping[str, CouplingFit], operators: Collection[str] | None
) -> None:
    """Refuse a choice that leaves nothing to draw of a fit."""
    if operators is None:
        return
    for label, fit in named.items():
        if isinstance(operators, str) or not set(operators) & set(fit.action.names):
            raise SpecError(
                f"`operators` is {shown(operators)}; expected a list of names with one "
                f"at least of {list(fit.action.names)}, those of {label}"
            )


def _collect(
    named: Mapping[str, CouplingFit], operators: Collection[str] | None
) -> list[_Series]:
    """Everything that is drawn, one entry per coupling of every fit."""
    series, looks = [], colored()
    for name, fit in named.items():
        couplings = fit.dimensionless / fit.likelihood.scale
        quantiles = np.percentile(couplings, _TAILS, axis=(0, 1))
        for i, operator in enumerate(fit.action.operators):
            if operators is not None and operator.name not in operators:
                continue
            text = symbol(operator)
            label = text if len(named) == 1 else f"{name}: {text}"
            series.append(_Series(label, *next(looks), fit, i, *quantiles[..., i]))
    return series


def _beyond(fits: Collection[CouplingFit]) -> float:
    """Where an infinite cutoff is drawn: a decade beyond the largest."""
    finite = [c for fit in fits for c in fit.cutoffs if np.isfinite(c)]
    return 10 * max(finite) if finite else 1.0


def _draw_sizes(axis: Axes, series: Sequence[_Series], beyond: float) -> None:
    """Signed couplings on a linear axis, or |g| on a logarithmic one."""
    reach = np.concatenate([one.reach for one in series])
    linear = bool(reach.max() < _DECADE * reach.min())
    shifts = np.linspace(-1, 1, len(series) + 2)[1:-1] * 0.02
    for one, shift in zip(series, shifts, strict=True):
        cutoffs = np.array(one.fit.cutoffs)
        x = np.where(np.isfinite(cutoffs), cutoffs, beyond) * np.exp(shift)
        shown = np.ones(len(x), bool) if linear else one.decided
        label = f"{one.label}, {_sign(one)}" if shown.any() else None
        if linear:
            middle, least, most = one.middle, one.lower, one.upper
        else:
            middle = np.abs(one.middle)
            least, most = np.sort(np.abs([one.lower, one.upper]), axis=0)
        axis.errorbar(
            x[shown],
            middle[shown],
            yerr=[(middle - least)[shown], (most - middle)[shown]],
            fmt=one.marker,
            ms=4.5,
            capsize=2.5,
            color=one.color,
            label=label,
        )
        if not shown.all():
            axis.plot(
                x[~shown],
                most[~shown],
                "v",
                mfc="none",
                color=one.color,
                label=f"{one.label}, sign undetermined: upper end of $|g|$",
            )
    axis.set_xscale("log")
    if linear:
        low, high = axis.get_ylim()
        missing = _LEAST_SPAN * reach.max() - (high - low)
        if missing > 0:
            axis.set_ylim(low - missing / 2, high + missing / 2)
        axis.ticklabel_format(axis="y", useOffset=False)
    else:
        axis.set_yscale("log")
    name = "coupling $g$" if linear else "coupling $|g|$"
    axis.set(ylabel=name, title=f"Couplings, {round(100 * INTERVAL)} % intervals")
    _name_cutoffs(axis, series)
    _mark_infinity(axis, series, beyond)


def _name_cutoffs(axis: Axes, series: Sequence[_Series]) -> None:
    cutoffs = np.concatenate([one.fit.cutoffs for one in series])
    name_values(axis, cutoffs[np.isfinite(cutoffs)])


def _sign(one: _Series) -> str:
    values = one.middle[one.decided]
    if not values.size:
        return "sign undetermined"
    if (values < 0).all():
        return "negative"
    return "positive" if (values > 0).all() else "of both signs"


def _mark_infinity(axis: Axes, series: Sequence[_Series], beyond: float) -> None:
    """Write ∞ where the infinite cutoff is drawn."""
    infinite = ~np.isfinite(np.concatenate([one.fit.cutoffs for one in series]))
    if not infinite.any():
        return
    if infinite.all():
        axis.set_xlim(beyond / 10, beyond * 10)
        axis.set_xticks([beyond], [r"$\infty$"])
        axis.minorticks_off()
        return
    axis.axvline(beyond, color=MUTED, lw=0.8, ls=":")
    axis.annotate(
        r"$\Lambda = \infty$",
        (beyond, 1.0),
        xycoords=("data", "axes fraction"),
        ha="right",
        va="top",
        rotation=90,
        fontsize="small",
        color=ink(),
    )


def _draw_exponent(axis: Axes, one: _Series) -> None:
    """Exponent d log|g|/d log Λ with its interval, and the theory's.

    Both by differences between neighbouring cutoffs, which far apart are not local.
    """
    finite = np.isfinite(one.fit.cutoffs)
    if finite.sum() < 2:
        return
    cutoffs = np.array(one.fit.cutoffs)[finite]
    running = one.fit.running()
    exponent = running["exponent"].values[:, :, finite, one.number]
    axis.plot(
        cutoffs,
        running["theory_exponent"].values[finite, one.number],
        "-",
        color=one.color,
        lw=1.3,
        alpha=0.6,
        label=f"{one.label} alone, theory",
    )
    decided = one.decided[finite]
    if not decided.any():
        return
    lower, middle, upper = np.percentile(exponent, _TAILS, axis=(0, 1))
    axis.errorbar(
        cutoffs[decided],
        middle[decided],
        yerr=[(middle - lower)[decided], (upper - middle)[decided]],
        fmt=one.marker,
        ms=4.5,
        capsize=2.5,
        color=one.color,
        label=f"{one.label}, from the fits",
    )


def _finish_exponents(axis: Axes) -> None:
    axis.set_xscale("log")
    axis.set(ylabel=r"$d\,\log|g|\,/\,d\,\log\Lambda$", title="Running")
    widen(axis)
    axis.ticklabel_format(axis="y", useOffset=False)
