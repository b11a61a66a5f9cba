"""What a drawing of a diagram is made of, before it is SVG or TikZ.

Positions are complex numbers, x to the right and y upwards, in units of which a leg is
`LEG` long.
"""

from dataclasses import dataclass
from enum import Enum

LEG = 60.0


class Style(Enum):
    """What a curve stands for."""

    PROPAGATOR = "propagator"
    OPERATOR = "operator"
    """Ties integration points of one operator together."""


class Shape(Enum):
    """What a mark stands for."""

    POINT = "point"
    """An integration point."""
    FORM = "form"
    """A factor S_GP."""
    EXTERNAL = "external"


@dataclass(frozen=True)
class Curve:
    """A cubic Bézier curve, with bars across it near its ends for derivatives.

    Args:
        points: Start, two controls, end.
        style: What it stands for.
        bars: Number of bars at the start and at the end.
    """

    points: tuple[complex, complex, complex, complex]
    style: Style
    bars: tuple[int, int] = (0, 0)

    def at(self, t: float) -> complex:
        """The point at the parameter t."""
        a, b, c, d = self.points
        s = 1 - t
        return s**3 * a + 3 * s**2 * t * b + 3 * s * t**2 * c + t**3 * d

    def directions(self) -> tuple[complex, complex]:
        """Away from the start, and away from the end."""
        start, first, second, end = self.points
        return first - start, second - end

    def shifted(self, by: complex) -> "Curve":
        """The same elsewhere."""
        a, b, c, d = self.points
        return Curve((a + by, b + by, c + by, d + by), self.style, self.bars)

    def strokes(self) -> list[tuple[complex, complex]]:
        """Ends of the bars."""
        found = []
        for number, inwards in zip(self.bars, (1, -1), strict=True):
            for i in range(number):
                t = 0.32 + 0.08 * i
                t = t if inwards > 0 else 1 - t
                along = self.at(t + 0.01) - self.at(t - 0.01)
                across = 5j * along / abs(along)
                found.append((self.at(t) - across, self.at(t) + across))
        return found


@dataclass(frozen=True)
class Mark:
    """A dot, square or end of a leg."""

    position: complex
    shape: Shape


@dataclass(frozen=True)
class Label:
    """LaTeX centred at a position."""

    position: complex
    latex: str


@dataclass(frozen=True)
class Picture:
    """A drawing."""

    curves: tuple[Curve, ...]
    marks: tuple[Mark, ...]
    labels: tuple[Label, ...]
