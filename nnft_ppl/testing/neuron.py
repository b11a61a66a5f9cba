"""Checks of a declared neuron: exact cumulants of every order rest on it.

In: a network and its neuron. Out: `CheckResult`s.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Points
from nnft_ppl.architecture import Neuron, Readout
from nnft_ppl.correlators.neuron.moments import neuron_moments
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.testing.result import (
    CheckResult,
    close,
    mean_and_error,
    not_compared,
    plugin_code,
    within_errors,
)
from nnft_ppl.testing.sampling import (
    FEWEST_EFFECTIVE,
    QUARTIC_POINTS,
    Sample,
    effective_draws,
    host_generator,
    network_features,
    neuron_features,
    preactivation_table,
)

_MAX_FEATURES = 4_000_000
_TOLERANCE = 1e-9


def check_neuron(
    network: Network, points: Points, sample: Sample, key: Key
) -> Iterator[CheckResult]:
    """Scaling, kernel, product mean, and that the net is an average of such neurons."""
    neuron, readout = network.neuron(), network.readout()
    if neuron is None or readout is None or sample.kernels is None:
        return
    num_draws = len(sample.values)
    sample_key, mean_key, average_key = jax.random.split(key, 3)
    if neuron.activation is None:
        yield from _check_closed_form(network, points, sample)
        with plugin_code(network, "neuron-average"):
            built = _shuffled_kernels(network, readout, points, num_draws, average_key)
        yield _check_average(sample, readout, built)
        return
    with plugin_code(network, "neuron"):
        covariance = preactivation_table(neuron.covariance, points)
        features = neuron_features(neuron, covariance, 10 * num_draws, sample_key)
        if neuron.homogeneity is not None:
            yield _check_homogeneity(neuron, neuron.homogeneity, covariance)
        if neuron.product_mean is not None:
            for order in (4, 3) if neuron.odd_product_means else (4,):
                yield _check_product_mean(neuron, order, num_draws, mean_key)
    if network.has_kernel and readout.odd_weight_moment is None:
        kernel = network.kernel(points)
        mean, error = mean_and_error(features[:, :, None] * features[:, None, :])
        weight = readout.weight_std**2
        deviation = np.sqrt(np.diag(kernel))
        yield within_errors(
            "neuron-kernel",
            readout.bias_std**2 + weight * mean,
            kernel,
            weight * error,
            scale=np.outer(deviation, deviation),
            where="at inputs {} and {}; σ_b² + σ_W² E[φ φ'] of the neuron",
        )
    with plugin_code(network, "neuron-average"):
        built = _built_kernels(
            network, readout, neuron, covariance, num_draws, average_key
        )
    yield _check_average(sample, readout, built)


def _check_closed_form(
    network: Network, points: Points, sample: Sample
) -> Iterator[CheckResult]:
    """Means of two and of four features by `product_mean`, which is all that is known.

    That of two is the kernel's; that of four is compared with sampled features.
    """
    neuron, readout = network.neuron(), network.readout()
    assert neuron is not None
    assert readout is not None
    assert sample.kernels is not None
    assert sample.quartics is not None
    with plugin_code(network, "neuron"):
        means, _ = neuron_moments(neuron, points, (2, 4))
    pairs, fours = entries(len(points), 2).T, entries(len(points), 4)
    two_point = readout.bias_std**2 + readout.weight_std**2 * means[2]
    if network.has_kernel:
        yield close(
            "neuron-kernel",
            two_point,
            network.kernel(points)[*pairs],
            _TOLERANCE,
            "σ_b² + σ_W² E[φ φ'] by `product_mean`, and the kernel",
        )
    else:
        mean, error = mean_and_error(sample.kernels[:, *pairs])
        yield within_errors(
            "neuron-kernel",
            mean,
            two_point,
            error,
            scale=np.abs(two_point).max(),
            where="at pair {} of inputs; K̂ sampled, and σ_b² + σ_W² E[φ φ'] by "
            "`product_mean`",
        )
    few = (fours < min(QUARTIC_POINTS, len(points))).all(axis=1)
    draws = sample.quartics * network.width / readout.weight_std**4
    if effective_draws(draws) < FEWEST_EFFECTIVE:
        yield not_compared(
            "neuron-product-mean",
            f"a few of {len(draws)} draws make up the sampled one: tails too heavy",
        )
        return
    mean, error = mean_and_error(draws)
    yield within_errors(
        "neuron-product-mean",
        mean,
        means[4][few],
        error,
        scale=np.abs(means[4][few]).max(),
        where="at entry {} of the first inputs; E[φ1 φ2 φ3 φ4] sampled and in closed "
        "form",
    )


def _shuffled_kernels(
    network: Network, readout: Readout, points: Points, num_draws: int, key: Key
) -> np.ndarray:
    """K̂(x,x) − σ_b² of nets put together from the neurons of many, (draw, point).

    Independent and identical neurons may change places, also between networks.
    """
    count = max(100, min(num_draws, _MAX_FEATURES // (network.width * len(points))))
    draw_key, shuffle_key = jax.random.split(key)
    features = network_features(network, points, count, draw_key)
    neurons = features.reshape(-1, len(points))
    host_generator(shuffle_key).shuffle(neurons)
    squares = neurons.reshape(features.shape) ** 2
    return np.asarray(readout.weight_std**2 * squares.mean(axis=1))


def _check_homogeneity(
    neuron: Neuron, degree: int, covariance: np.ndarray
) -> CheckResult:
    with jax.enable_x64(True):
        assert neuron.activation is not None
        z, factor = jnp.asarray([-1.3, -0.2, 0.4, 2.1]), 2.5
        variance = jnp.full(4, max(float(covariance[0, 0]), 0.1))
        scaled = neuron.activation(factor * z, factor**2 * variance)
        plain = factor**degree * neuron.activation(z, variance)
    return close(
        "neuron-homogeneity",
        np.asarray(scaled),
        np.asarray(plain),
        _TOLERANCE,
        f"activation(2.5 z) and 2.5^{degree} activation(z) differ",
    )


def _check_product_mean(
    neuron: Neuron, order: int, num_draws: int, key: Key
) -> CheckResult:
    """E[φ1 … φk] at a covariance of our own, small enough for light tails."""
    assert neuron.product_mean is not None
    root = np.array([[0.3, 0, 0, 0], [0.2, 0.2, 0, 0], [-0.1, 0.2, 0.2, 0], [0.2] * 4])
    covariance = (root @ root.T)[:order, :order]
    features = neuron_features(neuron, covariance, 10 * num_draws, key)
    mean, error = mean_and_error(features.prod(axis=1))
    with jax.enable_x64(True):
        expected = np.asarray(neuron.product_mean(jnp.asarray(covariance)))
    return within_errors(
        "neuron-product-mean" if order == 4 else "neuron-odd-product-mean",
        np.atleast_1d(mean),
        expected,
        error,
        scale=np.abs(expected),
        where=f"E[φ1 … φ{order}] in closed form and sampled",
    )


def _built_kernels(
    network: Network,
    readout: Readout,
    neuron: Neuron,
    covariance: np.ndarray,
    num_draws: int,
    key: Key,
) -> np.ndarray:
    """K̂(x,x) − σ_b² of nets put together from independent neurons, (draw, point)."""
    width, num_points = network.width, len(covariance)
    count = max(100, min(num_draws, _MAX_FEATURES // (width * num_points)))
    features = neuron_features(neuron, covariance, count * width, key)
    squares = features.reshape(count, width, num_points) ** 2
    return np.asarray(readout.weight_std**2 * squares.mean(axis=1))


def _check_average(sample: Sample, readout: Readout, built: np.ndarray) -> CheckResult:
    """The spread of K̂ is that of an average of `width` independent neurons.

    Compared through t = K̂/(K̂ + mean), whose mean falls with the variance of K̂ and
    which is bounded: the comparison holds for heavy-tailed neurons too.
    """
    assert sample.kernels is not None
    kernels = np.einsum("dii->di", sample.kernels) - readout.bias_std**2
    middle = np.maximum(built.mean(axis=0), 1e-300)
    mean, error = mean_and_error(kernels / (np.abs(kernels) + middle))
    expected, expected_error = mean_and_error(built / (built + middle))
    return within_errors(
        "neuron-average",
        mean,
        expected,
        np.hypot(error, expected_error),
        scale=1.0,
        where="at input {}; mean of K̂/(K̂ + E K̂) of the net, and of `width` "
        "independent neurons",
    )
