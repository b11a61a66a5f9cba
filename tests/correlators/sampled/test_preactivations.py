"""Networks drawn from preactivations: exact cumulants, and the forward pass as oracle.

Averages are compared at 5 standard errors, on fixed keys.
"""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import random_numbers
from scipy import stats

import nnft_ppl as nnft
from nnft_ppl.correlators.neuron.cumulants import exact_cumulants
from nnft_ppl.correlators.sampled.draws import network_draws
from nnft_ppl.correlators.sampled.estimators import ESTIMATORS, Inputs
from nnft_ppl.correlators.sampled.preactivations import (
    has_independent_neurons,
    neuron_draws,
    preactivation_factor,
)
from nnft_ppl.correlators.wick import pack_kernel, pairing_sums, wick_powers
from nnft_ppl.ensemble.device_sizes import CPU
from nnft_ppl.ensemble.generator_names import ROUNDS
from nnft_ppl.ensemble.model import stream_at

KEY = jax.random.key(31)
X = np.array([[-0.9], [0.3], [1.1]])


def covariance(net, x):
    """S of the standard one-hidden-layer nets."""
    hp = net.hyperparameters
    return hp.bias_std**2 + hp.weight_std**2 * x @ x.T / hp.input_dim


# The factor.


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3, 1e6])
@pytest.mark.parametrize("bias_std", [0.0, 0.7])
@pytest.mark.parametrize(
    ("num_points", "dim"), [(1, 1), (6, 1), (4, 2), (3, 3), (6, 64)]
)
def test_factor_squares_to_the_covariance(scale, bias_std, num_points, dim):
    net = nnft.network("relu-net", width=5, input_dim=dim, bias_std=bias_std * scale)
    x = scale * np.random.default_rng(dim).normal(size=(num_points, dim))
    factor, expected = preactivation_factor(net, x), covariance(net, x)
    std = np.sqrt(np.diag(expected))
    assert (np.abs(factor @ factor.T - expected) <= 1e-12 * np.outer(std, std)).all()
    assert factor.shape == (num_points, min(num_points, dim + (bias_std > 0)))


def test_factor_has_the_rank_that_float32_can_see():
    """Beside inputs of 10⁸ a bias of 1 is less than a part in 10⁷."""
    net = nnft.network("relu-net", width=5, input_dim=1, bias_std=1.0)
    factor = preactivation_factor(net, np.array([[1e8], [2e8], [-3e8]]))
    assert factor.shape == (3, 1)


@pytest.mark.parametrize(
    ("x", "rank"),
    [
        ([[0.0]], 1),  # z = 0: one column, of zeros
        ([[0.0], [0.5]], 1),
        ([[-0.5], [0.5]], 1),
        ([[-0.5], [0.0], [2.0]], 1),
    ],
)
def test_degenerate_inputs_without_bias(x, rank):
    net = nnft.network("relu-net", width=5, input_dim=1)
    factor = preactivation_factor(net, np.array(x))
    assert factor.shape == (len(x), rank)
    np.testing.assert_allclose(
        factor @ factor.T, covariance(net, np.array(x)), atol=1e-15
    )
    drawn = draws(net, np.array(x), 512, outputs=True)
    assert np.isfinite(drawn).all()
    assert (drawn[np.array(x)[:, 0] == 0] == 0).all()


# The draws.


def draws(net, x, count, start=0, per_leg=None, *, outputs):
    """(row, network), float64."""
    legs = len(x) * net.hyperparameters.output_dim
    per_leg = np.ones(legs, np.float32) if per_leg is None else per_leg
    factor = jnp.asarray(preactivation_factor(net, x), jnp.float32)
    run = jax.jit(partial(neuron_draws, net, count=count, outputs=outputs, rounds=13))
    stream, low = stream_at(KEY, start)
    return np.asarray(run(factor, per_leg, stream=stream, start=low), np.float64)


def assert_mean(values, expected, error=0.0):
    """`error` for the rounding of the draws."""
    spread = values.std(axis=1) / np.sqrt(values.shape[1])
    assert (np.abs(values.mean(axis=1) - expected) < 5 * spread + error).all()


WIDTHS = [(1, 65_536), (2, 65_536), (3, 65_536), (127, 16_384), (128, 16_384),
          (129, 16_384), (301, 16_384)]  # fmt: skip
