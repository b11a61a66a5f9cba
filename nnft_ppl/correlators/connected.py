"""From averages over networks to connected correlators with their joint covariance."""

import numpy as np

from nnft_ppl._typing import Matrix, Packed
from nnft_ppl.correlators.streaming import Mean
from nnft_ppl.correlators.symmetric import num_entries
from nnft_ppl.correlators.wick import connected_from_moments, moment_from_connected


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

    For orders above 2 the mean of K̂ − K (or of f f' − K) is a control variate: its
    coefficient is the connected correlator two orders below, which removes the part of
    the 6-pt error that comes from the 2-pt function, and makes the error right when
    the reference kernel is itself measured on the same networks.

    Returns:
        order -> packed connected correlator, and the covariance of all of them
        concatenated, float64.
    """
    sizes = [num_entries(num_points, k) for k in orders]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    span = {k: slice(offsets[i], offsets[i + 1]) for i, k in enumerate(orders)}
    raw = {k: mean.value[span[k]] for k in orders}
    jacobian = np.eye(offsets[-1])
    if estimator == "moments":
        connected = {}
        for order in orders:
            connected[order], slopes = connected_from_moments(raw, num_points, order)
            for k, slope in slopes.items():
                jacobian[span[order], span[k]] = slope
        return connected, jacobian @ mean.covariance @ jacobian.T
    connected = {2: kernel + raw[2]}
    for order in orders[1:]:
        connected[order] = raw[order]
        if estimator == "conditional" and not kernel_is_exact:
            connected[order] = raw[order] * _central_moment_factor(order, num_draws)
    if 6 in orders:
        # d/dK_ef of the 6-pt estimate is −Σ_15 G4c_abcd: the Jacobian of the terms
        # pair times quadruple of the moment sum, taken at connected G4c alone.
        slope = moment_from_connected(
            {2: 0 * raw[2], 4: connected[4], 6: 0 * raw[6]}, num_points, 6
        )[1][2]
        connected[6] = connected[6] - slope @ raw[2]
        jacobian[span[6], span[2]] = -slope
    return connected, jacobian @ mean.covariance @ jacobian.T


def _central_moment_factor(order: int, num_draws: int) -> float:
    """Factor that unbiases the central 2nd (order 4) or 3rd (order 6) moment of K̂."""
    m = num_draws
    return m / (m - 1) if order == 4 else m**2 / ((m - 1) * (m - 2))
