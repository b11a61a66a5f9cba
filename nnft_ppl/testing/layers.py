"""Checks of declared hidden layers: the expansion in 1/width rests on them.

In: a network, inputs, draws. Out: `CheckResult`s. Networks are put together from the
declaration alone, layer by layer: given one layer the preactivations of the next are
independent Gaussian processes, so no weight matrix is drawn.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Points
from nnft_ppl.architecture import HiddenLayers, Readout
from nnft_ppl.ensemble.model import sample_prior
from nnft_ppl.testing.result import (
    CheckResult,
    exact,
    mean_and_error,
    plugin_code,
    within_errors,
)
from nnft_ppl.testing.sampling import Sample, host_generator, preactivation_table

_MAX_FLOATS = 1 << 22


def check_hidden_layers(
    network: Network, points: Points, sample: Sample, key: Key
) -> Iterator[CheckResult]:
    """Width of the last layer, and K̂ of the net against K̂ of the layers declared."""
    with plugin_code(network, "hidden-layers"):
        layers = network.hidden_layers()
    readout = network.readout()
    if layers is None or readout is None or sample.kernels is None:
        return
    with plugin_code(network, "hidden-layers-widths"):
        params = jax.eval_shape(lambda k: sample_prior(network, k), key)
        features = jax.eval_shape(readout.features, params, jnp.asarray(points[0]))
    yield exact(
        "hidden-layers-widths",
        f"{features.shape[0]} features",
        f"{layers.widths[-1]} features",
        f"widths {layers.widths} are declared; the last is that of the features",
    )
    with plugin_code(network, "hidden-layers-kernel"):
        built = _built_kernels(layers, readout, points, len(sample.kernels), key)
    mean, error = mean_and_error(sample.kernels)
    expected, expected_error = mean_and_error(built)
    size = np.sqrt(np.abs(np.einsum("ii->i", expected)))
    yield within_errors(
        "hidden-layers-kernel",
        mean,
        expected,
        np.hypot(error, expected_error),
        scale=np.outer(size, size),
        where="at inputs {} and {}; mean of K̂ of the net, and of the layers declared: "
        "covariance, activation, weight_std, bias_std",
    )
    spread, spread_error = _spread(sample.kernels, expected)
    built_spread, built_error = _spread(built, expected)
    yield within_errors(
        "hidden-layers-spread",
        spread,
        built_spread,
        np.hypot(spread_error, built_error),
        scale=1.0,
        where="at input {}; variance of K̂/(K̂ + E K̂) of the net, and of the layers "
        f"declared: are their widths {layers.widths}?",
    )


def _spread(
    kernels: Float[np.ndarray, "draw point point"], middle: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Variance of t = K̂/(K̂ + middle), bounded, and its error."""
    diagonal = np.einsum("dii->di", kernels)
    bounded = diagonal / (np.abs(diagonal) + np.maximum(np.diag(middle), 1e-300))
    return mean_and_error((bounded - bounded.mean(axis=0)) ** 2)


def _built_kernels(
    layers: HiddenLayers, readout: Readout, points: Points, num_draws: int, key: Key
) -> Float[np.ndarray, "draw point point"]:
    """K̂ of networks with the declared layers."""
    first = preactivation_table(layers.covariance, points)
    floats = max(layers.widths) * len(points)
    count = max(1, min(num_draws, _MAX_FLOATS // floats))
    generator = host_generator(key)
    blocks = []
    for _ in range(-(-num_draws // count)):
        covariance = np.broadcast_to(first, (count, *first.shape))
        for number, width in enumerate(layers.widths):
            scales = readout if number == len(layers.widths) - 1 else layers
            noise = generator.normal(size=(count, width, len(points)))
            z = noise @ np.swapaxes(_root(covariance), 1, 2)
            with jax.enable_x64(True):
                features = np.asarray(layers.activation.function(jnp.asarray(z)))
            gram = np.swapaxes(features, 1, 2) @ features / width
            covariance = scales.bias_std**2 + scales.weight_std**2 * gram
        blocks.append(covariance)
    return np.concatenate(blocks)[:num_draws]


def _root(
    covariance: Float[np.ndarray, "draw point point"],
) -> Float[np.ndarray, "draw point point"]:
    """A with A Aᵀ = covariance, of each matrix; they may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :])
