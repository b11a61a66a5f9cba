"""Wick's theorem and the sums between moments and cumulants, on packed tensors.

All functions take packed tensors with the entry axis FIRST and any batch axes behind,
and work on NumPy and JAX arrays alike.
"""

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from nnft_ppl._typing import Matrix, Packed
from nnft_ppl.correlators.partitions import cumulant_weight, partitions
from nnft_ppl.correlators.symmetric import entries, num_entries, positions

type Array = Any
"""NumPy or JAX array; the result is of the same library."""


def pack_kernel(kernel: Matrix) -> Packed:
    """Unique entries of a symmetric (point, point) matrix."""
    table = entries(len(kernel), 2)
    return np.asarray(kernel[table[:, 0], table[:, 1]])


def wick_powers(
    field: Array, kernel: Array, orders: tuple[int, ...]
) -> dict[int, Array]:
    """Wick-ordered products :f_1…f_k: with respect to the covariance `kernel`.

    The multivariate Hermite recursion on the first leg, :f_1…f_k: = f_1 :f_2…f_k: −
    Σ_m K_1m :the rest without f_m:. With kernel 0 they are the plain products.

    Args:
        field: (point, ...) values of the field.
        kernel: (entry,) packed covariance.
        orders: Orders wanted.

    Returns:
        order -> (entry, ...) packed.

    Source: theory.md §3.
    """
    num_points = len(field)
    powers: dict[int, Array] = {0: field[:1] * 0 + 1, 1: field}
    trailing = (slice(None),) + (None,) * (field.ndim - 1)
    for order in range(2, max(orders) + 1):
        table = entries(num_points, order)
        total = (
            field[table[:, 0]] * powers[order - 1][positions(num_points, table[:, 1:])]
        )
        for m in range(1, order):
            contracted = positions(num_points, table[:, [0, m]])
            rest = positions(num_points, np.delete(table, [0, m], axis=1))
            total = total - kernel[contracted][trailing] * powers[order - 2][rest]
        powers[order] = total
    return {order: powers[order] for order in orders}


def pairing_sums(
    pairs: Array, num_points: int, orders: tuple[int, ...]
) -> dict[int, Array]:
    """Σ over the (k−1)!! pairings of the product of `pairs`, by recursion on a leg.

    With the kernel for `pairs` these are the moments of the Gaussian process (Wick's
    theorem); with K̂ − K they are the conditional estimator of theory.md §3.

    Args:
        pairs: (entry, ...) packed order-2 tensor.
        num_points: Number of inputs.
        orders: Even orders wanted.

    Returns:
        order -> (entry, ...) packed.
    """
    return partition_sums({2: pairs}, num_points, orders)


def partition_sums(
    cumulants: Mapping[int, Array], num_points: int, orders: tuple[int, ...]
) -> dict[int, Array]:
    """Moments from cumulants, by recursion on the block that holds the first leg.

    Args:
        cumulants: Order -> (entry, ...) packed; orders left out are 0.
        num_points: Number of inputs.
        orders: Orders wanted, of sums that do not vanish.

    Returns:
        order -> (entry, ...) packed.
    """
    sums: dict[int, Array] = {}
    for order in range(1, max(orders) + 1):
        table = entries(num_points, order)
        terms = []
        for size in (k for k in cumulants if order - k in sums):
            for others in combinations(range(1, order), size - 1):
                block = [0, *others]
                rest = np.delete(table, block, axis=1)
                terms.append(
                    cumulants[size][positions(num_points, table[:, block])]
                    * sums[order - size][positions(num_points, rest)]
                )
        if order in cumulants:
            terms.append(cumulants[order])
        if terms:  # of even cumulants alone there are no odd sums
            sums[order] = sum(terms)
    return {order: sums[order] for order in orders}


def gaussian_moment(kernel: Matrix, order: int, mean: Packed | None = None) -> Packed:
    """G^(k) of the Gaussian process with the (point, point) covariance `kernel`.

    Args:
        kernel: (point, point).
        order: k; without a mean, odd ones vanish.
        mean: (point,) of the process; zero when `None`.
    """
    num_points = len(kernel)
    if mean is None and order % 2:
        return np.zeros(num_entries(num_points, order))
    cumulants = {} if mean is None else {1: mean}
    cumulants |= {2: pack_kernel(kernel)}
    return np.asarray(partition_sums(cumulants, num_points, (order,))[order])


def moment_from_connected(
    connected: Mapping[int, Packed], num_points: int, order: int
) -> tuple[Packed, dict[int, Matrix]]:
    """G^(k) = Σ over partitions of the product of connected correlators.

    Args:
        connected: Order -> packed connected correlator; those left out vanish, as all
            odd ones of a field with the symmetry f → −f.
        num_points: Number of inputs.
        order: k.

    Returns:
        The packed moment, and its Jacobian with respect to each order's connected
        entries, (entry of G^(k), entry of that order).
    """
    return _partition_sum(connected, num_points, order, lambda blocks: 1.0)


def connected_from_moments(
    moments: Mapping[int, Packed], num_points: int, order: int
) -> tuple[Packed, dict[int, Matrix]]:
    """The inverse: weight (−1)^{b−1} (b−1)! for a partition into b blocks."""
    return _partition_sum(moments, num_points, order, cumulant_weight)


def _partition_sum(
    parts: Mapping[int, Packed],
    num_points: int,
    order: int,
    weight: Callable[[int], float],
) -> tuple[Packed, dict[int, Matrix]]:
    """Weighted sum over partitions of products of `parts`, with its Jacobian."""
    table = entries(num_points, order)
    rows = np.arange(len(table))
    total = np.zeros(len(table))
    jacobian = {
        k: np.zeros((len(table), num_entries(num_points, k)))
        for k in sorted(parts)
        if k <= order
    }
    for partition in partitions(order, parts):
        places = [positions(num_points, table[:, list(block)]) for block in partition]
        factors = [
            parts[len(block)][place]
            for block, place in zip(partition, places, strict=True)
        ]
        total += weight(len(partition)) * np.prod(factors, axis=0)
        for i, block in enumerate(partition):
            others = np.prod([f for j, f in enumerate(factors) if j != i], axis=0)
            np.add.at(
                jacobian[len(block)],
                (rows, places[i]),
                weight(len(partition)) * others,
            )
    return total, jacobian
