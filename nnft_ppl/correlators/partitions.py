"""Partitions of the legs of a correlator into blocks.

Where all odd correlators vanish only blocks of even size enter the sums between moments
and cumulants, and the Wick theorem is the case of pairs.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import factorial

MAX_ORDER = 8
"""Highest order of correlators: its 379 even partitions are summed one at a time."""

type Partition = tuple[tuple[int, ...], ...]


@lru_cache(maxsize=16)
def even_partitions(order: int) -> tuple[Partition, ...]:
    """All set partitions of range(order) into blocks of even size, blocks sorted."""
    return partitions(order, range(2, order + 1, 2))


def partitions(order: int, sizes: Iterable[int]) -> tuple[Partition, ...]:
    """All set partitions of range(order) into blocks of these sizes, blocks sorted."""
    return _partitions(order, frozenset(sizes))


@lru_cache(maxsize=64)
def _partitions(order: int, sizes: frozenset[int]) -> tuple[Partition, ...]:
    return tuple(sorted(_partitions_of(tuple(range(order)), sizes)))


def cumulant_weight(num_blocks: int) -> float:
    """(−1)^{b−1} (b−1)!, the weight of a partition into b blocks in a cumulant."""
    return float((-1) ** (num_blocks - 1) * factorial(num_blocks - 1))


@lru_cache(maxsize=16)
def pairings(order: int) -> tuple[Partition, ...]:
    """The (k−1)!! Wick pairings of range(order)."""
    return tuple(
        partition
        for partition in even_partitions(order)
        if all(len(block) == 2 for block in partition)
    )


def _partitions_of(legs: tuple[int, ...], sizes: frozenset[int]) -> Iterator[Partition]:
    """Yield partitions in which the first leg's block comes first."""
    if not legs:
        yield ()
        return
    first, others = legs[0], legs[1:]
    for mask in range(1 << len(others)):
        if mask.bit_count() + 1 not in sizes:
            continue
        block = (first, *(leg for i, leg in enumerate(others) if mask >> i & 1))
        rest = tuple(leg for leg in others if leg not in block)
        for partition in _partitions_of(rest, sizes):
            yield (block, *partition)