"""Odd, even, and on both sides of the units that are summed together."""


@pytest.mark.slow_but(
    "1-65536-relu-net", "128-16384-erf-net", "128-16384-relu-net", "2-65536-erf-net"
)
@pytest.mark.parametrize("name", ["erf-net", "relu-net"])
@pytest.mark.parametrize(("width", "count"), WIDTHS)
def test_random_kernels_have_the_exact_cumulants(name, width, count):
    """The bias is left out: G2 less its variance, G4c the covariances of kernels."""
    net = nnft.network(name, width=width, input_dim=1, weight_std=1.2, bias_std=0.5)
    exact, _ = exact_cumulants(net, X, (2, 4, 6))
    kernels = draws(net, X, count, outputs=False)
    assert kernels.shape == (6, count)
    assert_mean(kernels, exact[2] - 0.25, 1e-6)
    sums = pairing_sums(kernels - (exact[2] - 0.25)[:, None], 3, (4, 6))
    assert_mean(sums[4], exact[4])
    assert_mean(sums[6], exact[6])


@pytest.mark.slow_but("1-1-0.0", "1-1-0.8", "2-1-0.8", "4-2-0.0")
@pytest.mark.parametrize("bias_std", [0.0, 0.8])
@pytest.mark.parametrize(
    ("width", "output_dim"), [(1, 1), (2, 1), (3, 2), (4, 2), (131, 1), (3, 3)]
)
def test_outputs_have_the_exact_cumulants(width, output_dim, bias_std):
    """Over all legs, that different outputs share their neurons included."""
    net = nnft.network(
        "erf-net", width=width, input_dim=1, output_dim=output_dim, bias_std=bias_std
    )
    x = X[:2]
    exact, _ = exact_cumulants(net, x, (2, 4))
    field = draws(net, x, 32_768, outputs=True)
    assert field.shape == (2 * output_dim, 32_768)
    powers = wick_powers(field, exact[2], (2, 4))
    assert_mean(powers[2], 0.0, 1e-6)
    assert_mean(powers[4], exact[4])
    # The bias of one output is alike at all inputs, of others independent.
    assert_mean(field, 0.0)


def test_fields_are_multiplied_leg_by_leg():
    net = nnft.network("erf-net", width=5, input_dim=1, output_dim=2, bias_std=1.0)
    per_leg = np.array([2, 2, 0.5, 0.5, 4, 4], np.float32)  # alike at one input
    plain, scaled = (
        draws(net, X, 64, per_leg=p, outputs=True) for p in (None, per_leg)
    )
    np.testing.assert_allclose(scaled, per_leg[:, None] * plain, rtol=1e-5, atol=1e-6)
    plain, scaled = (
        draws(net, X, 64, per_leg=p, outputs=False) for p in (None, per_leg)
    )
    factor = pack_kernel(np.outer(per_leg[::2], per_leg[::2]))
    np.testing.assert_allclose(scaled, factor[:, None] * plain, rtol=1e-5)


@pytest.mark.slow_but("4-False")
@pytest.mark.parametrize("outputs", [True, False])
@pytest.mark.parametrize("width", [4, 131])
def test_a_network_depends_on_key_and_number_alone(width, outputs):
    net = nnft.network("erf-net", width=width, input_dim=1, bias_std=1.0)
    whole = draws(net, X, 512, outputs=outputs)
    for start, count in [(0, 16), (496, 16), (5, 256), (511, 1)]:
        part = draws(net, X, count, start, outputs=outputs)
        np.testing.assert_allclose(
            part, whole[:, start : start + count], rtol=2e-6, atol=2e-6
        )
    # To the bit in chunks of one size, which is how they are always drawn.
    assert (draws(net, X, 512, 256, outputs=outputs)[:, :256] == whole[:, 256:]).all()
    beyond = draws(net, X, 512, 2**32, outputs=outputs)
    assert (beyond != whole).all()


