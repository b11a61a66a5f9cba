"""A drawing as SVG: self-contained, in the colour of the text around it."""

from html import escape

from nnft_ppl._latex import tspans
from nnft_ppl.eft.feynman.picture import Curve, Picture, Shape, Style

_MARGIN = 14.0
_FONT = 15


def svg(picture: Picture, title: str, description: str) -> str:
    """The drawing, as wide as it is but never wider than the page.

    Args:
        picture: What to draw.
        title: Its name for screen readers, and on hovering.
        description: What it says.
    """
    places = [mark.position for mark in picture.marks]
    places += [label.position for label in picture.labels]
    places += [curve.at(t / 12) for curve in picture.curves for t in range(13)]
    left = min(place.real for place in places) - _MARGIN
    right = max(place.real for place in places) + _MARGIN
    top = max(place.imag for place in places) + _MARGIN
    bottom = min(place.imag for place in places) - _MARGIN
    width, height = right - left, top - bottom
    # The y of an SVG runs downwards.
    box = f"{left:.1f} {-top:.1f} {width:.1f} {height:.1f}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="{box}" '
        f'width="{width:.0f}" height="{height:.0f}" '
        'style="max-width:100%;height:auto" font-family="serif" '
        f'font-size="{_FONT}" fill="none" stroke="currentColor" stroke-width="1.6">',
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>",
        *map(_curve, picture.curves),
    ]
    for mark in picture.marks:
        parts.append(_mark(mark.position, mark.shape))
    for label in picture.labels:
        parts.append(
            f'<text x="{label.position.real:.1f}" '
            f'y="{-label.position.imag:.1f}" dy="0.35em" text-anchor="middle" '
            'font-style="italic" fill="currentColor" stroke="none">'
            f"{tspans(label.latex)}</text>"
        )
    return "".join([*parts, "</svg>"])


def _at(place: complex) -> str:
    return f"{place.real:.1f} {-place.imag:.1f}"


def _curve(curve: Curve) -> str:
    start, first, second, end = map(_at, curve.points)
    dashes = ' stroke-dasharray="4 4"' if curve.style is Style.OPERATOR else ""
    bars = "".join(f" M{_at(a)}L{_at(b)}" for a, b in curve.strokes())
    return f'<path d="M{start}C{first} {second} {end}{bars}"{dashes}/>'


def _mark(place: complex, shape: Shape) -> str:
    x, y = place.real, -place.imag
    if shape is Shape.FORM:
        return (
            f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10" '
            'fill="currentColor"/>'
        )
    radius = 4.5 if shape is Shape.POINT else 2.2
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="currentColor" '
        'stroke="none"/>'
    )
