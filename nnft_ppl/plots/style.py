"""One look for all figures: light, printable, safe for colour-blind readers.

What every figure function shares. The look is that of the defaults alone: whatever the
user has set in Matplotlib's `rcParams` (colours, fonts, sizes) is kept. Figures belong
to no window and no global state.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser
from matplotlib.ticker import NullFormatter

from nnft_ppl._errors import SpecError, shown
from nnft_ppl.operator import Operator

MUTED = "#8a8a8a"
"""Of what stands behind the data; seen on white and on black."""
WIDTH = 5.2
"""Inches: letters of 10 points can be read on a phone, 400 pixels wide."""
_INK = "#1a1a1a"
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, without its yellow and black."""
_MARKERS = ("o", "s", "^", "D", "v", "P")
_LONG = 30
"""Characters of a label that leave no room for a second column in a legend."""

_RC: Any = {
    "axes.prop_cycle": cycler(color=_COLORS),
    "text.color": _INK,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": _INK,
    "axes.edgecolor": "#b5b5b5",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e9e9e9",
    "grid.linewidth": 0.7,
    "xtick.color": "#6a6a6a",
    "ytick.color": "#6a6a6a",
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.markersize": 5,
}

type Given = Axes | Sequence[Axes] | np.ndarray | None
"""`ax` of every figure function: nothing, one Axes, or one for each panel."""


_MOST_TICKS = 6


@contextmanager
def look() -> Iterator[None]:
    """Draw inside this block to get the common look; nothing outside it changes.

    A parameter that is not Matplotlib's default was set by the user, and stays.
    """
    defaults, now = matplotlib.rcParamsDefault, matplotlib.rcParams
    free = {name: value for name, value in _RC.items() if now[name] == defaults[name]}
    with matplotlib.rc_context(free):
        yield


def colors() -> tuple[str, ...]:
    """The colours of first, second, … series, six at least; inside `look`."""
    found = matplotlib.rcParams["axes.prop_cycle"].by_key().get("color", _COLORS)
    return tuple(color for color, _ in zip(cycle(found), _MARKERS, strict=False))


def ink() -> str:
    """The colour of text, and of lines that are no series; inside `look`."""
    return str(matplotlib.rcParams["text.color"])


def colored() -> Iterator[tuple[str, str]]:
    """Colour and marker of the first, second, … series, repeating; inside `look`."""
    return cycle(zip(colors(), _MARKERS, strict=True))


@dataclass(frozen=True, eq=False)
class Panels:
    """Where a figure is drawn.

    Attributes:
        figure: The whole figure.
        axes: Its panels, from the top.
        is_own: Whether it was made here; else the axes are the user's.
    """

    figure: Figure
    axes: list[Axes]
    is_own: bool

    def label_x(self, text: str) -> None:
        """Name the horizontal axis that all panels share; of given ones, each."""
        for axis in self.axes[-1:] if self.is_own else self.axes:
            axis.set_xlabel(text)

    def legend(self) -> None:
        """One legend of all panels: below them, or within the first if they are given.

        What is drawn in several panels under one label is shown once.
        """
        handles: dict[str, Artist] = {}
        for axis in self.axes:
            found, labels = axis.get_legend_handles_labels()
            handles = dict(zip(labels, found, strict=True)) | handles
        if not handles:
            return
        how: dict[str, Any] = {"handles": list(handles.values())}
        how["labels"] = list(handles)
        if self.is_own:
            columns = 1 if max(map(len, handles)) > _LONG else 2
            self.figure.legend(**how, loc="outside lower center", ncols=columns)
        else:
            self.axes[0].legend(**how)


def panels(ax: Given, heights: Sequence[float], **options: Any) -> Panels:
    """Panels one above the other, which a phone can show.

    Args:
        ax: What the user gave.
        heights: Of each panel in inches, in a figure `WIDTH` wide, labels included; a
            user's own `figure.figsize` is that of the whole.
        options: For `Figure.subplots`.

    Raises:
        SpecError: `ax` is not as many Axes as there are panels.
    """
    if ax is not None:
        return _given(ax, len(heights))
    size = (WIDTH, float(sum(heights)))
    now = tuple(matplotlib.rcParams["figure.figsize"])
    if now != tuple(matplotlib.rcParamsDefault["figure.figsize"]):
        size = now
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(
        len(heights), 1, squeeze=False, height_ratios=list(heights), **options
    )
    return Panels(figure, list(axes[:, 0]), True)


def _given(ax: Given, number: int) -> Panels:
    """The user's axes."""
    axes = [ax] if isinstance(ax, Axes) else list(np.ravel(np.asarray(ax, object)))
    if len(axes) != number or not all(isinstance(axis, Axes) for axis in axes):
        many = "one Axes" if number == 1 else f"{number} Axes, one for each panel"
        raise SpecError(f"`ax` is {shown(ax)}; expected {many}")
    figure, *others = {axis.get_figure(root=True) for axis in axes}
    if figure is None or others:
        raise SpecError(
            "`ax` holds Axes of several figures, or of none; expected one's"
        )
    return Panels(figure, axes, False)


def symbol(operator: Operator) -> str:
    """An operator's symbol for labels; its name where matplotlib cannot set that."""
    text = f"${operator.symbol}$"
    try:
        MathTextParser("path").parse(text)
    except ValueError:
        return plain(operator.name)
    return text


def plain(name: str) -> str:
    """A name for labels, in which a dollar sign begins no formula."""
    return name.replace("$", r"\$")


def widen(axis: Axes) -> None:
    """A flat running should look flat."""
    low, high = axis.get_ylim()
    if high - low < 0.2:
        middle = (low + high) / 2
        axis.set_ylim(middle - 0.25, middle + 0.25)


def name_values(axis: Axes, values: Iterable[float]) -> None:
    """Ticks of a logarithmic x-axis at some of the values, where they span little.

    Over fewer than two decades Matplotlib names parts of a decade, which overlap.
    """
    shown = sorted({float(value) for value in values})
    if shown and shown[-1] < 100 * shown[0]:
        some = shown[:: -(-len(shown) // _MOST_TICKS)]
        axis.set_xticks(some, [f"{value:g}" for value in some])
        axis.xaxis.set_minor_formatter(NullFormatter())