@pytest.mark.parametrize("generator", ROUNDS)
def test_random_kernels_are_those_of_the_generators_numbers(generator):
    """Its words by a second implementation; a pair of numbers is for two units."""
    net = nnft.network("relu-net", width=6, input_dim=1)
    x, one = np.array([[0.8]]), np.ones(1, np.float32)
    factor = preactivation_factor(net, x)
    inputs = Inputs(x.astype(np.float32), one, 0 * one, factor.astype(np.float32))
    stream, low = stream_at(KEY, 5)
    draws = jax.jit(
        lambda: network_draws(
            net,
            ESTIMATORS["conditional"],
            (2,),
            inputs,
            stream,
            low,
            64,
            generator,
            CPU,
            one_kernel=False,
        )
    )()
    counters = np.broadcast_arrays(5 + np.arange(64)[:, None], np.arange(3)[None])
    words = random_numbers.threefry(stream.words, counters, ROUNDS[generator])
    radius, sine, cosine = random_numbers.box_muller(*words)
    normals = np.concatenate([radius * sine, radius * cosine], axis=1)
    expected = (np.maximum(factor[0, 0] * normals, 0) ** 2).mean(axis=1)
    np.testing.assert_allclose(draws[0], expected, rtol=1e-4)


@pytest.mark.slow_but("erf-net-options0-conditional")
@pytest.mark.parametrize("estimator", ["conditional", "moments"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("erf-net", {"width": 3, "bias_std": 0.5}),
        ("relu-net", {"width": 5, "input_dim": 8, "weight_std": 1.3}),
        ("gauss-net", {"width": 6, "bias_std": 1.0, "output_dim": 2}),
    ],
)
def test_the_law_is_that_of_prior_and_forward_pass(estimator, name, options):
    net = nnft.network(name, **{"input_dim": 1, **options})
    dim, outputs = net.hyperparameters.input_dim, net.hyperparameters.output_dim
    x = 0.4 * np.random.default_rng(3).normal(size=(2, dim))
    legs = 2 * outputs
    inputs = Inputs(
        x.astype(np.float32),
        np.ones(legs, np.float32),
        np.zeros(legs * (legs + 1) // 2, np.float32),
        preactivation_factor(net, x).astype(np.float32),
    )

    def sample(generator, start):
        stream, low = stream_at(KEY, start)
        run = jax.jit(
            lambda stream, low: network_draws(
                net,
                ESTIMATORS[estimator],
                (2,),
                inputs,
                stream,
                low,
                16_384,
                generator,
                CPU,
                one_kernel=False,
            )
        )
        return np.asarray(run(stream, low), np.float64)

    one, other = sample("fused13", 0), sample("jax", 2**20)
    assert one.shape == other.shape
    for a, b in zip(one, other, strict=True):
        assert stats.ks_2samp(a, b).pvalue > 1e-5
    # Of two legs together.
    assert stats.ks_2samp(one[0] - one[1], other[0] - other[1]).pvalue > 1e-5
    assert stats.ks_2samp(one[0] + one[-1], other[0] + other[-1]).pvalue > 1e-5


# Who is drawn so, and who notices where the neuron is wrong.


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("erf-net", {}, True),
        ("mlp", {"depth": 1}, True),
        ("mlp", {"depth": 2}, False),
        ("mlp", {"depth": 1, "weight_law": "uniform"}, False),
        ("cos-net", {}, False),
        ("correlated-net", {}, False),
        ("correlated-net", {"correlation": 0.0}, True),
    ],
)
def test_which_networks_have_independent_neurons(name, options, expected):
    net = nnft.network(name, width=5, input_dim=1, **options)
    assert has_independent_neurons(net) is expected


@pytest.mark.slow
def test_a_wrong_neuron_is_not_hidden_from_the_conformance_kit():
    """The kit samples prior and forward pass, whatever draws the correlators."""
    right = nnft.architectures()["erf-net"]
    wrong = replace(
        right,
        neuron=lambda hp: replace(
            right.neuron(hp), activation=lambda z, variance: jnp.tanh(z)
        ),
    )
    net = nnft.Network.build(wrong, width=5, input_dim=1, bias_std=1.0)
    with pytest.raises(nnft.PluginError, match="neuron"):
        nnft.testing.check_architecture(net)
    kernel = net.kernel(X)
    run = partial(nnft.measure_correlators, net, X, (2,), num_draws=20_000, key=KEY)
    plain, fused = (run(generator=g) for g in ("jax", "fused13"))
    packed = pack_kernel(kernel)
    assert (np.abs(plain.moment(2) - packed) < 5 * plain.error(2)).all()
    assert (np.abs(fused.moment(2) - packed) > 5 * fused.error(2)).any()
