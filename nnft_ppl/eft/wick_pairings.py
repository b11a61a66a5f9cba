"""Wick's theorem for fields that come in groups of equals.

In: how many fields stand at each node. Out: every distinct way to pair them up, with
the number of pairings that it stands for. What a node is, is the caller's.
"""

from collections.abc import Callable, Iterator, Sequence
from math import comb, factorial, perm, prod

type Lines[Node] = tuple[tuple[Node, Node], ...]


def wick_pairings[Node](
    counts: Sequence[tuple[Node, int]],
    may_join: Callable[[Node, Node], bool] = lambda first, second: True,
) -> Iterator[tuple[Lines[Node], int]]:
    """Every way to pair the fields up, and how many pairings say so.

    Args:
        counts: Node and number of fields there; each node once.
        may_join: Whether fields at two nodes, or two at one node, may be paired.

    Yields:
        Lines, each from the node that comes first in `counts`, in the order of
        `counts`, repeated as often as it is there; and the number of pairings.
    """
    present = [(node, count) for node, count in counts if count]
    if not present:
        yield (), 1
        return
    (node, count), others = present[0], present[1:]
    loops = range(count // 2 + 1) if may_join(node, node) else range(1)
    for number in loops:
        left = count - 2 * number
        chosen = comb(count, left) * factorial(2 * number)
        ways = chosen // (2**number * factorial(number)) * factorial(left)
        limits = [limit if may_join(node, other) else 0 for other, limit in others]
        for shares in _shares(left, limits):
            rest = [(n, c - s) for (n, c), s in zip(others, shares, strict=True)]
            here = ways * prod(
                perm(c, s) // factorial(s)
                for (_, c), s in zip(others, shares, strict=True)
            )
            lines = ((node, node),) * number + tuple(
                (node, other)
                for (other, _), share in zip(others, shares, strict=True)
                for _ in range(share)
            )
            for more, further in wick_pairings(rest, may_join):
                yield (*lines, *more), here * further


def _shares(total: int, limits: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every way to write `total` as a sum of numbers up to the limits."""
    if not limits:
        if not total:
            yield ()
        return
    for first in range(min(total, limits[0]) + 1):
        for rest in _shares(total - first, limits[1:]):
            yield first, *rest
