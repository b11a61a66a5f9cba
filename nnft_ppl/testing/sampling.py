"""Draws for the contract check: outputs, and the random kernel K̂ where there is one.

In: a network, inputs, a key. Out: `Sample`, in float64 on the host, sampled in float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from nnft_ppl._network import Network
from nnft_ppl._typing import Draws, Key, Points
from nnft_ppl.architecture import Neuron
from nnft_ppl.ensemble.blocks import chunk_size
from nnft_ppl.ensemble.model import network_keys, sample_prior


@dataclass(frozen=True, eq=False)
class Sample:
    """Draws of the network at the check's inputs.

    Attributes:
        values: f (draw, point, output).
        kernels: K̂ (draw, point, point) given the features, or `None`.
    """

    values: Draws
    kernels: Float[np.ndarray, "draw point point"] | None


def draw(network: Network, points: Points, num_draws: int, key: Key) -> Sample:
    """Sample the prior, network j from (key, j), and evaluate it at the inputs."""
    readout = network.readout()
    chunk = min(chunk_size(network, len(points)), num_draws)

    def one(k: Key, x: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        params = sample_prior(network, k)
        values = network.apply(params, x)
        if readout is None:
            return values, None
        features = jax.vmap(lambda point: readout.features(params, point))(x)
        gram = jnp.matmul(features, features.T, precision="highest")
        weight = readout.weight_std**2 / features.shape[-1]
        return values, readout.bias_std**2 + weight * gram

    @jax.jit
    def block(x: jax.Array, start: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        return jax.vmap(lambda k: one(k, x))(network_keys(key, start, chunk))

    with jax.enable_x64(False):
        x = jnp.asarray(points, jnp.float32)
        blocks = [block(x, jnp.uint32(s)) for s in range(0, num_draws, chunk)]

    def join(parts: Sequence[jax.Array | None]) -> np.ndarray:
        return np.concatenate([np.asarray(p, np.float64) for p in parts])[:num_draws]

    values, kernels = zip(*blocks, strict=True)
    return Sample(join(values), None if readout is None else join(kernels))


def neuron_features(
    neuron: Neuron,
    covariance: Float[np.ndarray, "point point"],
    num_samples: int,
    key: Key,
) -> Float[np.ndarray, "sample point"]:
    """Sample φ(z), z ~ N(0, covariance), in float64; it may be singular."""
    eigenvalues, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    root = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
    with jax.enable_x64(True):
        noise = jax.random.normal(key, (num_samples, len(covariance)), jnp.float64)
        z = noise @ jnp.asarray(root.T)
        variance = jnp.broadcast_to(jnp.asarray(np.diag(covariance)), z.shape)
        return np.asarray(neuron.activation(z, variance))


def neuron_covariance(
    neuron: Neuron, points: Points
) -> Float[np.ndarray, "point point"]:
    """s(x_i, x_j) of the neuron's preactivation, in float64."""
    with jax.enable_x64(True):
        x = jnp.asarray(points)
        table = jax.vmap(lambda a: jax.vmap(lambda b: neuron.covariance(a, b))(x))(x)
        return np.asarray(table, np.float64)
