"""A drawing as TikZ, in centimetres."""

from nnft_ppl.eft.feynman.picture import LEG, Picture, Shape, Style

_UNIT = 1 / LEG
_STYLES = {
    Style.PROPAGATOR: "thick",
    Style.OPERATOR: "thick, dashed",
}
_SHAPES = {
    Shape.POINT: r"\fill {} circle (2pt);",
    Shape.FORM: r"\fill {} +(-2.2pt,-2.2pt) rectangle +(2.2pt,2.2pt);",
    Shape.EXTERNAL: r"\fill {} circle (1pt);",
}


def tikz(picture: Picture) -> str:
    """A `tikzpicture` with nothing but the package `tikz`."""
    body = []
    for curve in picture.curves:
        start, first, second, end = map(_at, curve.points)
        body.append(
            rf"\draw[{_STYLES[curve.style]}] {start} .. controls {first} and {second} "
            rf".. {end};"
        )
        body += [rf"\draw[thick] {_at(a)} -- {_at(b)};" for a, b in curve.strokes()]
    body += [_SHAPES[mark.shape].format(_at(mark.position)) for mark in picture.marks]
    body += [
        rf"\node at {_at(label.position)} {{${label.latex}$}};"
        for label in picture.labels
    ]
    return "\n".join(
        [
            r"\begin{tikzpicture}[baseline=(current bounding box.center)]",
            *(f"  {line}" for line in body),
            r"\end{tikzpicture}",
        ]
    )


def _at(place: complex) -> str:
    # Adding 0 leaves no minus sign at a zero.
    x, y = (round(value * _UNIT, 3) + 0.0 for value in (place.real, place.imag))
    return f"({x:g},{y:g})"
