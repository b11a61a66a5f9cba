"""Where vertices, lines and labels of a diagram go.

Integration points are laid first, along the horizontal where they can be; legs and
loops then leave each into the widest angles that are free.
"""

import cmath
import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations, pairwise, permutations

from nnft_ppl.eft.feynman.nodes import OUTSIDE, Line, Node, is_form
from nnft_ppl.eft.feynman.picture import LEG, Curve, Label, Mark, Picture, Shape, Style
from nnft_ppl.operator import Operator

_APART = 90.0
"""Between integration points that a line joins."""
_TIED = 62.0
"""Between those of one operator."""
_GAP = 45.0
"""Between pieces."""
_LOOP = 62.0
_SPREAD = math.radians(110)
"""The widest fan of legs on one side of a point."""
_BULGE = 0.45
"""Half of the angle that a loop takes."""
_BAR = 0.3
_FIRST = math.radians(240)
"""External points are numbered clockwise from here."""
_STEPS = 400
_SEATED = 7
"""Sites of which all orders are looked at."""

type _Site = tuple[int, int]


def picture(operators: Sequence[Operator], lines: Sequence[Line]) -> Picture:
    """Draw the lines of a diagram."""
    drawn = [_piece(operators, lines, sites) for sites in _pieces(operators, lines)]
    drawn += [_bare_line(a, b) for a, b in lines if b.vertex == OUTSIDE]
    curves: list[Curve] = []
    marks: list[Mark] = []
    labels: list[Label] = []
    edge = 0.0
    for one in drawn:
        places = [mark.position for mark in one.marks]
        places += [label.position for label in one.labels]
        places += [curve.at(t / 8) for curve in one.curves for t in range(9)]
        shift = edge - min(place.real for place in places)
        edge = shift + max(place.real for place in places) + _GAP
        curves += [curve.shifted(shift) for curve in one.curves]
        marks += [Mark(m.position + shift, m.shape) for m in one.marks]
        labels += [Label(w.position + shift, w.latex) for w in one.labels]
    return Picture(tuple(curves), tuple(marks), tuple(labels))


def _sites(operator: Operator, vertex: int) -> list[_Site]:
    number = operator.num_points + operator.quadratic_forms
    return [(vertex, site) for site in range(number)]


def _pieces(operators: Sequence[Operator], lines: Sequence[Line]) -> list[list[_Site]]:
    """The sites of each connected piece."""
    piece = {vertex: {vertex} for vertex in range(len(operators))}
    for a, b in lines:
        if OUTSIDE not in (a.vertex, b.vertex):
            joined = piece[a.vertex] | piece[b.vertex]
            piece.update(dict.fromkeys(joined, joined))
    unique = sorted({tuple(sorted(vertices)) for vertices in piece.values()})
    return [
        [site for vertex in vertices for site in _sites(operators[vertex], vertex)]
        for vertices in unique
    ]


def _bare_line(a: Node, b: Node) -> Picture:
    """Two external points and their propagator."""
    ends = (-LEG + 0j, LEG + 0j)
    return Picture(
        (_straight(ends[0], ends[1], Style.PROPAGATOR),),
        tuple(Mark(end, Shape.EXTERNAL) for end in ends),
        (
            Label(ends[0] - 15, f"x_{{{a.site + 1}}}"),
            Label(ends[1] + 15, f"x_{{{b.site + 1}}}"),
        ),
    )


