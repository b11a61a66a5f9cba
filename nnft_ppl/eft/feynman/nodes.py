"""Where lines of a diagram end, and which of them are alike.

A node is an external point, or a group of equal fields of one vertex: those at one
integration point with one derivative, or the two of a factor S_GP.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, permutations, product
from math import factorial, prod
from typing import NamedTuple

from nnft_ppl.operator import Operator, unit_weight

OUTSIDE = -1


class Node(NamedTuple):
    """Where lines end.

    Args:
        vertex: Number of the vertex, `OUTSIDE` for an external point.
        site: Integration point of the vertex, counted on for the factors S_GP; of an
            external point its number, from 0.
        label: Derivative that the fields carry, as `Operator.derivatives` numbers it.
    """

    vertex: int
    site: int
    label: int = 0


type Line = tuple[Node, Node]
type Move = dict[Node, Node]


def is_form(node: Node, operators: Sequence[Operator]) -> bool:
    """Whether the node is a factor S_GP of its vertex."""
    return node.vertex != OUTSIDE and node.site >= operators[node.vertex].num_points


def nodes_of(operator: Operator, vertex: int) -> Counter[Node]:
    """Nodes of an operator and how many fields each has."""
    labels = operator.derivatives or (0,) * len(operator.fields)
    nodes = Counter(
        Node(vertex, point, label)
        for point, label in zip(operator.fields, labels, strict=True)
    )
    for form in range(operator.quadratic_forms):
        nodes[Node(vertex, operator.num_points + form)] = 2
    return nodes


def group_size(operator: Operator) -> int:
    """Number of permutations of its fields that leave an operator as it is."""
    equal = prod(factorial(count) for count in nodes_of(operator, 0).values())
    return equal * sum(1 for _ in _own_moves(operator, 0, 0))


def moves(operators: Sequence[Operator]) -> Iterator[Move]:
    """Exchanges of nodes that change nothing: of equal vertices, or inside one."""
    numbers = range(len(operators))
    places = [
        list(group) for _, group in groupby(numbers, key=lambda i: operators[i].name)
    ]
    for orders in product(*(list(permutations(group)) for group in places)):
        targets = [i for order in orders for i in order]
        own = [
            list(_own_moves(operator, i, target))
            for i, (operator, target) in enumerate(zip(operators, targets, strict=True))
        ]
        for chosen in product(*own):
            yield {a: b for move in chosen for a, b in move.items()}


def _own_moves(operator: Operator, vertex: int, target: int) -> Iterator[Move]:
    """One vertex upon an equal one, in every way that keeps the operator.

    Integration points may change places where the weight is 1: of another weight it is
    not known to be symmetric. Which number a pair of derivatives has is a name alone.
    """
    nodes = nodes_of(operator, vertex)
    num_points, forms = operator.num_points, operator.quadratic_forms
    points = list(range(num_points))
    free = operator.weight is unit_weight
    labels = sorted({node.label for node in nodes if node.label})
    for moved in permutations(points) if free else [tuple(points)]:
        for dealt in permutations(range(num_points, num_points + forms)):
            sites = (*moved, *dealt)
            for renamed in permutations(labels):
                name = {0: 0, **dict(zip(labels, renamed, strict=True))}
                move = {
                    node: Node(target, sites[node.site], name[node.label])
                    for node in nodes
                }
                image = {Node(vertex, *b[1:]): nodes[a] for a, b in move.items()}
                if image == nodes:
                    yield move
