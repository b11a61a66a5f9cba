"""One look for all figures: light, printable, safe for colour-blind readers."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.mathtext import MathTextParser

from nnft_ppl.operator import Operator

INK = "#1a1a1a"
MUTED = "#8a8a8a"
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette, without its yellow and black."""
MARKERS = ("o", "s", "^", "D", "v", "P")

_RC: Any = {
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "savefig.dpi": 180,
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#b5b5b5",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e9e9e9",
    "grid.linewidth": 0.7,
    "xtick.color": "#6a6a6a",
    "ytick.color": "#6a6a6a",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.markersize": 5,
    "mathtext.fontset": "dejavusans",
}


@contextmanager
def look() -> Iterator[None]:
    """Draw inside this block to get the common look; nothing outside it changes."""
    with matplotlib.rc_context(_RC):
        yield


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


def colored() -> Iterator[tuple[str, str]]:
    """Colour and marker of the first, second, … series, repeating."""
    return cycle(zip(COLORS, MARKERS, strict=True))


def panels(
    rows: int, columns: int, size: tuple[float, float], **options: Any
) -> tuple[Figure, list[list[Axes]]]:
    """A figure that no window owns, and its axes as rows of lists."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, [list(row) for row in axes]


def widen(axis: Axes) -> None:
    """A flat running should look flat."""
    low, high = axis.get_ylim()
    if high - low < 0.2:
        middle = (low + high) / 2
        axis.set_ylim(middle - 0.25, middle + 0.25)


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    with look():
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