def _piece(
    operators: Sequence[Operator], lines: Sequence[Line], sites: list[_Site]
) -> Picture:
    """One connected piece around the origin."""
    inner = [
        line
        for line in lines
        if (line[0].vertex, line[0].site) in sites
        and (line[1].vertex, line[1].site) in sites
    ]
    ties = [pair for pair in pairwise(sites) if pair[0][0] == pair[1][0]]
    place = _places(sites, inner, ties)
    curves = [
        _straight(place[first], place[second], Style.OPERATOR) for first, second in ties
    ]
    taken: dict[_Site, list[float]] = defaultdict(list)
    for first, second in ties:
        taken[first].append(cmath.phase(place[second] - place[first]))
        taken[second].append(cmath.phase(place[first] - place[second]))
    for curve, (a, b) in _between(inner, ties, place):
        curves.append(curve)
        leaves, arrives = curve.directions()
        taken[a.vertex, a.site].append(cmath.phase(leaves))
        taken[b.vertex, b.site].append(cmath.phase(arrives))
    marks, labels = [], []
    for site in sites:
        here = place[site]
        loops = [
            (a, b) for a, b in inner if (a.vertex, a.site) == site == (b.vertex, b.site)
        ]
        legs = [
            (a, b)
            for a, b in lines
            if a.vertex == OUTSIDE and (b.vertex, b.site) == site
        ]
        angles = _free_angles(taken[site], len(legs) + len(loops), here)
        for (a, b), angle in zip(loops, _loop_share(angles, len(loops)), strict=True):
            curves.append(_tadpole(here, angle, (a.label, b.label)))
            taken[site] += [angle - _BULGE, angle + _BULGE]
            angles.remove(angle)
        angles.sort(key=lambda angle: (_FIRST - angle) % (2 * math.pi))
        for (a, b), angle in zip(legs, angles, strict=True):
            end = here + LEG * cmath.exp(1j * angle)
            curves.append(_straight(end, here, Style.PROPAGATOR, (0, b.label)))
            marks.append(Mark(end, Shape.EXTERNAL))
            labels.append(
                Label(end + 15 * cmath.exp(1j * angle), f"x_{{{a.site + 1}}}")
            )
            # Bars need room.
            taken[site] += [angle - _BAR, angle + _BAR] if b.label else [angle]
        operator = operators[site[0]]
        form = is_form(Node(*site), operators)
        marks.append(Mark(here, Shape.FORM if form else Shape.POINT))
        if site[1] == 0:
            free = _free_angles(taken[site], 1, here)[0]
            labels.append(_label_beside(here, free, operator.symbol))
    return Picture(tuple(curves), tuple(marks), tuple(labels))


def _label_beside(here: complex, angle: float, latex: str) -> Label:
    """A symbol beside a point; a wide one, whose middle is placed, moves outwards."""
    letters = len(re.findall(r"\\[A-Za-z]+|[A-Za-z0-9]", latex))
    sideways = math.copysign(max(0.0, 5.0 * (letters - 2)), math.cos(angle))
    upright = abs(math.cos(angle)) < 0.1
    return Label(
        here + 19 * cmath.exp(1j * angle) + (0.0 if upright else sideways), latex
    )


def _places(
    sites: list[_Site],
    inner: Sequence[Line],
    ties: Sequence[tuple[_Site, _Site]],
) -> dict[_Site, complex]:
    """Positions: springs along lines and ties, all pushing one another away."""
    lengths = {
        (first, second): _APART
        for a, b in inner
        for first, second in [((a.vertex, a.site), (b.vertex, b.site))]
        if first != second
    } | dict.fromkeys(ties, _TIED)
    # From an ellipse that is no circle, so that there is an axis to find.
    number = len(sites)
    place = {
        site: complex(
            _APART * number * math.cos(math.pi * (2 * i + 0.7) / number),
            0.6 * _APART * number * math.sin(math.pi * (2 * i + 0.7) / number),
        )
        for i, site in enumerate(_round_table(sites, list(lengths)))
    }
    for step in range(_STEPS if number > 1 else 0):
        force = dict.fromkeys(sites, 0j)
        for i, first in enumerate(sites):
            for second in sites[i + 1 :]:
                apart = place[second] - place[first]
                push = apart / abs(apart) * 0.25 * (_APART / abs(apart)) ** 2 * _APART
                force[first] -= push
                force[second] += push
        for (first, second), length in lengths.items():
            apart = place[second] - place[first]
            pull = apart / abs(apart) * (abs(apart) - length)
            force[first] += pull
            force[second] -= pull
        for site, total in force.items():
            place[site] += 0.2 * (1 - step / _STEPS) * total
    return _levelled(place)


def _round_table(
    sites: list[_Site], chords: Sequence[tuple[_Site, _Site]]
) -> Sequence[_Site]:
    """The order around a circle in which the fewest chords cross."""

    def crossings(order: Sequence[_Site]) -> int:
        seat = {site: i for i, site in enumerate(order)}
        spans = [sorted((seat[a], seat[b])) for a, b in chords]
        return sum(
            a < c < b < d or c < a < d < b for (a, b), (c, d) in combinations(spans, 2)
        )

    if len(sites) > _SEATED:
        return sites
    orders = [(sites[0], *rest) for rest in permutations(sites[1:])]
    return min(orders, key=crossings)


