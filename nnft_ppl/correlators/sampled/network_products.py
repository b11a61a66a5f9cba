"""Mean products of what networks contribute, over groups of networks.

In: draws (row, network) of one chunk. Out: (quantity, group): the mean over each group
of networks of every entry of every order. Products of the highest order are never held
for a network: they are sums over networks of products of lower ones, which are matrix
products.
"""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from nnft_ppl._typing import Matrix, Packed
from nnft_ppl.correlators.symmetric import entries, num_entries, positions
from nnft_ppl.correlators.wick import pairing_sums, partition_sums

_SUMMED_IN_HALVES = 64
"""Networks in a group from which on it pays."""

type Draws = Float[jax.Array, "row draw"]
type Means = Float[jax.Array, "quantity group"]


def means_over_networks(
    draws: Draws, num_legs: int, orders: tuple[int, ...], group: int, *, outputs: bool
) -> Means:
    """Means over groups of neighbouring networks.

    Args:
        draws: Outputs leg by leg, or packed cumulants given the features, of the
            first few of the orders.
        num_legs: Number of legs.
        orders: All even orders from 2 up to the highest, or all from 1.
        group: Networks in a group; a divisor of their number.
        outputs: The draws are outputs: products of them; else sums over partitions
            of the legs into cumulants.
    """
    if outputs:
        parts = [_monomial_means(draws, k, group) for k in orders]
        return jnp.concatenate(parts)
    cumulants = by_order(draws, num_legs, orders)
    if len(cumulants) > 1:
        sums = partition_sums(cumulants, num_legs, orders)
        return _group_means(jnp.concatenate([sums[k] for k in orders]), group)
    pairs, top = cumulants[2], orders[-1]
    if top == 2:
        return _group_means(pairs, group)
    lower = orders[:-1]
    # Held, or each of their many users would compute them again.
    sums = jax.lax.optimization_barrier(partition_sums({2: pairs}, num_legs, lower))
    parts = [_group_means(sums[k], group) for k in lower]
    return jnp.concatenate(
        [*parts, _pairing_means(sums[top - 2], pairs, num_legs, top, group)]
    )


def by_order(draws: Draws, num_legs: int, orders: tuple[int, ...]) -> dict[int, Draws]:
    """Cumulants given the features, cut: those of the orders that there are."""
    cumulants, start = {}, 0
    for k in orders:
        if start == len(draws):
            break
        cumulants[k] = draws[start : start + num_entries(num_legs, k)]
        start += num_entries(num_legs, k)
    return cumulants


def wick_matrix(
    kernel: Packed, num_legs: int, orders: tuple[int, ...]
) -> tuple[Matrix, Packed]:
    """From means of products to means of Wick-ordered products: matrix and constant.

    f_1 … f_k = Σ over subsets S of the legs, of even size, of the moment of a Gaussian
    field on S times the Wick-ordered product of the rest, solved for the latter.

    Args:
        kernel: (entry,) packed covariance, float64.
        num_legs: Number of legs.
        orders: All even orders from 2 up to the highest, or all from 1.

    Source: theory.md §3.
    """
    even = tuple(k for k in orders if k % 2 == 0)
    sizes = [num_entries(num_legs, k) for k in orders]
    ends = np.cumsum(sizes)
    gaussian = pairing_sums(kernel, num_legs, even)
    rows: dict[int, Matrix] = {}
    for k, size, end in zip(orders, sizes, ends, strict=True):
        table = entries(num_legs, k)
        row = np.zeros((size, ends[-1] + 1))  # the last column is the constant
        row[:, end - size : end] = np.eye(size)
        row[:, -1] = -gaussian.get(k, 0.0)
        for paired in even:
            if paired >= k:
                break
            for subset in map(list, combinations(range(k), paired)):
                rest = np.delete(table, subset, axis=1)
                weight = gaussian[paired][positions(num_legs, table[:, subset])]
                row -= weight[:, None] * rows[k - paired][positions(num_legs, rest)]
        rows[k] = row
    full = np.concatenate([rows[k] for k in orders])
    return full[:, :-1], full[:, -1]


def monomials(field: Draws, order: int) -> Draws:
    """Packed products of `order` fields, (entry, network)."""
    table = entries(len(field), order)
    products = field[table[:, 0]]
    for column in table.T[1:]:
        products = products * field[column]
    return products


