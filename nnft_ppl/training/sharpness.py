"""The largest eigenvalue of the tangent kernel of data, which bounds learning rates."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._errors import UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Matrix
from nnft_ppl.bayes.data import Data
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.training.measured_tangent_kernel import tangent_kernel_blocks

_NETWORKS = 128
"""Whose eigenvalues are looked at."""
_MARGIN = 0.5
"""Of one over the largest eigenvalue among some networks: others, and the same later,
may have four times as large a one and be stable."""


def limit_sharpness(
    network: Network,
    data: Data,
    parametrization: str,
    train: str,
    key: Key,
    devices: tuple[jax.Device, ...],
) -> float:
    """λ of the kernel at infinite width; of a mean over networks where unknown."""
    if train == "all":
        try:
            kernel = network.tangent_kernel(data.x, parametrization=parametrization)
            return _largest(kernel)
        except UnavailableError:
            pass
    kernels = _kernels(network, data, parametrization, train, key, devices)
    return _largest(np.mean(kernels, axis=0))


def safe_rate(
    networks: Sequence[Network],
    data: Data,
    parametrization: str,
    train: str,
    temperature: float,
    key: Key,
    devices: tuple[jax.Device, ...],
) -> float:
    """Half of one over λ + T, the largest λ among the first networks of the key."""
    largest = max(
        _largest(kernel)
        for network in networks
        for kernel in _kernels(network, data, parametrization, train, key, devices)
    )
    steepest = max(largest, 0.0) + temperature
    return _MARGIN / steepest if steepest > 0 else 1.0


def _largest(kernel: Matrix) -> float:
    return float(np.linalg.eigvalsh((kernel + kernel.T) / 2)[-1])


def _kernels(
    network: Network,
    data: Data,
    parametrization: str,
    train: str,
    key: Key,
    devices: tuple[jax.Device, ...],
) -> np.ndarray:
    """(network, leg, leg) Θ of the trained parameters."""
    packed = np.concatenate(
        list(
            tangent_kernel_blocks(
                network,
                jnp.asarray(data.points[data.rows]),
                parametrization,
                train,
                key=key,
                num_draws=_NETWORKS,
                devices=devices,
            )
        )
    )
    size = data.y.size
    rows, columns = entries(size, 2).T
    kernels = np.empty((len(packed), size, size))
    kernels[:, rows, columns] = kernels[:, columns, rows] = packed
    return kernels
