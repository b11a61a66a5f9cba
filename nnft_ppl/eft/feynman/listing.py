"""Every diagram of an action for a correlator at an order in the couplings.

In: an action, a number of external points, an order. Out: diagrams, each with the
factor that Wick's theorem gives it. Vertices, points and legs that can be exchanged are
counted together, so that each diagram comes once.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import combinations_with_replacement
from math import factorial, prod

from nnft_ppl._arguments import is_whole
from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.feynman.diagram import Diagrams, FeynmanDiagram
from nnft_ppl.eft.feynman.nodes import (
    OUTSIDE,
    Line,
    Move,
    Node,
    group_size,
    is_form,
    moves,
    nodes_of,
)
from nnft_ppl.eft.wick_pairings import wick_pairings
from nnft_ppl.operator import Operator

MAX_FIELDS = 24
"""Of legs and vertices together, of two or more; more have thousands of diagrams."""

_LEGS = Node(OUTSIDE, 0)


def diagrams(
    action: Action,
    num_points: int,
    coupling_order: int = 1,
    *,
    connected: bool = True,
) -> Diagrams:
    r"""The Feynman diagrams of a correlator at one order in the couplings.

    .. math:: \langle f(x_1) \ldots f(x_k) \rangle \ni \frac{(-1)^n}{n!}
        \langle f(x_1) \ldots f(x_k)\, \Delta S^n \rangle_{\mathrm{GP}}

    by Wick's theorem, vacuum diagrams divided out. In the renormalised scheme no line
    begins and ends at one operator (theory.md §4). A fit uses the first order, and of
    the second the trees that are of the same power of 1/N; what else is listed here is
    what it leaves out.

    Args:
        action: Its operators, of any number of fields, its measure and its scheme.
        num_points: External points, 1 or more.
        coupling_order: Vertices; 0 is the free theory.
        connected: Diagrams of the connected correlator, in one piece; else those of the
            full correlator, in which every piece has an external point.

    Returns:
        The diagrams, fewest loops first; none where there are none.

    Raises:
        SpecError: Not an action, a number that is not whole or out of range, or more
            fields than are listed.
        UnavailableError: Factors S_GP are contracted into a loop of their own.

    Source: theory.md §4, "In general"; symmetry factors are tested against the
        zero-dimensional integral.
    """
    if not isinstance(action, Action):
        raise SpecError(f"`action` is {action!r}; expected an Action")
    for name, value, least in (
        ("num_points", num_points, 1),
        ("coupling_order", coupling_order, 0),
    ):
        if not is_whole(value) or value < least:
            raise SpecError(
                f"`{name}` is {value!r}; expected a whole number, {least} or more"
            )
    largest = max(operator.num_fields for operator in action.operators)
    if coupling_order > 1 and num_points + coupling_order * largest > MAX_FIELDS:
        raise SpecError(
            f"{num_points} points and {coupling_order} vertices have up to "
            f"{num_points + coupling_order * largest} fields; diagrams are listed for "
            f"up to {MAX_FIELDS}"
        )
    found = [
        diagram
        for operators in combinations_with_replacement(action.operators, coupling_order)
        for diagram in _of_vertices(action, operators, num_points, connected)
    ]
    found.sort(key=lambda diagram: diagram.num_loops)
    return Diagrams(action, num_points, coupling_order, connected, tuple(found))


def _of_vertices(
    action: Action, operators: tuple[Operator, ...], num_points: int, connected: bool
) -> Iterator[FeynmanDiagram]:
    """Those of certain vertices; external points count as equal until the end."""
    counts = [(_LEGS, num_points)] + [
        item for i, o in enumerate(operators) for item in sorted(nodes_of(o, i).items())
    ]
    if sum(count for _, count in counts) % 2:
        return

    def may_join(first: Node, second: Node) -> bool:
        if first.vertex == OUTSIDE:
            return second.vertex != OUTSIDE or not (connected and operators)
        return action.is_bare or first.vertex != second.vertex

    symmetries = list(moves(operators))
    for move in symmetries:
        move[_LEGS] = _LEGS
    classes: Counter[tuple[Line, ...]] = Counter()
    for lines, ways in wick_pairings(counts, may_join):
        if _is_kept(lines, len(operators), num_points, connected):
            _check_forms(lines, operators)
            classes[min(_moved(lines, move) for move in symmetries)] += ways
    repeats = Counter(operator.name for operator in operators).values()
    forms = sum(operator.quadratic_forms for operator in operators)
    order = prod(factorial(repeat) for repeat in repeats) * 2**forms
    for lines, ways in sorted(classes.items()):
        number = _num_assignments(lines, symmetries, num_points)
        size = Fraction(ways, number * order)
        group = Fraction(prod(map(group_size, operators)), 2**forms)
        yield FeynmanDiagram(
            operators=operators,
            measure=action.measure,
            num_points=num_points,
            lines=_numbered(lines),
            num_assignments=number,
            factor=(-1) ** len(operators) * size,
            symmetry_factor=int(group / size),
        )


def _moved(lines: Iterable[Line], move: Move) -> tuple[Line, ...]:
    """The lines after an exchange of nodes, sorted."""
    pairs = ((move[a], move[b]) for a, b in lines)
    return tuple(sorted((min(pair), max(pair)) for pair in pairs))


def _is_kept(
    lines: Sequence[Line], num_vertices: int, num_points: int, connected: bool
) -> bool:
    """Whether all is in one piece, or no piece is without an external point."""
    if connected and not num_vertices:
        return num_points == 2
    neighbours: dict[int, set[int]] = defaultdict(set)
    for a, b in lines:
        if a.vertex != OUTSIDE:
            neighbours[a.vertex].add(b.vertex)
            neighbours[b.vertex].add(a.vertex)
    roots = {b.vertex for a, b in lines if a.vertex == OUTSIDE} - {OUTSIDE}
    reached: set[int] = set()
    waiting = list(roots)[:1] if connected else list(roots)
    while waiting:
        vertex = waiting.pop()
        if vertex not in reached:
            reached.add(vertex)
            waiting.extend(neighbours[vertex])
    return len(reached) == num_vertices


def _check_forms(lines: Sequence[Line], operators: Sequence[Operator]) -> None:
    """Refuse a closed loop of factors S_GP, the trace of the identity.

    Raises:
        UnavailableError: There is one.
    """
    ends: dict[Node, list[Node]] = defaultdict(list)
    for a, b in lines:
        if is_form(a, operators) and is_form(b, operators):
            ends[a].append(b)
            ends[b].append(a)
    open_ends = [node for node, others in ends.items() if len(others) == 1]
    while open_ends:  # a chain is taken apart from its ends, a loop has none
        node = open_ends.pop()
        for other in ends.pop(node, []):
            ends[other].remove(node)
            open_ends += [other] if len(ends[other]) == 1 else []
            if not ends[other]:
                del ends[other]
    if ends:
        name = operators[next(iter(ends)).vertex].name
        raise UnavailableError(
            f"operator {name!r} holds S_GP, whose contraction into a loop of its own "
            "is the infinite number of modes; ask for a lower order"
        )


def _num_assignments(
    lines: tuple[Line, ...], symmetries: Sequence[Move], num_points: int
) -> int:
    """In how many ways the external points can be dealt that differ.

    Of all ways to deal them, those that an exchange leading the lines to themselves
    maps to one another are one: it fixes all of them or none, as points are distinct.
    """
    ends = Counter(b for a, b in lines if a == _LEGS and b != _LEGS)
    pairs = sum(a == b == _LEGS for a, b in lines)
    equal = prod(map(factorial, ends.values())) * 2**pairs * factorial(pairs)
    kept = [move for move in symmetries if _moved(lines, move) == lines]
    fixing = sum(all(move[node] == node for node in ends) for move in kept)
    return int(factorial(num_points) // equal * fixing // len(kept))


def _numbered(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """The lines with numbers for the external points, in the order that they come."""
    number = 0
    found = []
    for line in lines:
        ends = []
        for node in line:
            if node == _LEGS:
                ends.append(Node(OUTSIDE, number))
                number += 1
            else:
                ends.append(node)
        found.append((ends[0], ends[1]))
    return tuple(found)
