"""Partitions of the legs of a correlator into blocks of even size.

All odd correlators of the fields treated here vanish, so only these partitions enter
the sums between moments and cumulants, and the Wick theorem is the case of pairs.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import factorial

MAX_ORDER = 8
"""Highest order of correlators: its 379 even partitions are summed one at a time."""

type Partition = tuple[tuple[int, ...], ...]


@lru_cache(maxsize=16)
def even_partitions(order: int) -> tuple[Partition, ...]:
    """All set partitions of range(order) into blocks of even size, blocks sorted."""
    return tuple(sorted(_even_partitions(tuple(range(order)))))


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


def _even_partitions(legs: tuple[int, ...]) -> Iterator[Partition]:
    """Yield partitions in which the first leg's block comes first."""
    if not legs:
        yield ()
        return
    first, others = legs[0], legs[1:]
    for mask in range(1 << len(others)):
        block = (first, *(leg for i, leg in enumerate(others) if mask >> i & 1))
        if len(block) % 2:
            continue
        rest = tuple(leg for leg in others if leg not in block)
        for partition in _even_partitions(rest):
            yield (block, *partition)
