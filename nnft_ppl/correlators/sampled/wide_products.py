"""Mean products over groups of networks, as large matrix products.

What `network_products.py` gives, for devices that multiply matrices faster than they
read them: no loop over cores and no barrier for a compiler that makes each array a loop
of its own. Products of the highest order are sums over a group of products of lower
ones, all groups in one batched matrix product of full precision.
"""

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl.correlators.sampled.network_products import (
    Draws,
    Means,
    by_order,
    monomials,
)
from nnft_ppl.correlators.symmetric import entries, positions
from nnft_ppl.correlators.wick import partition_sums


def wide_means(
    draws: Draws, num_legs: int, orders: tuple[int, ...], group: int, *, outputs: bool
) -> Means:
    """What `means_over_networks` gives, but for rounding; arguments as there."""
    if outputs:
        return jnp.concatenate([_monomial_means(draws, k, group) for k in orders])
    cumulants = by_order(draws, num_legs, orders)
    if len(cumulants) > 1 or orders == (2,):
        sums = partition_sums(cumulants, num_legs, orders)
        return jnp.concatenate([_group_means(sums[k], group) for k in orders])
    lower = partition_sums(cumulants, num_legs, orders[:-1])
    top = _pairing_means(lower[orders[-2]], cumulants[2], num_legs, orders[-1], group)
    return jnp.concatenate([*(_group_means(lower[k], group) for k in lower), top])


def _monomial_means(field: Draws, order: int, group: int) -> Means:
    """Means of f_1 … f_k: of a product of the lower and one of the upper half."""
    if order == 1:
        return _group_means(field, group)
    num_legs, half = len(field), order // 2
    halves = monomials(field, half)
    longer = halves if order % 2 == 0 else monomials(field, order - half)
    products = _outer_means(longer, halves, group)
    whole = entries(num_legs, order)
    lower, upper = (
        positions(num_legs, part) for part in np.split(whole, [order - half], axis=1)
    )
    return products[lower * len(halves) + upper]


def _pairing_means(
    lower: Draws, pairs: Draws, num_legs: int, order: int, group: int
) -> Means:
    """Means of sums over pairings, from those two orders below: Σ_m Δ_1m × the rest."""
    products = _outer_means(lower, pairs, group)
    table = entries(num_legs, order)
    terms = []
    for m in range(1, order):
        pair = positions(num_legs, table[:, [0, m]])
        rest = positions(num_legs, np.delete(table, [0, m], axis=1))
        terms.append(products[rest * len(pairs) + pair])
    total: Means = sum(terms[1:], start=terms[0])
    return total


def _outer_means(left: Draws, right: Draws, group: int) -> Means:
    """Mean over each group of every product of a row of one and one of the other."""
    sums = jnp.einsum(
        "lgn,rgn->lrg",
        left.reshape(len(left), -1, group),
        right.reshape(len(right), -1, group),
        precision=jax.lax.Precision.HIGHEST,
    )
    return sums.reshape(len(left) * len(right), -1) / group


def _group_means(table: Draws, group: int) -> Means:
    return table.reshape(len(table), -1, group).mean(axis=-1)
