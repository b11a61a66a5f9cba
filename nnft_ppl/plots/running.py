"""How couplings run, for one or several networks: couplings, laws, local exponents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nnft_ppl._numbers import with_error
from nnft_ppl.eft.flow.exponents import running_alone
from nnft_ppl.eft.flow.relevance import relevance
from nnft_ppl.inference.law.result import RunningFit
from nnft_ppl.inference.posterior import INTERVAL
from nnft_ppl.inference.verdict import Verdict
from nnft_ppl.plots.given import labelled
from nnft_ppl.plots.style import MUTED, Given, colored, ink, look, panels, symbol, widen

_TAILS = (50 * (1 - INTERVAL), 50, 50 * (1 + INTERVAL))
"""Percentiles: lower end, median, upper end."""
_PER_DECADE = 12
"""Cutoffs a decade at which the theory is drawn."""


@dataclass(frozen=True, eq=False)
class _Series:
    """One coupling of one network, as it is drawn."""

    label: str
    color: str
    marker: str
    cutoffs: np.ndarray
    coupling: np.ndarray
    error: np.ndarray
    law: np.ndarray
    slope: np.ndarray
    exponent: tuple[float, float]
    curvature: float | None
    verdict: Verdict
    grid: np.ndarray
    theory: np.ndarray
    local: np.ndarray
    mean_exponent: np.ndarray
    asymptote: float


def plot_running(
    fits: RunningFit | Sequence[RunningFit] | Mapping[str, RunningFit],
    *,
    ax: Given = None,
) -> Figure:
    """Couplings against the cutoff with the laws fitted to them; below, the exponents.

    Upper panel: |g| at each cutoff with its error (shared between the cutoffs), the
    theory's coupling of that operator alone as a line through them, and the fitted law
    dashed with its 90 % band, its exponent with one standard deviation in the legend,
    and the verdict of `RunningFit.summary` where the law is not said to describe the
    running. Lower panel:
    the theory's local exponent as a line, that of the fitted law dashed with its 90 %
    band, the exponents between neighbouring cutoffs as
    points, on bars that span the interval, with the theory averaged over the same
    interval as a ring around each; dotted, the limit Λ → ∞.

    Args:
        fits: One fit, several, or label -> fit.
        ax: Two axes to draw on instead of a new figure.

    Raises:
        SpecError: No fits are given, or `ax` is not two Axes.
    """
    fits = labelled(fits, RunningFit)
    with look():
        drawn = panels(ax, [4.2, 3.4], sharex=True)
        upper, lower = drawn.axes
        for one in _collect(fits):
            _draw_couplings(upper, one)
            _draw_exponents(lower, one)
        upper.set_xscale("log")
        upper.set_yscale("log")
        upper.set_ylabel("coupling $|g|$")
        drawn.label_x(r"cutoff $\Lambda$")
        lower.set_ylabel(r"exponent $d\,\log|g|\,/\,d\,\log\Lambda$")
        lower.ticklabel_format(axis="y", useOffset=False)
        widen(lower)
        _legends(upper, lower)
    return drawn.figure


def _collect(fits: Mapping[str, RunningFit]) -> list[_Series]:
    """Everything that is drawn, one entry per coupling of every fit."""
    series = []
    looks = colored()
    for label, fit in fits.items():
        network, x = fit.correlators.network, fit.correlators.x
        cutoffs = np.array(fit.cutoffs)
        decades = np.log10(cutoffs[-1] / cutoffs[0])
        number = max(2, int(np.ceil(_PER_DECADE * decades)) + 1)
        grid = np.geomspace(cutoffs[0], cutoffs[-1], number)
        everywhere = np.concatenate([grid, cutoffs])
        local, log_theory = running_alone(fit.action, network, x, everywhere)
        order = relevance(fit.action, network, x, cutoffs[-1:])
        limits = dict(zip(order["operator"], order["asymptotic"], strict=True))
        rows = fit.summary().to_dict("records")
        law = np.percentile(np.abs(fit.law(grid)), _TAILS, axis=(0, 1))
        logs = np.log(grid / fit.reference)[:, None]
        slopes = fit.exponent[:, :, None] + fit.curvature[:, :, None] * logs
        slope = np.percentile(slopes, _TAILS, axis=(0, 1))
        for i, operator in enumerate(fit.action.operators):
            color, marker = next(looks)
            size = np.abs(fit.coupling[:, i])
            on_grid, at_cutoffs = np.split(log_theory[:, i], [len(grid)])
            level = np.mean(np.log(size) - at_cutoffs)
            row = rows[i]
            series.append(
                _Series(
                    label=f"{label}: {symbol(operator)}",
                    color=color,
                    marker=marker,
                    cutoffs=cutoffs,
                    coupling=size,
                    error=size * fit.relative_error[:, i],
                    law=law[..., i],
                    slope=slope[:, :, i],
                    exponent=(float(row["exponent"]), float(row["exponent_sd"])),
                    curvature=float(row["curvature"]) if fit.has_curvature else None,
                    verdict=Verdict(row["verdict"]),
                    grid=grid,
                    theory=np.exp(on_grid + level),
                    local=local[: len(grid), i],
                    mean_exponent=np.diff(at_cutoffs) / np.diff(np.log(cutoffs)),
                    asymptote=float(limits[operator.name]),
                )
            )
    return series


def _draw_couplings(axis: Axes, one: _Series) -> None:
    axis.plot(one.grid, one.theory, "-", color=one.color, lw=1.1, alpha=0.55)
    lower, middle, upper = one.law
    axis.fill_between(one.grid, lower, upper, color=one.color, alpha=0.2, lw=0)
    axis.plot(one.grid, middle, "--", color=one.color, lw=1.3)
    axis.errorbar(
        one.cutoffs,
        one.coupling,
        yerr=one.error,
        fmt=one.marker,
        ms=4.5,
        mec="white",
        mew=0.5,
        capsize=2,
        color=one.color,
        label=_law_text(one),
    )


def _draw_exponents(axis: Axes, one: _Series) -> None:
    """Between neighbouring cutoffs: theory and fit averaged over the same interval."""
    logs = np.log(one.cutoffs)
    centre = np.exp((logs[1:] + logs[:-1]) / 2)
    measured = np.diff(np.log(one.coupling)) / np.diff(logs)
    axis.plot(one.grid, one.local, "-", color=one.color, lw=1.1, alpha=0.55)
    axis.hlines(measured, one.cutoffs[:-1], one.cutoffs[1:], color=one.color, lw=0.8)
    axis.plot(
        centre,
        one.mean_exponent,
        "o",
        ms=8,
        mfc="none",
        mew=0.8,
        color=one.color,
        alpha=0.7,
    )
    axis.plot(centre, measured, one.marker, ms=4, mec="white", mew=0.5, color=one.color)
    if np.isfinite(one.asymptote):
        axis.axhline(one.asymptote, color=one.color, lw=0.9, ls=":")
    lower, middle, upper = one.slope
    axis.fill_between(one.grid, lower, upper, color=one.color, alpha=0.15, lw=0)
    axis.plot(one.grid, middle, "--", color=one.color, lw=1.3)


def _law_text(one: _Series) -> str:
    """The coupling and its law, with the verdict where it is not a good one."""
    power = rf"\propto \Lambda^{{{with_error(*one.exponent)}}}$"
    if one.curvature is not None:
        slope = f"{one.curvature:+.2g}".replace("-", "−")
        power += rf" at $\Lambda^*$, running by ${slope}$ per $\log\Lambda$"
    law = f"{one.label} ${power}"
    return law if one.verdict is Verdict.DESCRIBES else f"{law} ({one.verdict})"


def _legends(upper: Axes, lower: Axes) -> None:
    found, labels = upper.get_legend_handles_labels()
    lines = [
        Line2D([], [], color=ink(), lw=1.1, alpha=0.55, label="theory"),
        Line2D([], [], color=ink(), lw=1.3, ls="--", label="fitted law"),
    ]
    upper.legend(
        [*found, *lines], [*labels, *(str(line.get_label()) for line in lines)]
    )
    handles = [
        Line2D([], [], color=ink(), lw=1.1, alpha=0.55, label="theory, local"),
        Line2D(
            [],
            [],
            color=ink(),
            ls="none",
            marker="o",
            ms=8,
            mfc="none",
            mew=0.8,
            label="theory, mean between",
        ),
        Line2D(
            [],
            [],
            color=ink(),
            lw=0.8,
            marker="o",
            ms=4,
            label="fit, between cutoffs",
        ),
        Line2D([], [], color=ink(), lw=1.3, ls="--", label="fitted law, 90 %"),
        Line2D([], [], color=MUTED, ls=":", lw=0.9, label=r"limit $\Lambda\to\infty$"),
    ]
    lower.legend(handles=handles, loc="best", ncols=2)
