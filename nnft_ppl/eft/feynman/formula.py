"""Formulas of an action and of its diagrams, as LaTeX.

In: operators, or lines of a diagram. Out: strings, in the LaTeX that `nnft_ppl._latex`
reads. Integration points are y, y', …, with the number of the vertex where there are
several; indices of derivatives are summed over.
"""

import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby

from nnft_ppl.eft.feynman.nodes import OUTSIDE, Line, Node, is_form
from nnft_ppl.eft.measures import Measure
from nnft_ppl.operator import Operator, unit_weight

_INDICES = "abcdeghmnpqrs"
"""Without i, f, l and o, which are something else or look alike."""


def operator_latex(operator: Operator, measure: Measure, *, is_bare: bool) -> str:
    r"""An operator with its integrals: `\int d^dy\,{:}f(y)^4{:}`.

    Colons stand for the renormalised scheme, Wick's order with respect to the
    propagator.
    """
    points = [_point(p, None) for p in range(operator.num_points)]
    integrals = r"\,".join(map(measure.integral, points))
    inner = _fields(operator)
    if operator.quadratic_forms:
        power = operator.quadratic_forms
        form = r"S_{\mathrm{GP}}"
        inner += form if power == 1 else f"{form}^{{{power}}}"
    body = inner if is_bare else "{:}" + inner + "{:}"
    weight = _weight(operator, points)
    return r"\,".join(part for part in (integrals, weight, body) if part)


def diagram_latex(
    factor: Fraction,
    operators: Sequence[Operator],
    lines: Sequence[Line],
    measure: Measure,
    num_assignments: int,
) -> str:
    """A diagram as sign, number, couplings, integrals, weights and propagators."""
    size = abs(factor)
    number = (
        str(size.numerator)
        if size.denominator == 1
        else rf"\frac{{{size.numerator}}}{{{size.denominator}}}"
    )
    couplings = _couplings(operators)
    parts = [number] if size != 1 or not couplings else []
    parts += couplings
    several = len(operators) > 1
    for vertex, operator in enumerate(operators):
        points = [
            _point(p, vertex if several else None) for p in range(operator.num_points)
        ]
        parts += map(measure.integral, points)
        weight = _weight(operator, points)
        parts += [weight] if weight else []
    parts += _propagators(_without_forms(lines, operators), several)
    sign = "-" if factor < 0 else ""
    others = num_assignments - 1
    more = rf"\;+\;({others}\,\text{{permutation{'s' * (others > 1)}}})"
    return sign + r"\,".join(parts) + (more if others else "")


def _point(number: int, vertex: int | None) -> str:
    """The name of an integration point."""
    return "y" + ("" if vertex is None else f"_{{{vertex + 1}}}") + "'" * number


def _weight(operator: Operator, points: Sequence[str]) -> str:
    """The weight with the names that the points have here."""
    if operator.weight is unit_weight:
        return ""
    if not operator.weight_symbol:
        return f"w({','.join(points)})"

    def named(match: re.Match[str]) -> str:
        number = len(match[1])
        return points[number] if number < len(points) else match[0]

    return re.sub(r"(?<![A-Za-z\\])y('*)(?![A-Za-z])", named, operator.weight_symbol)


def _fields(operator: Operator) -> str:
    """Powers of f and of its gradients; pairs across points with an index each."""
    labels = operator.derivatives or (0,) * len(operator.fields)
    slots = list(zip(operator.fields, labels, strict=True))
    at = {label: [p for p, other in slots if other == label] for label in labels}
    across = [label for label, ends in at.items() if label and ends[0] != ends[1]]
    text = ""
    for point in range(operator.num_points):
        name = _point(point, None)
        plain = slots.count((point, 0))
        if plain:
            text += _power(f"f({name})", plain)
        pairs = sum(label > 0 and ends == [point, point] for label, ends in at.items())
        if pairs:
            text += _power(rf"|\nabla f({name})|", 2 * pairs)
        for i, label in enumerate(across):
            if point in at[label]:
                text += rf"\partial_{_INDICES[i]} f({name})"
    return text


def _power(base: str, power: int) -> str:
    return base if power == 1 else f"{base}^{{{power}}}"


def _couplings(operators: Sequence[Operator]) -> list[str]:
    """Their symbols; a power where a vertex repeats."""
    found = []
    for symbol, group in groupby(operators, key=lambda operator: operator.symbol):
        power = len(list(group))
        # Braces: a symbol may end in a superscript of its own.
        found.append(symbol if power == 1 else f"{{{symbol}}}^{{{power}}}")
    return found


def _without_forms(lines: Sequence[Line], operators: Sequence[Operator]) -> list[Line]:
    """The lines, with those that meet at a factor S_GP made one."""
    done: list[Line] = []
    waiting = list(lines)
    while waiting:
        a, b = waiting.pop(0)
        form = next((node for node in (a, b) if is_form(node, operators)), None)
        if form is None:
            done.append((a, b))
            continue
        far = b if form == a else a
        other = next(line for line in waiting if form in line)
        waiting.remove(other)
        further = other[1] if other[0] == form else other[0]
        waiting.append((min(far, further), max(far, further)))
    return sorted(done)


def _propagators(lines: Sequence[Line], several: bool) -> list[str]:
    """K for every line; legs with neighbouring numbers at one node as a product."""
    indices: dict[tuple[int, int], str] = {}
    for node in (node for line in lines for node in line if node.label):
        indices.setdefault(
            (node.vertex, node.label), _INDICES[len(indices) % len(_INDICES)]
        )

    def name(node: Node) -> str:
        if node.vertex == OUTSIDE:
            return f"x_{{{node.site + 1}}}"
        return _point(node.site, node.vertex if several else None)

    def derivative(node: Node) -> str:
        if not node.label:
            return ""
        return rf"\partial^{{{name(node)}}}_{indices[node.vertex, node.label]}"

    def derivatives(a: Node, b: Node) -> str:
        if a[:2] != b[:2]:
            return derivative(a) + derivative(b)
        # Of K(y, y) it must be said which argument: a prime marks the second.
        first = derivative(a).replace(name(a), "", 1).replace("^{}", "")
        second = derivative(b).replace(rf"\partial^{{{name(b)}}}", r"\partial'")
        return first + second

    def is_leg(line: Line) -> bool:
        return line[0].vertex == OUTSIDE and line[1].vertex != OUTSIDE

    found = []
    for end, group in groupby(filter(is_leg, lines), key=lambda line: line[1]):
        legs = [line[0].site + 1 for line in group]
        if len(legs) > 2 and legs == list(range(legs[0], legs[-1] + 1)):
            found.append(
                rf"\prod_{{i={legs[0]}}}^{{{legs[-1]}}}"
                f"{derivative(end)}K(x_i,{name(end)})"
            )
        else:
            found += [f"{derivative(end)}K(x_{{{i}}},{name(end)})" for i in legs]
    for (a, b), power in Counter(line for line in lines if not is_leg(line)).items():
        found.append(_power(f"{derivatives(a, b)}K({name(a)},{name(b)})", power))
    return found
