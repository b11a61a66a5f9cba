"""Diagrams of one operator at first order, from Wick contraction.

In: the fields of the operator, their integration points and derivatives. Out: the
distinct ways to hang external legs on them, and, in the bare scheme, to contract the
fields that are left with one another, each with its symmetry factor. No factor is typed
in anywhere.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product
from math import perm

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl.operator import Operator

type Slot = tuple[int, int]
"""Integration point, and direction of the derivative: 0 none, a for ∂_a (from 1)."""


type _Legs = tuple[tuple[Slot, tuple[int, ...]], ...]
type _Lines = tuple[tuple[Slot, Slot], ...]
type _Pairs = tuple[tuple[int, int], ...]
type _Key = tuple[_Legs, _Lines, _Pairs]


@dataclass(frozen=True, order=True)
class Diagram:
    """One term of the first-order connected correlator.

    It stands for −g · multiplicity · Π_pairs K(x_a, x_b) · ∫ w Π over slots
    Π_{leg in legs} ∂^slot K(x_leg, y) · Π over lines ∂^slot ∂^slot' K(y, y').

    Args:
        legs: (slot, sorted external legs that end there), sorted by slot.
        lines: Self-contractions, (slot, slot) sorted; they may repeat.
        pairs: Pairs of legs that a quadratic form joins, sorted.
        multiplicity: Number of contractions that give this term.
    """

    legs: _Legs
    lines: _Lines
    pairs: _Pairs
    multiplicity: int


def first_order_diagrams(
    operator: Operator, num_legs: int, dim: int = 1
) -> tuple[Diagram, ...]:
    r"""Distinct first-order diagrams of an operator with `num_legs` external legs.

    Connected at first order means that every leg is contracted with a field; the fields
    left over, if any, are contracted with one another:

    .. math:: G^{(k)}_c \ni -g \sum_{\text{contractions}} \int dy\, w(y)
        \prod_{\text{legs}} K(x_i, y) \prod_{\text{lines}} K(y, y')

    and contractions with the same factors are counted together. S_GP = ½ ∫∫ f K⁻¹ f
    with legs a, b on it is K(x_a, x_b): its ½ cancels the two ways to hang them, and
    K⁻¹ the two propagators.

    Args:
        operator: The operator.
        num_legs: Number of external legs: that of the fields, or less by pairs.
        dim: Input dimension: directions that ∂_a ∂_a is summed over.

    Raises:
        SpecError: The number of legs is below one, above that of the fields, or even
            where theirs is odd, or odd where it is even.
        UnavailableError: A quadratic form would be contracted with itself.

    Source: theory.md §4, "In general".
    """
    lowest = 2 - operator.num_fields % 2
    if num_legs not in range(lowest, operator.num_fields + 1, 2):
        raise SpecError(
            f"operator {operator.name!r} of {operator.num_fields} fields has no "
            f"first-order diagram with {num_legs} legs"
        )
    if operator.quadratic_forms and num_legs < operator.num_fields:
        raise UnavailableError(
            f"operator {operator.name!r} holds S_GP, whose contraction with itself is "
            "the infinite number of modes; use the renormalised scheme"
        )
    directions = dim if operator.is_differential else 1
    return _diagrams(
        operator.fields,
        operator.derivatives,
        operator.quadratic_forms,
        num_legs,
        directions,
    )


@lru_cache(maxsize=256)
def _diagrams(
    fields: tuple[int, ...],
    derivatives: tuple[int, ...],
    quadratic_forms: int,
    num_legs: int,
    directions: int,
) -> tuple[Diagram, ...]:
    found: Counter[_Key] = Counter()
    for slots in _slots(fields, derivatives, directions):
        for pairs, left in _form_pairs(tuple(range(num_legs)), quadratic_forms):
            counts = tuple(sorted(Counter(slots).items()))
            for legs, free, hangings in _hang(left, counts):
                for lines, pairings in _pairings(free):
                    key = legs, tuple(sorted(lines)), tuple(sorted(pairs))
                    found[key] += hangings * pairings
    return tuple(
        sorted(Diagram(*key, multiplicity) for key, multiplicity in found.items())
    )


def _slots(
    fields: tuple[int, ...], derivatives: tuple[int, ...], directions: int
) -> Iterator[tuple[Slot, ...]]:
    """The slot of every field, once per direction of every derivative."""
    labels = sorted({label for label in derivatives if label})
    for chosen in product(range(1, directions + 1), repeat=len(labels)):
        direction = {0: 0, **dict(zip(labels, chosen, strict=True))}
        given = derivatives or (0,) * len(fields)
        yield tuple(
            (point, direction[label])
            for point, label in zip(fields, given, strict=True)
        )


def _form_pairs(
    legs: tuple[int, ...], forms: int
) -> Iterator[tuple[list[tuple[int, int]], tuple[int, ...]]]:
    """Deal a pair of legs to every (numbered) quadratic form, and the legs left."""
    if not forms:
        yield [], legs
        return
    for i, a in enumerate(legs):
        for b in legs[i + 1 :]:
            rest = tuple(leg for leg in legs if leg not in (a, b))
            for pairs, left in _form_pairs(rest, forms - 1):
                yield [(a, b), *pairs], left


def _hang(
    legs: tuple[int, ...], counts: tuple[tuple[Slot, int], ...]
) -> Iterator[tuple[_Legs, tuple[tuple[Slot, int], ...], int]]:
    """Deal the legs to the slots; the fields left free, and in how many ways."""
    if not counts:
        if not legs:
            yield (), (), 1
        return
    (slot, count), others = counts[0], counts[1:]
    for number in range(min(count, len(legs)) + 1):
        for hung in combinations(legs, number):
            rest = tuple(leg for leg in legs if leg not in hung)
            for more, free, ways in _hang(rest, others):
                here = ((slot, hung),) if hung else ()
                left = ((slot, count - number),) if count > number else ()
                yield (*here, *more), (*left, *free), ways * perm(count, number)


def _pairings(
    counts: tuple[tuple[Slot, int], ...],
) -> Iterator[tuple[list[tuple[Slot, Slot]], int]]:
    """Every way to pair the free fields up, and how many pairings say so."""
    left = {slot: count for slot, count in counts if count}
    if not left:
        yield [], 1
        return
    first = min(left)
    left[first] -= 1
    for partner in sorted(slot for slot, count in left.items() if count):
        rest = {**left, partner: left[partner] - 1}
        for lines, ways in _pairings(tuple(rest.items())):
            yield [(first, partner), *lines], ways * left[partner]