def _monomial_means(field: Draws, order: int, group: int) -> Means:
    """Means of f_1 … f_k: of a product of the lower and one of the upper half.

    An entry is sorted, so that its lower half ends where the upper begins or before.
    With m the first leg of the upper half, all entries are in the rectangles (lower
    halves that end by m) × (upper halves that begin with m), each exactly once. Of an
    odd order the lower half is the longer one.
    """
    if order == 1:
        return _group_means(field, group)
    num_legs, half = len(field), order // 2
    table = entries(num_legs, half)
    halves = jax.lax.optimization_barrier(monomials(field, half))
    longer = order - half
    below = entries(num_legs, longer)
    lower_halves = halves if longer == half else monomials(field, longer)
    # Sorted by the last leg, lower halves lie side by side, too.
    by_last = np.lexsort(below.T)
    lower_halves = jax.lax.optimization_barrier(lower_halves[by_last])
    parts, legs = [], []
    for m in range(num_legs):
        lower, upper = slice(num_entries(m + 1, longer)), _beginning(num_legs, half, m)
        parts.append(_outer_means(lower_halves[lower], halves[upper], group))
        rows, columns = below[by_last[lower]], table[upper]
        shape = len(rows), len(columns)
        first = np.broadcast_to(rows[:, None], (*shape, longer))
        second = np.broadcast_to(columns[None], (*shape, half))
        legs.append(np.concatenate([first, second], axis=2).reshape(-1, order))
    order_of = np.argsort(positions(num_legs, np.concatenate(legs)))
    return _joined(parts)[order_of]


def _pairing_means(
    lower: Draws, pairs: Draws, num_legs: int, order: int, group: int
) -> Means:
    """Means of sums over pairings, from those two orders below: Σ_m Δ_1m × the rest.

    The rest of an entry that begins with leg m has no leg below m: products are taken
    in the rectangles (such rests) × (pairs that begin with m).
    """
    rests, two = entries(num_legs, order - 2), entries(num_legs, 2)
    place = np.zeros((len(rests), len(two)), np.int64)
    parts, size = [], 0
    for m in range(num_legs):
        later = slice(len(rests) - num_entries(num_legs - m, order - 2), None)
        own = _beginning(num_legs, 2, m)
        parts.append(_outer_means(lower[later], pairs[own], group))
        corner = place[later, own]
        corner[:] = size + np.arange(corner.size).reshape(corner.shape)
        size += corner.size
    products = _joined(parts)
    table = entries(num_legs, order)
    total = jnp.zeros((len(table), products.shape[1]))
    for m in range(1, order):
        pair = positions(num_legs, table[:, [0, m]])
        rest = positions(num_legs, np.delete(table, [0, m], axis=1))
        total = total + products[place[rest, pair]]
    return total


def _beginning(num_legs: int, order: int, m: int) -> slice:
    """Where the entries are that begin with leg m."""
    start, stop = (-num_entries(num_legs - leg, order) for leg in (m, m + 1))
    return slice(start, stop or None)


def _joined(parts: list[Means]) -> Means:
    """One table that is looked up; else each look-up would ask which part it is in."""
    held: Means = jax.lax.optimization_barrier(
        jnp.concatenate(jax.lax.optimization_barrier(parts))
    )
    return held


def _outer_means(left: Draws, right: Draws, group: int) -> Means:
    """Mean over each group of every product of a row of one and one of the other.

    A sum, not a matrix product: for so few rows it is as fast, and faster in groups.
    """
    left = left.reshape(len(left), 1, -1, group)
    right = right.reshape(1, len(right), -1, group)
    if group < _SUMMED_IN_HALVES:
        means = (left * right).mean(axis=-1)
    else:
        first, second = zip(_halves(left), _halves(right), strict=True)
        means = _sum(first[0] * first[1], second[0] * second[1]) / group
    return means.reshape(-1, means.shape[-1])


def _group_means(table: Draws, group: int) -> Means:
    table = table.reshape(len(table), -1, group)
    if group < _SUMMED_IN_HALVES:
        return table.mean(axis=-1)
    return _sum(*_halves(jax.lax.optimization_barrier(table))) / group


def _halves(table: jax.Array) -> tuple[jax.Array, jax.Array]:
    middle = table.shape[-1] // 2
    return table[..., :middle], table[..., middle:]


def _sum(first: jax.Array, second: jax.Array) -> jax.Array:
    """Sum of both over the last axis, in one loop of two results.

    On the CPU the compiler vectorises it better than a loop of one, and does not cut it
    over threads, which are busy with other pieces: up to five times as fast.
    """

    def add(
        one: tuple[jax.Array, jax.Array], two: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        return one[0] + two[0], one[1] + two[1]

    zero = np.zeros((), first.dtype)
    sums = jax.lax.reduce((first, second), (zero, zero), add, (first.ndim - 1,))
    total: jax.Array = sums[0] + sums[1]
    return total
