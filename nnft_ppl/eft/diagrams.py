"""Diagrams of one operator at first order, from Wick contraction.

In: at which integration point each field of the operator sits. Out: the distinct ways
to hang the external legs on those points, each with its symmetry factor. No factor is
typed in anywhere.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import factorial, prod

from nnft_ppl.operator import Operator


@dataclass(frozen=True)
class Diagram:
    """One term of the first-order connected correlator with k = num_fields legs.

    It stands for −g · multiplicity · ∫ dy_0 dy_1 … w(y_0, y_1, …)
    Π_p Π_{leg in legs[p]} K_W(x_leg, y_p).

    Args:
        legs: For each integration point, the sorted external legs that end there.
        multiplicity: Number of contractions that give this term.
    """

    legs: tuple[tuple[int, ...], ...]
    multiplicity: int


def first_order_diagrams(
    operator: Operator, *, symmetric_weight: bool = False
) -> tuple[Diagram, ...]:
    r"""Distinct first-order diagrams of an operator, sorted by their legs.

    Connected at first order in g with as many legs as fields means that every leg is
    contracted with one field:

    .. math:: \partial G^{(k)}_c/\partial g = -\sum_{\pi \in S_k} \int dy\, w(y)
        \prod_i K_W(x_{\pi(i)}, y_{\mathrm{fields}[i]}),

    and contractions that hang the same legs on the same points are equal.

    Args:
        operator: The operator.
        symmetric_weight: Whether the weight is unchanged when its points are permuted;
            then diagrams that differ only in the numbering of the points are counted
            together.

    Returns:
        The diagrams; their multiplicities sum to k!.

    Source: theory.md §4, "In general".
    """
    return _diagrams(operator.fields, symmetric_weight)


@lru_cache(maxsize=64)
def _diagrams(fields: tuple[int, ...], merge: bool) -> tuple[Diagram, ...]:
    """Deal the legs to the points; order within a point gives the same term."""
    counts = Counter(fields)
    sizes = tuple(counts[point] for point in range(len(counts)))
    same_term = prod(factorial(size) for size in sizes)
    found: Counter[tuple[tuple[int, ...], ...]] = Counter()
    for legs in _deals(tuple(range(len(fields))), sizes):
        found[_renumbered(legs) if merge else legs] += same_term
    return tuple(Diagram(legs, found[legs]) for legs in sorted(found))


def _deals(
    legs: tuple[int, ...], sizes: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Every way to deal `legs` into sorted groups of the given sizes, in order."""
    if not sizes:
        yield ()
        return
    for group in combinations(legs, sizes[0]):
        rest = tuple(leg for leg in legs if leg not in group)
        for others in _deals(rest, sizes[1:]):
            yield (group, *others)


def _renumbered(legs: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """The representative in which points with equally many fields come sorted."""
    by_size = {
        size: iter(sorted(group for group in legs if len(group) == size))
        for size in {len(group) for group in legs}
    }
    return tuple(next(by_size[len(group)]) for group in legs)
