"""Couplings against the cutoff, and how they run."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.inference.posterior import INTERVAL
from nnft_ppl.plots.style import INK, MUTED, colored, look, panels, symbol, widen

_TAILS = (50 * (1 - INTERVAL), 50, 50 * (1 + INTERVAL))
"""Percentiles: lower end, median, upper end."""


def plot_couplings(fit: CouplingFit) -> Figure:
    """Size of each coupling with its interval; below, the exponent of its running.

    Without two finite cutoffs nothing runs, and only the couplings are drawn.
    """
    finite = np.isfinite(fit.cutoffs)
    with look():
        if finite.sum() < 2:
            figure, axes = panels(1, 1, (7.0, 3.2))
            _sizes(axes[0][0], fit)
            axes[0][0].set_xlabel(r"cutoff $\Lambda$")
            return figure
        figure, axes = panels(
            2, 1, (8.0, 6.0), sharex=True, gridspec_kw={"height_ratios": [3, 2]}
        )
        _sizes(axes[0][0], fit)
        _exponents(axes[1][0], fit)
        axes[1][0].set_xlabel(r"cutoff $\Lambda$")
    return figure


def _places(fit: CouplingFit) -> np.ndarray:
    """Where each cutoff is drawn: an infinite one a decade beyond the largest."""
    cutoffs = np.array(fit.cutoffs)
    finite = cutoffs[np.isfinite(cutoffs)]
    beyond = 10 * finite.max() if finite.size else 1.0
    return np.where(np.isfinite(cutoffs), cutoffs, beyond)


def _sizes(axis: Axes, fit: CouplingFit) -> None:
    """|g| on logarithmic axes; the sign is in the legend."""
    place = _places(fit)
    couplings = fit.dimensionless / fit.likelihood.scale
    styles = colored()
    shift = np.linspace(-1, 1, len(fit.action.operators) + 2)[1:-1] * 0.02
    for i, operator in enumerate(fit.action.operators):
        color, marker = next(styles)
        lower, middle, upper = np.percentile(couplings[..., i], _TAILS, axis=(0, 1))
        decided = lower * upper > 0
        size = np.abs(middle)
        least, most = np.sort(np.abs([lower, upper]), axis=0)
        x = place * np.exp(shift[i])
        axis.errorbar(
            x[decided],
            size[decided],
            yerr=[(size - least)[decided], (most - size)[decided]],
            fmt=marker,
            ms=4.5,
            capsize=2.5,
            color=color,
            label=f"{symbol(operator)}, {_sign(middle[decided])}"
            if decided.any()
            else None,
        )
        if not decided.all():
            axis.plot(
                x[~decided],
                most[~decided],
                "v",
                mfc="none",
                color=color,
                label=f"{symbol(operator)}, sign undetermined: upper end of $|g|$",
            )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set(ylabel="coupling $|g|$", title="Couplings")
    bottom, top = axis.get_ylim()
    if top < 10 * bottom:  # what hardly runs should look so
        centre = np.sqrt(bottom * top)
        axis.set_ylim(centre / 10, centre * 10)
    axis.legend(loc="best")
    _mark_infinity(axis, fit, place)


def _sign(values: np.ndarray) -> str:
    if (values < 0).all():
        return "negative"
    return "positive" if (values > 0).all() else "of both signs"


def _mark_infinity(axis: Axes, fit: CouplingFit, place: np.ndarray) -> None:
    """Write ∞ where the infinite cutoff is drawn."""
    infinite = ~np.isfinite(fit.cutoffs)
    if not infinite.any():
        return
    at = float(place[infinite][0])
    if infinite.all():
        axis.set_xlim(at / 10, at * 10)
        axis.set_xticks([at], [r"$\infty$"])
        axis.minorticks_off()
        return
    axis.axvline(at, color=MUTED, lw=0.8, ls=":")
    axis.annotate(
        r"$\Lambda = \infty$",
        (at, 1.0),
        xycoords=("data", "axes fraction"),
        ha="right",
        va="top",
        rotation=90,
        fontsize=8.5,
        color=INK,
    )


def _exponents(axis: Axes, fit: CouplingFit) -> None:
    """Exponent d log|g|/d log Λ with its interval, and the theory's.

    Both by differences between neighbouring cutoffs, which far apart are not local.
    """
    finite = np.isfinite(fit.cutoffs)
    cutoffs = np.array(fit.cutoffs)[finite]
    running = fit.running()
    exponent = running["exponent"].values[:, :, finite]
    theory = running["theory_exponent"].values[finite]
    couplings = fit.dimensionless[:, :, finite]
    styles = colored()
    for i, operator in enumerate(fit.action.operators):
        color, marker = next(styles)
        axis.plot(
            cutoffs,
            theory[:, i],
            "-",
            color=color,
            lw=1.3,
            alpha=0.6,
            label=f"{symbol(operator)} alone, theory",
        )
        low, high = np.percentile(couplings[..., i], _TAILS[::2], axis=(0, 1))
        decided = low * high > 0
        if not decided.any():
            continue
        lower, middle, upper = np.percentile(exponent[..., i], _TAILS, axis=(0, 1))
        axis.errorbar(
            cutoffs[decided],
            middle[decided],
            yerr=[(middle - lower)[decided], (upper - middle)[decided]],
            fmt=marker,
            ms=4.5,
            capsize=2.5,
            color=color,
            label=f"{symbol(operator)}, from the fits",
        )
    axis.set_xscale("log")
    axis.set(ylabel=r"$d\,\log|g|\,/\,d\,\log\Lambda$", title="Running")
    widen(axis)
    axis.ticklabel_format(axis="y", useOffset=False)
    axis.legend(loc="best")
