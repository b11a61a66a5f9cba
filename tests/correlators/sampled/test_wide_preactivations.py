"""Very many networks side by side: those of `preactivations.py`, in few launches."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

import nnft_ppl as nnft
from nnft_ppl.correlators.sampled.preactivations import (
    neuron_draws,
    preactivation_factor,
)
from nnft_ppl.correlators.sampled.wide_preactivations import wide_neuron_draws
from nnft_ppl.ensemble.generator import free_normal_pairs
from nnft_ppl.ensemble.model import stream_at

KEY = jax.random.key(31)
START = 2**32 + 7
X = np.array([[-0.9], [0.3], [1.1]])


def program(draw, net, x, *, outputs, count=256, rounds=13, **options):
    """What draws networks from some number on, and its arguments."""
    legs = len(x) * net.hyperparameters.output_dim
    per_leg = np.linspace(0.5, 2.0, len(x)).repeat(legs // len(x)).astype(np.float32)
    factor = jnp.asarray(preactivation_factor(net, x), jnp.float32)
    stream, low = stream_at(KEY, START)
    draw = partial(draw, count=count, outputs=outputs, rounds=rounds)
    run = jax.jit(partial(draw, net, **options))
    return partial(run.trace, factor, per_leg, stream=stream, start=low), partial(
        run, factor, per_leg, stream=stream, start=low
    )


def both(net, x, *, steps=2, **options):
    _, one = program(neuron_draws, net, x, **options)
    _, wide = program(wide_neuron_draws, net, x, steps=steps, **options)
    return np.asarray(one()), np.asarray(wide())


WIDTHS = [1, 2, 3, 4, 7, 126, 127, 128, 131, 262]
"""Odd, even, whole trips and not, and on both sides of the units summed together."""


@pytest.mark.slow_but("1-True", "7-True", "131-False")
@pytest.mark.parametrize("outputs", [True, False])
@pytest.mark.parametrize("width", WIDTHS)
def test_networks_are_the_same_one_by_one(width, outputs):
    net = nnft.network("erf-net", width=width, input_dim=1, bias_std=0.7)
    one, wide = both(net, X[:2], outputs=outputs)
    assert wide.dtype == np.float32
    assert wide.shape == one.shape == (2 if outputs else 3, 256)
    size = np.abs(one).max(axis=1, keepdims=True)
    assert (np.abs(wide - one) < 1e-6 * width**0.5 * size).all()


@pytest.mark.slow_but("relu-net-False", "gauss-net-True")
@pytest.mark.parametrize("outputs", [True, False])
@pytest.mark.parametrize("name", ["relu-net", "gauss-net", "correlated-net"])
def test_networks_of_any_activation_are_the_same(name, outputs):
    """gauss-net's asks for the variance of the preactivation."""
    options = {"correlation": 0.0} if name == "correlated-net" else {}
    net = nnft.network(name, width=11, input_dim=2, **options)
    x = np.random.default_rng(0).normal(size=(4, 2))
    one, wide = both(net, x, outputs=outputs)
    np.testing.assert_allclose(wide, one, rtol=1e-5, atol=1e-5 * np.abs(one).max())


@pytest.mark.slow_but("2")
@pytest.mark.parametrize("output_dim", [2, 3])
def test_outputs_share_their_neurons(output_dim):
    net = nnft.network(
        "erf-net", width=5, input_dim=1, output_dim=output_dim, bias_std=0.7
    )
    one, wide = both(net, X, outputs=True, rounds=20)
    assert one.shape == (3 * output_dim, 256)
    np.testing.assert_allclose(wide, one, rtol=1e-5, atol=1e-5)


@pytest.mark.slow_but("4")
@pytest.mark.parametrize("steps", [1, 4, 64])
def test_steps_a_trip_change_rounding_alone(steps):
    net = nnft.network("relu-net", width=259 if steps < 64 else 131, input_dim=1)
    one, wide = both(net, X[:1], outputs=False, steps=steps)
    np.testing.assert_allclose(wide, one, rtol=1e-5)


def test_wide_sums_keep_their_digits():
    """10,000 terms of one sign, of which a running sum would lose the last digits."""
    net = nnft.network("relu-net", width=20_000, input_dim=1)
    x, count = X[2:], 64
    _, run = program(wide_neuron_draws, net, x, outputs=False, steps=2, count=count)
    (found,) = np.asarray(run(), np.float64)
    stream, low = stream_at(KEY, START)
    networks = low + np.arange(count, dtype=np.uint32)[:, None]
    elements = np.arange(net.width // 2, dtype=np.uint32)[None]
    pairs_of = jax.jit(partial(free_normal_pairs, rounds=13))
    pair = pairs_of(stream.words, networks, elements)
    normal = np.concatenate([np.asarray(part, np.float64) for part in pair], axis=1)
    hidden = np.maximum(preactivation_factor(net, x)[0, 0] * normal, 0.0)
    expected = 0.25 * (hidden**2).mean(axis=1)  # the field is in units of 2
    assert np.abs(found / expected - 1).max() < 20 * 2.0**-24


# What the compiler is given.


def loops(jaxpr):
    """Trips of the loops of a program, those inside others after them."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan":
            yield equation.params["length"]
        assert equation.primitive.name != "while"  # whose trips no compiler knows
        for inner in jaxprs_in_params(equation.params):
            yield from loops(inner)


@pytest.mark.parametrize(
    ("width", "trips"),
    [(1000, [7, 32, 26]), (20, [5]), (22, [5, 1]), (3, [1]), (1, [])],
)
@pytest.mark.parametrize("outputs", [True, False])
def test_a_trip_is_four_units_and_the_device_knows_how_many_there_are(
    width, outputs, trips
):
    """1000 units are 7 × 32 + 26 = 250 trips, however many networks."""
    net = nnft.network("erf-net", width=width, input_dim=1, bias_std=1.0)
    trace, _ = program(
        wide_neuron_draws, net, X, outputs=outputs, steps=2, count=1 << 20
    )
    assert list(loops(trace().jaxpr.jaxpr)) == trips


@pytest.mark.slow
def test_the_compiled_program_has_these_loops_and_no_more():
    net = nnft.network("erf-net", width=1000, input_dim=1, bias_std=1.0)
    trace, _ = program(wide_neuron_draws, net, X, outputs=False, steps=2)
    text = trace().lower().compile().as_text()
    trips = re.findall(r'known_trip_count":{"n":"(\d+)"', text)
    assert sorted(map(int, trips)) == [7, 26, 32]
    assert len(re.findall(r" while\(", text)) == 3


@pytest.mark.parametrize("outputs", [True, False])
def test_programs_for_a_card_carry_sums_of_one_shape_and_no_barrier(outputs):
    """So that a trip is one kernel. Lowered for CUDA, which takes no card."""
    net = nnft.network("erf-net", width=132, input_dim=1, bias_std=1.0)
    trace, _ = program(wide_neuron_draws, net, X, outputs=outputs, steps=2, count=512)
    text = trace().lower(lowering_platforms=("cuda",)).as_text()
    assert "optimization_barrier" not in text
    assert "complex" not in text
    sums = 3 if outputs else 6
    carried = re.findall(r"stablehlo\.while\(.*\) : (.*)", text)
    assert len(carried) == 3
    for kinds in carried:
        assert kinds.split(", ")[-sums:] == ["tensor<512xf32>"] * sums
        assert not re.search(r"\dx512x|512x\d", kinds)
