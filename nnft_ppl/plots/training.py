"""What training did to networks of several widths."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnft_ppl._arguments import check_kind
from nnft_ppl._numbers import with_error
from nnft_ppl.plots.style import Given, colored, ink, look, name_values, panels, plain
from nnft_ppl.training.verdict import TrainingByWidth

_SIZES = {
    "four_point": "Connected 4-point over Gaussian",
    "three_point": "Connected 3-point over Gaussian",
    "mean": "Mean, distance from infinite width",
    "covariance": "Covariance, distance from infinite width",
}


def plot_training(result: TrainingByWidth, *, ax: Given = None) -> Figure:
    """Sizes against the width at every time, with exponents, and couplings below.

    Values within noise are left out of the panels of sizes, whose axes are logarithmic.
    The last panel has couplings in natural units, before (open) and after (filled).

    Args:
        result: From `training_by_width`.
        ax: Five axes to draw on instead of a new figure.

    Raises:
        SpecError: It is no such result, or `ax` is not five Axes.
    """
    check_kind("result", result, TrainingByWidth)
    with look():
        drawn = panels(ax, [2.8] * 5)
        for axis, (name, title) in zip(drawn.axes, _SIZES.items(), strict=False):
            _sizes(axis, result, name)
            axis.set(title=title, xscale="log", yscale="log")
        _couplings(drawn.axes[4], result)
        for axis in drawn.axes:
            axis.set_xlim(result.widths[0] / 1.5, result.widths[-1] * 1.5)
            name_values(axis, result.widths)
            axis.set_xlabel("width $N$")
            if axis.get_legend_handles_labels()[0]:
                axis.legend(loc="best", fontsize="x-small")
    return drawn.figure


def _sizes(axis: Axes, result: TrainingByWidth, name: str) -> None:
    """One quantity at every time."""
    rows = result.table[(result.table["quantity"] == name) & result.table["is_seen"]]
    for time, (color, marker) in zip(result.times, colored(), strict=False):
        found = rows[rows["time"] == time]
        if not len(found):
            continue
        power = result.powers[name, time]
        label = f"$t$ = {time:g}"
        if power.error < float("inf"):
            label += f": $p$ = {with_error(power.exponent, power.error)}"
        axis.errorbar(
            found["width"],
            found["value"],
            yerr=found["error"],
            fmt=f"{marker}-",
            lw=0.8,
            ms=4.5,
            capsize=2.5,
            color=color,
            label=label,
        )


def _couplings(axis: Axes, result: TrainingByWidth) -> None:
    """Before and after, in natural units."""
    axis.axhline(0, color=ink(), lw=0.8)
    names = list(dict.fromkeys(result.couplings["operator"]))
    ends = ((result.times[0], "before", "none"), (result.times[-1], "after", None))
    for name, (color, marker) in zip(names, colored(), strict=False):
        for side, (time, word, face) in enumerate(ends):
            found = result.couplings[
                (result.couplings["operator"] == name)
                & (result.couplings["time"] == time)
            ]
            axis.errorbar(
                found["width"] * (0.96, 1.04)[side],
                found["natural"],
                yerr=found["natural_error"],
                fmt=marker,
                ms=4.5,
                capsize=2.5,
                color=color,
                mfc=face or color,
                label=f"{plain(name)} {word}",
            )
    axis.set(title="Couplings, natural units", xscale="log")
