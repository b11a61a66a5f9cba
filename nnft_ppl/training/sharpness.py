"""The largest eigenvalue of the tangent kernel of data, which bounds learning rates."""

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


def sharpest(
    network: Network,
    data: Data,
    parametrization: str,
    train: str,
    key: Key,
    devices: tuple[jax.Device, ...],
) -> float:
    """The largest λ among the first networks of the key."""
    kernels = _kernels(network, data, parametrization, train, key, devices)
    return max(_largest(kernel) for kernel in kernels)


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
