"""Means of all products of a few functions, from nodes and weights.

In: the functions at nodes, block by block. Out: packed moments. Products of even degree
come from a symmetric matrix product of packed monomials of half the degree, never one
entry at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from nnft_ppl._typing import Matrix, Packed
from nnft_ppl.correlators.symmetric import entries, num_entries, positions

type Moments = dict[int, Packed]
type Activation = Callable[[np.ndarray], np.ndarray]
"""z (point, node) -> φ (point, node)."""
type Rule = Iterable[tuple[np.ndarray, np.ndarray]]
"""Blocks of nodes (node, axis) and weights (node,)."""

_BLOCK = 1 << 19
"""Most numbers in one block of monomials: 4 MiB, near the caches."""


def means_over_nodes(
    activation: Activation, factor: Matrix, rule: Rule, orders: Sequence[int]
) -> Moments:
    """Σ_nodes w Π φ for all sets of legs: products of packed monomials of half degree.

    √w multiplies the monomials, so that the sum is a symmetric product P Pᵀ; of an odd
    order the first half is the longer one.
    """
    num_points, rank = factor.shape
    longest = (max(orders) + 1) // 2
    columns = num_entries(num_points, longest)
    size = 1 << min(16, max(10, (_BLOCK // columns).bit_length() - 1))
    sums: dict[int, Any] = dict.fromkeys(orders, 0.0)
    for nodes, weights in _rechunked(rule, size, rank):
        phi = activation(factor @ nodes.T)
        root = np.sqrt(weights)
        monomials = {0: np.ones((1, len(weights))), 1: phi}
        for half in range(2, longest + 1):
            legs = entries(num_points, half)
            start = positions(num_points, legs[:, :-1])
            monomials[half] = monomials[half - 1][start] * phi[legs[:, -1]]
        for order in orders:
            scaled = monomials[(order + 1) // 2] * root
            other = scaled if order % 2 == 0 else monomials[order // 2] * root
            sums[order] += scaled @ other.T
    moments = {}
    for order in orders:
        legs = entries(num_points, order)
        half = (order + 1) // 2
        left = positions(num_points, legs[:, :half])
        right = positions(num_points, legs[:, half:])
        moments[order] = sums[order][left, right]
    return moments


def hoelder_bound(moments: Moments, num_points: int, order: int) -> Packed:
    """Π_i E[φ_i^m]^{1/m} over the legs i of every entry: no entry is larger.

    m is the order, or the even one above it, which must be among the moments.
    """
    even = order + order % 2
    diagonal = np.repeat(np.arange(num_points)[:, None], even, axis=1)
    alone = moments[even][positions(num_points, diagonal)]
    root = np.maximum(alone, 0.0) ** (1 / even)
    return np.asarray(root[entries(num_points, order)].prod(axis=1))


def _rechunked(rule: Rule, size: int, rank: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Blocks of one size, the last filled with nodes at 0 of weight 0: one compile."""
    nodes, weights = np.zeros((0, rank)), np.zeros(0)
    for more_nodes, more_weights in rule:
        nodes = np.concatenate([nodes, more_nodes])
        weights = np.concatenate([weights, more_weights])
        while len(weights) >= size:
            yield nodes[:size], weights[:size]
            nodes, weights = nodes[size:], weights[size:]
    fill = (1 << max(10, (len(weights) - 1).bit_length())) - len(weights)
    yield np.pad(nodes, ((0, fill), (0, 0))), np.pad(weights, (0, fill))
