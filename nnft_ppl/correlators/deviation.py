"""How far a network's correlators are from those of a Gaussian process.

In: `Correlators`. Out: one number with its error per order, the mean relative deviation
that arXiv:2008.08601 plots against the width.
"""

from dataclasses import dataclass

import numpy as np

from nnft_ppl._typing import Packed
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.symmetric import entry_size
from nnft_ppl.correlators.wick import moment_from_connected

_NEGLIGIBLE = 1e-9
"""Gaussian moments below this times the largest are left out of relative deviations."""


@dataclass(frozen=True, eq=False)
class Deviation:
    """Mean over entries of |G^(k) − G_GP^(k)| / |G_GP^(k)|.

    G_GP is `Correlators.gaussian_moment`; entries where it vanishes are left out. Of an
    odd k it is relative to Π_i √G_c^(2)(x_i, x_i), as there G_GP is small or zero.

    Attributes:
        order: k.
        value: The mean, dimensionless.
        error: One standard error of it, all correlations and the error of the kernel
            included; where noise dominates, `value` is of the size of `background`
            whatever the truth.
        background: What sampling noise and the error of the kernel alone do to one
            entry: mean over entries of the error of the relative deviation; 0 when
            both correlators and kernel are exact.
        is_heavy_tailed: Whether a few networks dominate an entry and its error.
    """

    order: int
    value: float
    error: float
    background: float
    is_heavy_tailed: bool


def mean_deviation(correlators: Correlators, order: int) -> Deviation:
    """The deviation of one order.

    Args:
        correlators: Measured or exact.
        order: One of the orders present.

    Raises:
        SpecError: The order is not among those present.

    Source: arXiv:2008.08601 §2.4, with the noise from the covariance in place of the
        spread of ten experiments.
    """
    gaussian = correlators.gaussian_moment(order)
    scale = gaussian
    if order % 2:
        first, second = correlators.entries(2).T
        variance = correlators.connected(2)[first == second]
        scale = entry_size(np.maximum(variance, 0.0), order)
    keep = np.abs(scale) > _NEGLIGIBLE * np.abs(scale).max()
    relative = (correlators.moment(order) - gaussian)[keep] / scale[keep]
    value = float(np.mean(np.abs(relative)))
    kernel_error = correlators.gaussian_moment_error(order)[keep]
    doubt = float(np.mean(kernel_error / np.abs(scale[keep])))
    if correlators.is_exact:
        error = correlators.error(order)[keep] / np.abs(scale[keep])
        return Deviation(order, value, float(np.mean(error)) + doubt, doubt, False)
    if not correlators.network.has_kernel:
        doubt = 0.0  # the same 2-pt function is on both sides
    background = correlators.error(order)[keep] / np.abs(scale[keep])
    weight = np.zeros(len(gaussian))
    weight[keep] = np.sign(relative) / scale[keep] / len(relative)
    error = _error_of_sum(correlators, order, weight)
    return Deviation(
        order=order,
        value=value,
        error=error + doubt,
        background=float(np.mean(background)) + doubt,
        is_heavy_tailed=bool(correlators.heavy_tailed(order).any()),
    )


def _error_of_sum(correlators: Correlators, order: int, weight: Packed) -> float:
    """Standard error of Σ_e weight_e (G^(k) − G_GP^(k))_e, but for the kernel's."""
    jacobian = moment_from_connected(
        correlators.connected_values, correlators.num_legs, order
    )[1]
    # The Gaussian moment moves with the same mean, and 2-pt function if none is known.
    moved = {1} if correlators.network.has_kernel else {1, 2}
    parts = {k: v * (k <= 2) for k, v in correlators.connected_values.items()}
    gaussian = moment_from_connected(parts, correlators.num_legs, order)[1]
    for k in moved & set(jacobian):
        jacobian[k] = jacobian[k] - gaussian[k]
    slope = weight @ np.concatenate([jacobian[k] for k in sorted(jacobian)], axis=1)
    size = len(slope)
    covariance = correlators.joint_covariance[:size, :size]
    return float(np.sqrt(max(0.0, slope @ covariance @ slope)))
