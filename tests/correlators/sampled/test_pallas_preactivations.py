"""The kernel for cards, interpreted on the CPU, network by network against XLA."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas import mosaic_gpu

import nnft_ppl as nnft
from nnft_ppl.correlators.sampled import draws as draws_of_networks
from nnft_ppl.correlators.sampled import job, pallas_service
from nnft_ppl.correlators.sampled.estimators import ESTIMATORS, Inputs
from nnft_ppl.correlators.sampled.job import Job
from nnft_ppl.correlators.sampled.pallas_preactivations import (
    activation_of,
    kernel_draws,
    kernel_sums,
)
from nnft_ppl.correlators.sampled.preactivations import (
    neuron_draws,
    preactivation_factor,
)
from nnft_ppl.ensemble.blocks import device_mesh
from nnft_ppl.ensemble.generator import free_normal_pairs
from nnft_ppl.ensemble.model import stream_at

KEY = jax.random.key(31)
X = np.array([[-0.9], [0.3]])
ROUNDS = 13
QUICKLY = {"xla_backend_optimization_level": 0}


def with_activation(activation, **sizes):
    right = nnft.architectures()["erf-net"]

    def neuron(hp):
        return replace(right.neuron(hp), activation=activation)

    return nnft.Network.build(
        replace(right, neuron=neuron), input_dim=1, bias_std=0.5, **sizes
    )


def traced(draw, net, x, count, start, *, outputs):
    num_outputs = net.hyperparameters.output_dim
    per_leg = np.repeat(np.linspace(0.5, 2, len(x)), num_outputs).astype(np.float32)
    factor = jnp.asarray(preactivation_factor(net, x), jnp.float32)
    stream, low = stream_at(KEY, start)
    draw = partial(draw, rounds=ROUNDS)
    run = partial(draw, net, factor, per_leg, stream, count=count, outputs=outputs)
    return jax.jit(run).trace(start=low), low


def draws(draw, net, x, count, start, *, outputs):
    with mosaic_gpu.force_gpu_interpret_mode():
        program, low = traced(draw, net, x, count, start, outputs=outputs)
        compiled = program.lower().compile(compiler_options=QUICKLY)
    return np.asarray(compiled(start=low))


CASES = [
    ("erf-net", {"width": 5}, 1024, 77, False),
    ("erf-net", {"width": 131, "output_dim": 2}, 512, 2**33 + 5, True),
    ("relu-net", {"width": 258}, 256, 2**32 - 100, False),
    ("gauss-net", {"width": 1}, 300, 3, True),
    ("gauss-net", {"width": 4}, 256, 3, False),
    (lambda z, variance: jnp.tanh(z), {"width": 1}, 256, 1, False),
    (
        lambda z, variance: jnp.cos(3 * z) / jnp.sqrt(1 + variance),
        {"width": 2, "output_dim": 3},
        256,
        0,
        True,
    ),
]


@pytest.mark.parametrize(("net", "sizes", "count", "start", "outputs"), CASES)
def test_kernel_draws_the_same_networks(net, sizes, count, start, outputs):
    if isinstance(net, str):
        net = nnft.network(net, input_dim=1, bias_std=0.5, weight_std=1.2, **sizes)
    else:
        net = with_activation(net, **sizes)
    found, right = (
        draws(draw, net, X, count, start, outputs=outputs)
        for draw in (kernel_draws, neuron_draws)
    )
    assert found.shape == right.shape
    assert found.dtype == np.float32
    size = np.sqrt((right**2).mean(axis=1, keepdims=True))
    assert (np.abs(found - right) < 5e-6 * (size + np.abs(right))).all()


def test_wide_sums_keep_their_digits():
    net = nnft.network("relu-net", width=5000, input_dim=1)
    x = np.array([[1.0]])
    found = draws(kernel_draws, net, x, 256, 0, outputs=False)[0]
    networks = np.arange(256, dtype=np.uint32)[:, None]
    elements = np.arange(2500, dtype=np.uint32)
    words = stream_at(KEY, 0)[0].words
    pair = free_normal_pairs(words, networks, elements, rounds=ROUNDS)
    features = np.maximum(np.concatenate(pair, axis=1).astype(np.float64), 0)
    right = (features**2).mean(axis=1) * 0.5**2
    np.testing.assert_allclose(found, right, rtol=1e-6)


@pytest.mark.parametrize("outputs", [False, True])
def test_kernel_is_lowered_for_cards(outputs):
    """Here, where there is none: to one call of Mosaic GPU, and no loop around it."""
    net = nnft.network("erf-net", width=301, input_dim=1, bias_std=1.0, output_dim=2)
    x = np.linspace(-1, 1, 6)[:, None]
    program, _ = traced(kernel_draws, net, x, 1 << 17, 0, outputs=outputs)
    text = program.lower(lowering_platforms=("cuda",)).as_text()
    assert text.count("custom_call @mosaic_gpu") == 1
    assert "triton" not in text
    assert "stablehlo.while" not in text


@pytest.mark.parametrize(
    ("estimator", "generator"), [("conditional", "fused13"), ("moments", "fused")]
)
def test_a_measurement_takes_the_kernel_where_it_serves(
    monkeypatch, estimator, generator
):
    net = nnft.network("relu-net", width=3, input_dim=1, bias_std=0.5)
    plan = Job.plan(
        net,
        Inputs(
            jnp.asarray(X, jnp.float32),
            jnp.ones(2, jnp.float32),
            jnp.zeros(3, jnp.float32),
            jnp.asarray(preactivation_factor(net, X), jnp.float32),
        ),
        (2, 4),
        ESTIMATORS[estimator],
        generator,
        key=KEY,
        num_draws=512,
    )
    mesh, counts = device_mesh(jax.devices()[:1]), np.array([512])
    right = np.asarray(plan._draws([0], counts, mesh, 512))
    asked = []

    def serves(*given, outputs):
        asked.append((*given[2:], outputs))
        return True

    def recorded(*given, **options):
        asked.append("drawn")
        return kernel_draws(*given, **options)

    monkeypatch.setattr(job, "serves", serves)
    monkeypatch.setattr(draws_of_networks, "kernel_draws", recorded)
    with mosaic_gpu.force_gpu_interpret_mode():
        found = np.asarray(plan._draws([0], counts, mesh, 512))
    assert asked[0] == (2, 2, estimator == "moments")
    assert set(asked[1:]) == {"drawn"}
    np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-5)


# Who is drawn so.


def card(capability):
    """What JAX shows of a card, as far as it is looked at before a trial."""
    return SimpleNamespace(platform="gpu", compute_capability=capability)


@pytest.fixture
def no_trial(monkeypatch):
    """No card is here, so that whatever reaches the trial passes it."""
    monkeypatch.setattr(pallas_service, "_agrees", lambda network, device: True)


@pytest.mark.usefixtures("no_trial")
@pytest.mark.parametrize(
    ("capability", "expected"),
    [("8.0", True), ("9.0", True), ("10.0", True), ("7.5", False), ("12.0", False),
     ("gfx942", False)],
)  # fmt: skip
def test_cards_that_are_served(capability, expected):
    net = nnft.network("erf-net", width=5, input_dim=1)
    found = pallas_service.serves(net, card(capability), 6, 2, outputs=False)
    assert found is expected


@pytest.mark.parametrize("outputs", [False, True])
def test_the_host_is_not_served(outputs):
    net = nnft.network("erf-net", width=5, input_dim=1)
    host = jax.devices("cpu")[0]
    assert not pallas_service.serves(net, host, 6, 2, outputs=outputs)


@pytest.mark.usefixtures("no_trial")
@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        (lambda z, variance: jax.nn.gelu(z), True),
        (lambda z, variance: jax.nn.sigmoid(z) - variance, True),
        (lambda z, variance: jnp.log1p(z**2), False),  # a function it does not have
        (lambda z, variance: z * jnp.arange(1.0, 3.0)[1], False),  # holds an array
    ],
)
def test_activations_that_are_served(activation, expected):
    net = with_activation(activation, width=5)
    found = pallas_service.serves(net, card("9.0"), 6, 2, outputs=False)
    assert found is expected


@pytest.mark.usefixtures("no_trial")
@pytest.mark.parametrize(
    ("num_points", "rank", "outputs", "expected"),
    [(13, 2, False, True), (14, 14, False, False), (30, 2, True, True),
     (45, 1, True, False)],
)  # fmt: skip
def test_sums_must_fit_into_registers(num_points, rank, outputs, expected):
    net = nnft.network("erf-net", width=5, input_dim=1)
    found = pallas_service.serves(net, card("9.0"), num_points, rank, outputs=outputs)
    assert found is expected


@pytest.mark.usefixtures("no_trial")
def test_networks_without_independent_neurons_are_not_served():
    net = nnft.network("mlp", width=5, input_dim=1, depth=2)
    assert not pallas_service.serves(net, card("9.0"), 2, 1, outputs=False)


def test_a_device_that_disagrees_or_fails_is_not_used(monkeypatch):
    net, host = nnft.network("relu-net", width=5, input_dim=1), jax.devices("cpu")[0]
    run = jax.jit(
        partial(kernel_sums, activation_of(net), 2, 0, 256, rounds=ROUNDS),
        compiler_options=QUICKLY,
    )

    def agrees(trial):
        monkeypatch.setattr(pallas_service, "_trial", lambda network: trial)
        pallas_service._agrees.cache_clear()
        found = pallas_service._agrees(net, host)
        pallas_service._agrees.cache_clear()
        return found

    assert not agrees(run)  # a host has no kernels but interpreted
    with mosaic_gpu.force_gpu_interpret_mode():
        assert agrees(run)
        assert not agrees(lambda *given: run(*given) * np.float32(1.001))
