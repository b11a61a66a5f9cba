"""From averages over networks to connected correlators with their joint covariance."""

from collections.abc import Mapping
from math import prod

import numpy as np

from nnft_ppl._typing import Matrix, Packed
from nnft_ppl.correlators.partitions import (
    cumulant_weight,
    even_partitions,
    partitions,
)
from nnft_ppl.correlators.sampled.estimators import BiasCorrection
from nnft_ppl.correlators.sampled.sums import Mean
from nnft_ppl.correlators.symmetric import entries, num_entries, positions
from nnft_ppl.correlators.wick import connected_from_moments

type Spans = dict[int, slice]
"""Where each order is among all quantities."""


def connected_estimate(
    mean: Mean,
    num_legs: int,
    orders: tuple[int, ...],
    kernel: Packed,
    num_draws: int,
    *,
    bias: BiasCorrection,
) -> tuple[dict[int, Packed], Matrix]:
    """Connected correlators and their joint covariance from the averages.

    What is averaged are moments of a field whose 2-pt function is the measured one less
    the reference `kernel`: δ. The cumulants follow by the usual sum over partitions,
    and do not depend on the reference. Products of averages over the same networks
    exceed the products of what they estimate; `bias` says how that is undone:

    - `linear`: δ is zero but for noise, because the reference is the exact 2-pt
      function. Terms of second order in δ are left out; in first order δ is a control
      variate, with minus the connected correlator two orders below for a coefficient:
      it removes the part of the 6- and 8-pt errors that comes from the 2-pt function.
      What remains of products is corrected by their covariance: unbiased.
    - `k-statistics`: the averages are those of `pairing_sums` of a random kernel, of
      which correlators are cumulants: unbiased (Fisher).
    - `covariance`: E[â b̂] = a b + Cov(â, b̂), of every pair in a product: exact for
      order 4, a bias of order one over the number of networks squared above.
    - `plain`: not at all; of order one over the number of networks.

    The covariance is that of first order in the errors of the averages.

    Returns:
        order -> packed connected correlator, and the covariance of all of them
        concatenated, float64.
    """
    sizes = [num_entries(num_legs, k) for k in orders]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    span = {k: slice(offsets[i], offsets[i + 1]) for i, k in enumerate(orders)}
    raw = {k: mean.value[span[k]] for k in orders}
    point = {**raw, 2: np.zeros_like(raw[2])} if bias == "linear" else raw
    plain, jacobian = cumulants(point, num_legs)
    connected = {orders[0]: raw[orders[0]]}
    for order in orders[1:]:
        value = plain[order]
        if bias == "linear":
            excess = _product_excess(
                mean.covariance, raw, span, num_legs, order, linear=True
            )
            value = value - excess + jacobian[span[order], span[2]] @ raw[2]
        elif bias == "covariance":
            value = value - _product_excess(
                mean.covariance, raw, span, num_legs, order, linear=False
            )
        elif bias == "k-statistics":
            products = _squares(plain[4], num_legs) if order == 8 else 0 * value
            value = _k_statistic(value + products, products, order, num_draws)
        connected[order] = value
    connected[2] = kernel + connected[2]
    return connected, jacobian @ mean.covariance @ jacobian.T


def cumulants(
    moments: Mapping[int, Packed], num_legs: int
) -> tuple[dict[int, Packed], Matrix]:
    """Connected correlators by the sum over partitions, nothing done about its bias.

    Args:
        moments: Order -> packed moment, sorted.
        num_legs: Number of legs.

    Returns:
        By order, and the derivatives of all of them by all moments, concatenated.
    """
    parts = {k: connected_from_moments(moments, num_legs, k) for k in moments}
    jacobian = np.zeros((sum(map(len, moments.values())),) * 2)
    start = 0
    for value, slopes in parts.values():
        block = np.concatenate([slopes[k] for k in sorted(slopes)], axis=1)
        jacobian[start : start + len(value), : block.shape[1]] = block
        start += len(value)
    return {k: value for k, (value, _) in parts.items()}, jacobian


def _product_excess(
    covariance: Matrix,
    averages: Mapping[int, Packed],
    span: Spans,
    num_legs: int,
    order: int,
    *,
    linear: bool,
) -> Packed:
    """What the products in a cumulant exceed their truth by: Σ over pairs of factors.

    With `linear` only products of first order in the 2-pt function and of two factors:
    those that are left where it is zero but for noise.
    """
    table = entries(num_legs, order)
    total = np.zeros(len(table))
    for partition in partitions(order, averages):
        count = len(partition)
        if count < 2 or (linear and (count > 2 or order == 4)):
            continue
        places = [positions(num_legs, table[:, list(block)]) for block in partition]
        factors = [
            averages[len(block)][place]
            for block, place in zip(partition, places, strict=True)
        ]
        rows = [
            span[len(block)].start + place
            for block, place in zip(partition, places, strict=True)
        ]
        for i in range(count):
            for j in range(i + 1, count):
                others = prod(factors[m] for m in range(count) if m not in (i, j))
                pair = covariance[rows[i], rows[j]]
                total += cumulant_weight(count) * pair * others
    return total


def _squares(four: Packed, num_legs: int) -> Packed:
    """Σ_35 of products of two entries of order 4, for the entries of order 8."""
    table = entries(num_legs, 8)
    total = np.zeros(len(table))
    for partition in even_partitions(8):
        if [len(block) for block in partition] == [4, 4]:
            first, second = (
                four[positions(num_legs, table[:, list(block)])] for block in partition
            )
            total += first * second
    return total


def _k_statistic(
    central: Packed, products: Packed, order: int, num_draws: int
) -> Packed:
    """Unbiased cumulant of K̂ from central moments about its own mean.

    Args:
        central: Moments of order k/2 of K̂, summed over pairings of the legs.
        products: What a cumulant subtracts of them: zero below order 8, where the three
            products of two covariances give Σ_35 of two 4-pt averages.
        order: k.
        num_draws: Networks behind the moments, m.

    Source: Fisher, Proc. London Math. Soc. 30 (1929) 199, k_2 to k_4.
    """
    m = num_draws
    if order == 4:
        return central * m / (m - 1)
    if order == 6:
        return central * m**2 / ((m - 1) * (m - 2))
    scale = m**2 / ((m - 1) * (m - 2) * (m - 3))
    return np.asarray(scale * ((m + 1) * central - (m - 1) * products))
