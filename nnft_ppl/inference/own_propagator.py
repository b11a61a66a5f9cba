"""Where no kernel is known, the measured 2-pt function is the propagator.

In: correlators. Out: the same beside a kernel that is a table over their inputs, and
what the noise of that table does to the difference of data and prediction. Both come
from the same draws, so that the noise of the 2-pt function is in either, and their
correlation counts: with C the joint covariance, U Λ Uᵀ that of the 2-pt function and F
the response of the prediction to a standard deviation along each column of U, it is
C_kk − X Xᵀ + (F − X)(F − X)ᵀ with X = C_k2 U Λ^{-1/2}, to first order in the noise.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from nnft_ppl._drawn_network import with_table_kernel
from nnft_ppl._known_kernel import TableKernel
from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Packed, Points
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.odd_orders import about_mean
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.correlators.wick import pack_kernel
from nnft_ppl.eft.action import Action
from nnft_ppl.inference.measured_propagator import predicted

_LEAST = 1e-4
"""Variance, relative to the largest, of a direction that is followed."""
_MOST_DIRECTIONS = 64


def as_fitted(correlators: Correlators, *, with_mean: bool = False) -> Correlators:
    """What an action is fitted to: the field less its mean, beside its propagator.

    That is the kernel where one is known, else the measured 2-pt function. Correlators
    of several outputs, of which no action is fitted, are left as they are.

    Args:
        correlators: Measured or exact.
        with_mean: The action makes the mean, which is then data.
    """
    if not with_mean:
        correlators = about_mean(correlators)
    if correlators.network.has_kernel or correlators.num_outputs != 1:
        return correlators
    network = _with_propagator(
        correlators.network, correlators.x, correlators.connected(2)
    )
    return replace(correlators, network=network)


def has_own_propagator(correlators: Correlators) -> bool:
    """Whether the kernel is the measured 2-pt function of the same draws."""
    kernel = correlators.network.architecture.kernel
    return isinstance(kernel, TableKernel) and np.array_equal(
        pack_kernel(kernel.table), correlators.connected(2)
    )


def covariance_of_difference(
    correlators: Correlators,
    action: Action,
    cutoffs: Sequence[float],
    couplings: Float[np.ndarray, "cutoff operator"],
) -> Matrix:
    """Of data less prediction, all orders of the action, (entry, entry).

    Args:
        correlators: With their own propagator.
        action: What is fitted.
        cutoffs: Of the measure; that at which the noise is largest counts.
        couplings: g, about which predictions are taken.
    """
    orders = action.orders
    joint = correlators.joint_block((2, *orders))
    number = len(correlators.connected(2))
    values, vectors = np.linalg.eigh(joint[:number, :number])
    kept = np.flatnonzero(values > _LEAST * values[-1])[::-1][:_MOST_DIRECTIONS]
    steps = vectors[:, kept] * np.sqrt(values[kept])
    data = joint[number:, number:]
    common = joint[number:, :number] @ (vectors[:, kept] / np.sqrt(values[kept]))
    measured, x = correlators.connected(2), correlators.x
    base, *moved = (
        predicted(
            _with_propagator(correlators.network, x, measured + step),
            action,
            x,
            cutoffs,
            couplings,
        )
        for step in (0.0, *steps.T)
    )
    response = np.stack([there - base for there in moved], axis=-1)
    left = data - common @ common.T
    found = [left + (f - common) @ (f - common).T for f in response]
    return max(found, key=np.trace)


def _with_propagator(network: Network, x: Points, table: Packed) -> Network:
    """The network with this propagator at the inputs."""
    return with_table_kernel(network, x, _unpacked(table))


def _unpacked(packed: Packed) -> Matrix:
    """The symmetric (point, point) matrix of these entries."""
    num_points = round((np.sqrt(8 * len(packed) + 1) - 1) / 2)
    matrix = np.empty((num_points, num_points))
    rows, columns = entries(num_points, 2).T
    matrix[rows, columns] = matrix[columns, rows] = packed
    return matrix
