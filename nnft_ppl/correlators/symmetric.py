"""Packed symmetric tensors: only the C(n+k−1, k) unique entries of k indices.

Entries are in `itertools.combinations_with_replacement` order everywhere in nnft_ppl.
"""

from functools import lru_cache
from itertools import combinations_with_replacement
from math import comb

import numpy as np
from jaxtyping import Float, Int


def num_entries(num_points: int, order: int) -> int:
    """Number of unique entries of a symmetric tensor: C(n+k−1, k)."""
    return comb(num_points + order - 1, order)


@lru_cache(maxsize=64)
def entries(num_points: int, order: int) -> Int[np.ndarray, "entry order"]:
    """Sorted index tuples of the unique entries, shape (entry, order), read-only."""
    table = np.array(
        list(combinations_with_replacement(range(num_points), order)), dtype=np.int64
    ).reshape(num_entries(num_points, order), order)
    table.flags.writeable = False
    return table


def positions(
    num_points: int, indices: Int[np.ndarray, "*batch order"]
) -> Int[np.ndarray, "*batch"]:
    """Packed position of every index tuple (in any order) along the last axis.

    Combinatorial number system: after sorting and shifting, i_m + m is a strictly
    increasing combination of n + k − 1, whose lexicographic rank is a sum of binomials.
    """
    order = indices.shape[-1]
    table = np.sort(indices, axis=-1) + np.arange(order)
    top = num_points + order - 1
    # rank = C(top, k) − 1 − Σ_m C(top − 1 − c_m, k − m)
    rank = np.full(indices.shape[:-1], comb(top, order) - 1, dtype=np.int64)
    for m in range(order):
        choose = np.array([comb(j, order - m) for j in range(top)], dtype=np.int64)
        rank -= choose[top - 1 - table[..., m]]
    return rank


def entry_size(
    variance: Float[np.ndarray, " point"], order: int
) -> Float[np.ndarray, " entry"]:
    """Natural size Π_i √variance(x_i) of each packed entry: positive, no sign changes.

    The discrepancy of an effective theory and the rounding of sums are relative to it,
    not to the entry, which may pass through zero.
    """
    return np.prod(np.sqrt(variance)[entries(len(variance), order)], axis=1)
