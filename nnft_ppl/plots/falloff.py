"""How connected correlators fall with the width, and the powers fitted to them."""

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.figure import Figure

from nnft_ppl._numbers import with_error
from nnft_ppl.diagnostics.width.falloff import HEAVY, LOST, USED, Falloff
from nnft_ppl.plots.given import several
from nnft_ppl.plots.style import Given, colored, look, name_values, panels, plain


def plot_falloff(
    found: Falloff | Iterable[Falloff] | Mapping[str, Falloff], *, ax: Given = None
) -> Figure:
    """Size of connected correlators against the width, with the fitted power.

    Points are root mean squares over entries in units of Π √K, the noise taken off,
    with one standard error; dotted, the background, which is what noise alone would
    give; the line is the fitted law with a band of one standard error, and its exponent
    in the legend. A width that is lost in the noise has a hollow triangle at its upper
    bound (three standard errors), one that is left out for a heavy tail a hollow point.

    Args:
        found: From `nnft_ppl.falloff`: one, several, such as of orders 4 and 6, or
            label -> one.
        ax: Axes to draw on instead of a new figure.

    Raises:
        SpecError: It is none of these, or `ax` is not one Axes.
    """
    laws: list[Falloff]
    if isinstance(found, Mapping):
        laws, names = (
            several("found", list(found.values()), Falloff),
            list(map(str, found)),
        )
    else:
        laws = several("found", found, Falloff)
        names = [one.name for one in laws]
    tells = isinstance(found, Mapping) or len(set(names)) > 1
    with look():
        drawn = panels(ax, [4.8])
        (axis,) = drawn.axes
        for one, name, (color, marker) in zip(laws, names, colored(), strict=False):
            table = one.table
            of_name = f"{plain(name)}: " if tells else ""
            label = f"{of_name}$G_{{{one.order}c}}$"
            power = with_error(one.exponent, one.exponent_error)
            used = table[table["left_out"] == USED]
            axis.errorbar(
                used.index,
                used["size"],
                yerr=used["error"],
                fmt=marker,
                ms=4.5,
                capsize=2.5,
                color=color,
                label=rf"{label} $\propto N^{{{power}}}$",
            )
            lost = table[table["left_out"] == LOST]
            bound = (lost["size"] ** 2 + 3 * lost["error"] ** 2) ** 0.5
            heavy = table[table["left_out"] == HEAVY]
            for sizes, shape, why in (
                (bound, "v", "below noise: upper bound"),
                (heavy["size"], marker, "heavy tail: left out"),
            ):
                if len(sizes):
                    told = f"{label}, {why}"
                    axis.plot(
                        sizes.index, sizes, shape, mfc="none", color=color, label=told
                    )
            noise = table["background"]
            if (noise > 0).any():
                axis.plot(
                    table.index[noise > 0],
                    noise[noise > 0],
                    ":",
                    color=color,
                    lw=1.2,
                    label=f"{label}, background",
                )
            grid = np.geomspace(table.index.min(), table.index.max(), 50)
            law, spread = one.law(grid), one.law_error(grid)
            axis.plot(grid, law, "-", color=color, lw=1.2)
            ends = law * np.exp([-spread, spread])
            axis.fill_between(grid, *ends, color=color, alpha=0.2, lw=0)
        axis.set_xscale("log")
        axis.set_yscale("log", nonpositive="clip")
        name_values(axis, [width for one in laws for width in one.table.index])
        axis.set(
            title="Falloff with the width",
            ylabel=r"rms of $G_c\,/\,\sqrt{K \cdots K}$ (1 sd)",
        )
        drawn.label_x("width $N$")
        drawn.legend()
    return drawn.figure
