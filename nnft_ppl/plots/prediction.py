"""The 6-pt function that the fitted couplings predict, against the measured one."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy import stats

from nnft_ppl._arguments import check_kind
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.symmetric import entry_size
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.inference.posterior import INTERVAL
from nnft_ppl.plots.style import MUTED, Given, colors, ink, look, panels

MAX_PANELS = 4


def chosen_cutoffs(cutoffs: Sequence[float]) -> tuple[float, ...]:
    """At most `MAX_PANELS` cutoffs, evenly from the smallest to the largest."""
    ordered = sorted(cutoffs)
    count = min(MAX_PANELS, len(ordered))
    places = np.linspace(0, len(ordered) - 1, count).round().astype(int)
    return tuple(ordered[place] for place in places)


def plot_prediction(
    fit: CouplingFit, measured: Correlators, order: int = 6, *, ax: Given = None
) -> Figure:
    """Predicted over measured, entry by entry, a panel per cutoff, the GP beside it.

    The prediction's interval holds the truncation error of its expansion in 1/N, but of
    actions with odd operators. Odd orders where there is no mean pass through zero:
    then it is prediction less measured, over Π_i √G2(x_i, x_i), by size.

    Args:
        fit: Gives the prediction.
        measured: Holds `order` at the inputs of the fit.
        order: Order of the correlator.
        ax: Axes to draw on instead of a new figure, one for each cutoff drawn: of more
            than `MAX_PANELS`, these many from the smallest to the largest.

    Raises:
        SpecError: `measured` lacks the order, or `ax` is not as many Axes as cutoffs.
    """
    check_kind("fit", fit, CouplingFit)
    check_kind("measured", measured, Correlators)
    reference = measured.moment(order)
    gaussian = measured.gaussian_moment(order)
    scale, order_of, unit = reference, np.abs(gaussian), f"over {measured.origin}, −1"
    label = "entry, smallest $|G_{GP}|$ first"
    if not gaussian.any():  # odd ones pass through zero
        first, second = measured.entries(2).T
        scale = entry_size(measured.connected(2)[first == second], order)
        order_of, label = reference, f"entry, smallest {measured.origin} one first"
        unit = f"$-$ {measured.origin},\nover $\\prod\\sigma$"
    by_size = np.argsort(order_of)
    z = float(stats.norm.ppf(0.5 + INTERVAL / 2)) if measured.origin.error else 0.0
    noise = (z * measured.error(order) / np.abs(scale))[by_size]
    cutoffs = chosen_cutoffs(fit.cutoffs)
    tails = [50 * (1 - INTERVAL), 50, 50 * (1 + INTERVAL)]
    with look():
        height = max(2.1, 3.4 / len(cutoffs))
        drawn = panels(ax, [height] * len(cutoffs), sharex=True, sharey=True)
        for axis, cutoff in zip(drawn.axes, cutoffs, strict=True):
            predicted = fit.predict(
                order, cutoffs=[cutoff], truncation=not fit.likelihood.has_odd_orders
            )
            draws = predicted.values[:, :, 0]
            quantiles = np.percentile(draws, tails, axis=(0, 1))
            off = (np.stack([*quantiles, gaussian]) - reference) / scale
            _panel(axis, off[:, by_size], noise)
            axis.set_title(rf"$\Lambda = {cutoff_label(cutoff)}$")
            axis.set_ylabel(rf"$G^{{({order})}}$ {unit}")
        drawn.label_x(label)
        drawn.legend()
    return drawn.figure


def cutoff_label(cutoff: float) -> str:
    """A cutoff in mathtext."""
    if math.isinf(cutoff):
        return r"\infty"
    mantissa, _, exponent = f"{cutoff:.4g}".partition("e")
    if not exponent:
        return mantissa
    power = f"10^{{{int(exponent)}}}"
    return power if float(mantissa) == 1 else rf"{mantissa}\times {power}"


def _panel(axis: Axes, off: np.ndarray, noise: np.ndarray) -> None:
    """One cutoff: the band of the measurement, the prediction, the GP."""
    place = np.arange(len(noise))
    percent = round(100 * INTERVAL)
    if noise.any():
        axis.fill_between(
            place,
            -noise,
            noise,
            color=MUTED,
            alpha=0.35,
            lw=0,
            label=f"measured, {percent} % interval",
        )
    axis.axhline(0, color=ink(), lw=0.8)
    lower, middle, upper, gaussian = off
    # A band, not bars: with hundreds of entries the bars would hide the points.
    axis.fill_between(
        place,
        lower,
        upper,
        color=colors()[0],
        alpha=0.25,
        lw=0,
        label=f"predicted, {percent} % interval",
    )
    axis.plot(place, middle, ".", ms=3, color=colors()[0], label="predicted, median")
    axis.plot(place, gaussian, ".", ms=3, color=colors()[1], label="Gaussian process")
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
