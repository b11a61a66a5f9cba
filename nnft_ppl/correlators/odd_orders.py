"""Odd orders taken out: those that a symmetry forbids, and the mean."""

from dataclasses import replace

import numpy as np

from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.readout_weights import bias_mean
from nnft_ppl.correlators.symmetric import num_entries


def with_vanishing_odd_orders(
    correlators: Correlators, orders: tuple[int, ...]
) -> Correlators:
    """The same with odd orders, where they are asked for, that are without error.

    The mean is that of the output bias, and all others are zero.

    Args:
        correlators: Of even orders, of a network that is symmetric about its mean.
        orders: From `check_orders`.
    """
    if orders == correlators.orders:
        return correlators
    sizes = {k: num_entries(correlators.num_legs, k) for k in orders}
    covariance = correlators.joint_covariance
    if not correlators.is_exact:
        even = np.concatenate([np.full(n, k % 2 == 0) for k, n in sizes.items()])
        covariance = np.zeros((len(even),) * 2)
        covariance[np.ix_(even, even)] = correlators.joint_covariance
    none = {k: np.zeros(n) for k, n in sizes.items()}
    values = none | dict(correlators.connected_values)
    values[1] = none[1] + bias_mean(correlators.network)
    return replace(
        correlators,
        orders=orders,
        connected_values=values,
        joint_covariance=covariance,
        numerical_error=none | dict(correlators.numerical_error),
        effective_batches={}
        if correlators.is_exact
        else {k: zeros + np.inf for k, zeros in none.items()}
        | dict(correlators.effective_batches),
    )


def about_mean(correlators: Correlators) -> Correlators:
    """The correlators of the field less its mean: connected ones are the same."""
    if 1 not in correlators.orders:
        return correlators
    values = dict(correlators.connected_values)
    covariance, legs = correlators.joint_covariance, correlators.num_legs
    if not correlators.is_exact:
        covariance = covariance.copy()
        covariance[:legs] = covariance[:, :legs] = 0.0
    return replace(
        correlators,
        connected_values=values | {1: np.zeros(legs)},
        joint_covariance=covariance,
    )