def _levelled(place: dict[_Site, complex]) -> dict[_Site, complex]:
    """Around the origin, with the longest axis horizontal and the first on the left."""
    centre = sum(place.values()) / len(place)
    moved = {site: where - centre for site, where in place.items()}
    square = sum(where**2 for where in moved.values())
    first = next(iter(moved))
    if abs(square) <= 0.2 * sum(abs(where) ** 2 for where in moved.values()):
        turn = moved[first] or 1.0  # as good as round
    else:
        turn = cmath.sqrt(square)
    turn /= abs(turn)
    turned = {site: where / turn for site, where in moved.items()}
    return {
        site: -where if turned[first].real > 0 else where
        for site, where in turned.items()
    }


def _between(
    inner: Sequence[Line],
    ties: Sequence[tuple[_Site, _Site]],
    place: dict[_Site, complex],
) -> list[tuple[Curve, Line]]:
    """Lines between different sites; several side by side, and past a tie."""
    groups: dict[tuple[_Site, _Site], list[Line]] = defaultdict(list)
    for a, b in inner:
        pair = (a.vertex, a.site), (b.vertex, b.site)
        if pair[0] != pair[1]:
            groups[pair].append((a, b))
    found = []
    for (first, second), group in groups.items():
        start, end = place[first], place[second]
        number = len(group)
        offsets = [i - (number - 1) / 2 for i in range(number)]
        if (first, second) in ties:  # the middle is the tie's
            offsets = [(i // 2 + 1) * (-1) ** i for i in range(number)]
        if number == 1 and _is_blocked(start, end, place):
            offsets = [1.5]
        across = 1j * (end - start) / abs(end - start) * 34
        for offset, (a, b) in zip(offsets, group, strict=True):
            bow = across * offset
            points = (
                start,
                start + (end - start) / 4 + bow,
                end - (end - start) / 4 + bow,
                end,
            )
            found.append((Curve(points, Style.PROPAGATOR, (a.label, b.label)), (a, b)))
    return found


def _is_blocked(start: complex, end: complex, place: dict[_Site, complex]) -> bool:
    """Whether another site lies on the straight line."""
    for where in place.values():
        along = (where - start) / (end - start)
        if 0.05 < along.real < 0.95 and abs(along.imag * (end - start)) < 20:
            return True
    return False


def _free_angles(taken: Sequence[float], number: int, here: complex) -> list[float]:
    """Directions for so many more lines, the same distance apart in the free gaps."""
    if not number:
        return []
    if not taken:
        # A loop can stand upright where the number is odd; two legs lie on a line.
        start = math.pi / 2 if number % 2 else math.pi * (1 - (number > 2) / number)
        return [start - 2 * math.pi * i / number for i in range(number)]
    edges = sorted(angle % (2 * math.pi) for angle in taken)
    gaps = [
        ((b - a) % (2 * math.pi) or 2 * math.pi, a)
        for a, b in zip(edges, edges[1:] + edges[:1], strict=True)
    ]
    outwards = cmath.phase(here) if abs(here) > 1 else math.pi / 2
    shares: Counter[int] = Counter()
    for _ in range(number):  # each to the gap that stays widest, outer ones first

        def room(i: int) -> tuple[float, float]:
            middle = gaps[i][1] + gaps[i][0] / 2
            return (
                round(gaps[i][0] / (shares[i] + 1), 3),
                math.cos(middle - outwards),
            )

        shares[max(range(len(gaps)), key=room)] += 1
    found = []
    for i, share in sorted(shares.items()):
        width, start = gaps[i]
        step = min(width / (share + 1), _SPREAD / max(share - 1, 1))
        middle = start + width / 2
        found += [middle + step * ((share - 1) / 2 - j) for j in range(share)]
    return found


def _loop_share(angles: list[float], number: int) -> list[float]:
    """Those of the directions that loops take: the most upright ones."""
    return sorted(angles, key=lambda angle: -math.sin(angle))[:number]


def _straight(
    start: complex, end: complex, style: Style, bars: tuple[int, int] = (0, 0)
) -> Curve:
    third = (end - start) / 3
    return Curve((start, start + third, end - third, end), style, bars)


def _tadpole(here: complex, angle: float, bars: tuple[int, int]) -> Curve:
    """A loop from a point to itself."""
    arms = [
        here + 1.35 * _LOOP * cmath.exp(1j * (angle + turn)) for turn in (0.65, -0.65)
    ]
    return Curve((here, arms[0], arms[1], here), Style.PROPAGATOR, bars)
