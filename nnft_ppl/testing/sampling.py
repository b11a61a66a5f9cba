"""Draws for the conformance kit: outputs, and the random kernel K̂ where there is one.

In: a network, inputs, a key. Out: `Sample`, in float64 on the host, sampled in float32.
Each network and number of inputs is compiled once, whatever the key.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from nnft_ppl._compile import compiled
from nnft_ppl._network import Network
from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Draws, Key, Params, Points
from nnft_ppl.architecture import Neuron
from nnft_ppl.correlators.orders import order_vanishes
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.ensemble.model import network_keys, sample_prior

QUARTIC_POINTS = 3
"""Inputs, the first ones, of which products of four features are kept."""
FEWEST_EFFECTIVE = 20.0
"""Draws that an average of products must rest on for its error to be believed."""
_CHUNK_NETWORKS, _CHUNK_FLOATS = 512, 1 << 22
_NUMBERS_PER_DRAW = 4000
"""Parameters at one width that the time of one requested draw is worth."""
_FEWEST_DRAWS = 400


@dataclass(frozen=True, eq=False)
class Sample:
    """Draws of the network at the check's inputs.

    Attributes:
        values: f (draw, point, output).
        kernels: K̂ (draw, point, point) given the features, or `None`.
        quartics: (weight_std²/F)² Σ_j φ_j φ_j' φ_j'' φ_j''' at the entries of the first
            `QUARTIC_POINTS` inputs, (draw, entry), or `None`.
        is_about_mean: f and −f may not be alike, but for the mean of an output bias.
    """

    values: Draws
    kernels: Float[np.ndarray, "draw point point"] | None
    quartics: Float[np.ndarray, "draw entry"] | None
    is_about_mean: bool = False

    @cached_property
    def two_point(self) -> Float[np.ndarray, "draw point point"]:
        """What averages to E f f': K̂ when there is one, whose variance is less.

        Of the field less its mean, as a kernel is.
        """
        if self.kernels is not None and not self.is_about_mean:
            return self.kernels
        values, (draws, _, outputs) = self.values, self.values.shape
        if self.is_about_mean:
            values = (values - values.mean(axis=0)) * (draws / (draws - 1)) ** 0.5
        products = np.einsum("dio,djo->dij", values, values)
        return np.asarray(products / outputs)


def draw(network: Network, points: Points, num_draws: int, key: Key) -> Sample:
    """Sample the prior, network j from (key, j), and evaluate it at the inputs."""
    chunk = _chunk_size(network, len(points))
    with jax.enable_x64(False):
        x = jnp.asarray(points, jnp.float32)
        blocks = [
            _draw_chunk(key, x, jnp.uint32(start), network, chunk)
            for start in range(0, num_draws, chunk)
        ]

    def join(part: int) -> np.ndarray:
        arrays = [np.asarray(block[part], np.float64) for block in blocks]
        return np.concatenate(arrays)[:num_draws]

    about_mean = not order_vanishes(network, 3)
    if network.readout() is None:
        return Sample(join(0), None, None, about_mean)
    return Sample(join(0), join(1), join(2), about_mean)


def effective_draws(draws: Float[np.ndarray, "draw entry"]) -> float:
    """How many draws make up the variance of an average, of the worst entry."""
    deviations = draws - draws.mean(axis=0)
    scatter = (deviations**2).sum(axis=0) ** 2
    return float((scatter / np.maximum((deviations**4).sum(axis=0), 1e-300)).min())


def affordable_draws(network: Network, num_draws: int) -> int:
    """`num_draws`, less for networks of very many parameters."""
    affordable = _NUMBERS_PER_DRAW * num_draws // max(_num_parameters(network), 1)
    return min(num_draws, max(_FEWEST_DRAWS, affordable))


def _chunk(
    key: Key, x: jax.Array, start: jax.Array, network: Network, chunk: int
) -> tuple[jax.Array, ...]:
    """Values of `chunk` networks, and of their kernels and quartics if known."""
    readout = network.readout()
    num_points = min(QUARTIC_POINTS, len(x))

    def one(k: Key) -> tuple[jax.Array, ...]:
        params = sample_prior(network, k)
        values = network.apply(params, x)
        if readout is None:
            return (values,)
        features = _features(network, params, x)
        gram = jnp.matmul(features, features.T, precision="highest")
        weight = readout.weight_std**2 / features.shape[-1]
        products = features[entries(num_points, 4)].prod(axis=1).sum(axis=-1)
        return values, readout.bias_std**2 + weight * gram, weight**2 * products

    return jax.vmap(one)(network_keys(key, start, chunk))


_draw_chunk = compiled(_chunk, ("network", "chunk"))


@lru_cache(maxsize=64)
def _num_parameters(network: Network) -> int:
    """Numbers in the parameters of one network; nothing is sampled to count them."""
    params = jax.eval_shape(lambda k: sample_prior(network, k), seed_key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def _chunk_size(network: Network, num_points: int) -> int:
    """Networks per call: a power of two that bounds memory, of the network alone."""
    per_network = max(_num_parameters(network), network.width * num_points)
    size = _CHUNK_NETWORKS
    while size > 1 and size * per_network > _CHUNK_FLOATS:
        size //= 2
    return size


_draw_features = compiled(
    lambda key, x, start, network, chunk: jax.vmap(
        lambda k: _features(network, sample_prior(network, k), x)
    )(network_keys(key, start, chunk)),
    ("network", "chunk"),
)


def _features(network: Network, params: Params, x: jax.Array) -> jax.Array:
    """φ_j(x) of one draw, (point, feature)."""
    readout = network.readout()
    assert readout is not None
    return jax.vmap(lambda point: readout.features(params, point))(x)


def network_features(
    network: Network, points: Points, num_draws: int, key: Key
) -> Float[np.ndarray, "draw feature point"]:
    """The last hidden layer of sampled networks that have a linear readout."""
    chunk = _chunk_size(network, len(points))
    with jax.enable_x64(False):
        x = jnp.asarray(points, jnp.float32)
        chunks = [
            np.asarray(
                _draw_features(key, x, jnp.uint32(start), network, chunk), np.float64
            )
            for start in range(0, num_draws, chunk)
        ]
    return np.concatenate(chunks)[:num_draws].swapaxes(1, 2)


def neuron_features(
    neuron: Neuron,
    covariance: Float[np.ndarray, "point point"],
    num_samples: int,
    key: Key,
) -> Float[np.ndarray, "sample point"]:
    """Sample φ(z), z ~ N(0, covariance), in float64; it may be singular."""
    assert neuron.activation is not None
    with jax.enable_x64(True):
        z = jnp.asarray(gaussian_field(covariance, num_samples, key))
        variance = jnp.asarray(np.broadcast_to(np.diag(covariance), z.shape))
        return np.asarray(neuron.activation(z, variance))


def gaussian_field(
    covariance: Float[np.ndarray, "point point"], num_samples: int, key: Key
) -> Float[np.ndarray, "sample point"]:
    """Sample z ~ N(0, covariance) in float64; it may be singular.

    By NumPy's generator: JAX would compile its own for every number of samples.
    """
    eigenvalues, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    root = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
    return np.asarray(
        host_generator(key).normal(size=(num_samples, len(covariance))) @ root.T
    )


def host_generator(key: Key) -> np.random.Generator:
    """NumPy's generator, seeded by the key."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


def preactivation_table(
    covariance: Callable[[jax.Array, jax.Array], jax.Array], points: Points
) -> Float[np.ndarray, "point point"]:
    """s(x_i, x_j) of a first preactivation, in float64."""
    with jax.enable_x64(True):
        x = jnp.asarray(points)
        table = jax.vmap(lambda a: jax.vmap(lambda b: covariance(a, b))(x))(x)
        return np.asarray(table, np.float64)
