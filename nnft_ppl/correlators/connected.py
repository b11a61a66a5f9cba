"""From averages over networks to connected correlators with their joint covariance."""

import numpy as np

from nnft_ppl._typing import Matrix, Packed
from nnft_ppl.correlators.partitions import even_partitions
from nnft_ppl.correlators.streaming import Mean
from nnft_ppl.correlators.symmetric import entries, num_entries, positions
from nnft_ppl.correlators.wick import connected_from_moments


def connected_estimate(
    mean: Mean,
    num_points: int,
    orders: tuple[int, ...],
    estimator: str,
    kernel: Packed,
    num_draws: int,
    *,
    kernel_is_exact: bool,
) -> tuple[dict[int, Packed], Matrix]:
    """Connected correlators and their joint covariance from the averages.

    What `conditional` and `wick` average are moments of a field whose 2-pt function is
    the measured one less the reference, δ: zero but for noise. The cumulants follow by
    the usual sum over partitions, kept to first order in δ. There δ is a control
    variate: its coefficient is minus the connected correlator two orders below, which
    removes the part of the 6- and 8-pt errors that comes from the 2-pt function, and
    makes the error right when the reference kernel is itself measured on the same
    networks. From order 8 on, products of two measured 4-pt functions are subtracted:
    E[:f_1…f_8:] = G8c + Σ_35 G4c G4c.

    Returns:
        order -> packed connected correlator, and the covariance of all of them
        concatenated, float64.
    """
    sizes = [num_entries(num_points, k) for k in orders]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    span = {k: slice(offsets[i], offsets[i + 1]) for i, k in enumerate(orders)}
    raw = {k: mean.value[span[k]] for k in orders}
    jacobian = np.eye(offsets[-1])
    connected = {}
    if estimator == "moments":
        for order in orders:
            connected[order], slopes = connected_from_moments(raw, num_points, order)
            for k, slope in slopes.items():
                jacobian[span[order], span[k]] = slope
        return connected, jacobian @ mean.covariance @ jacobian.T
    connected[2] = kernel + raw[2]
    at_zero = {**raw, 2: np.zeros_like(raw[2])}
    for order in orders[1:]:
        value, slopes = connected_from_moments(at_zero, num_points, order)
        for k, slope in slopes.items():
            jacobian[span[order], span[k]] = slope
        if kernel_is_exact or estimator == "wick":
            value = value + _product_bias(mean.covariance, span, num_points, order)
        else:
            value = _k_statistic(raw[order], raw[order] - value, order, num_draws)
        connected[order] = value + slopes[2] @ raw[2]
    return connected, jacobian @ mean.covariance @ jacobian.T


def _product_bias(
    covariance: Matrix, span: dict[int, slice], num_points: int, order: int
) -> Packed:
    """What products of two averages of the same networks exceed the true ones by.

    E[â b̂] = a b + Cov(â, b̂), summed over the partitions into two blocks of which at
    most one is a pair: those that `connected_estimate` subtracts.
    """
    table = entries(num_points, order)
    bias = np.zeros(len(table))
    for partition in even_partitions(order):
        if len(partition) == 2 and order > 4:
            first, second = (
                span[len(block)].start + positions(num_points, table[:, list(block)])
                for block in partition
            )
            bias += covariance[first, second]
    return bias


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
