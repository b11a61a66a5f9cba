"""The default prior of every kind of layer of Equinox."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import pytest
from layer_cases import (
    GROUPED,
    LINEAR,
    NORMED,
    RAMP,
    B,
    Case,
    W,
    gru_step,
    lstm_step,
)

import nnft_ppl as nnft
from nnft_ppl.adapters.equinox import architecture_from_equinox as adapt


class Block(eqx.Module):
    """Own arrays, a matrix (input, output) and a scale, and a layer."""

    matrix: jax.Array
    scale: jax.Array
    linear: eqx.nn.Linear

    def __init__(self, key):
        self.matrix = jax.random.normal(key, (6, 6))
        self.scale = jnp.ones(6)
        self.linear = eqx.nn.Linear(6, 6, use_bias=False, key=key)

    def __call__(self, x):
        return self.linear(self.scale * (x @ self.matrix))


class Scanned(eqx.Module):
    """Three blocks stacked."""

    blocks: Block

    def __init__(self, hp, key):
        self.blocks = eqx.filter_vmap(Block)(jax.random.split(key, 3))

    def __call__(self, x):
        arrays, rest = eqx.partition(self.blocks, eqx.is_array)

        def step(h, one):
            return eqx.combine(one, rest)(h), None

        return jax.lax.scan(step, x, arrays)[0]


class Custom(eqx.Module):
    """Own arrays: (input, output), unlike Equinox's, and a table that is added."""

    matrix: jax.Array
    positions: jax.Array

    def __init__(self, hp, key):
        self.matrix = jax.random.normal(key, (6, 2))
        self.positions = jnp.zeros((3, 6))

    def __call__(self, x):
        return (x + self.positions) @ self.matrix


class Embedded(eqx.Module):
    """An embedding and a linear layer."""

    table: eqx.nn.Embedding
    linear: eqx.nn.Linear

    def __init__(self, hp, key):
        self.table = eqx.nn.Embedding(4, 6, key=key)
        self.linear = eqx.nn.Linear(6, 5, key=key)

    def __call__(self, x):
        return self.linear(self.table(x[0].astype(int)))


IMAGE = (4, 5, 5)

CASES = {
    "linear": Case(lambda hp, key: eqx.nn.Linear(5, 7, key=key), (5,), {"weight": 5}),
    "conv": Case(
        lambda hp, key: eqx.nn.Conv2d(4, 6, (2, 3), key=key),
        IMAGE,
        {"weight": 4 * 2 * 3},
    ),
    "conv-grouped": Case(
        lambda hp, key: eqx.nn.Conv2d(4, 6, (2, 3), groups=2, key=key),
        IMAGE,
        {"weight": 4 // 2 * 2 * 3},
    ),
    "conv-depthwise": Case(
        lambda hp, key: eqx.nn.Conv2d(4, 4, (2, 3), groups=4, key=key),
        IMAGE,
        {"weight": 2 * 3},
    ),
    "conv-transposed": Case(
        lambda hp, key: eqx.nn.ConvTranspose2d(4, 6, (2, 3), key=key),
        IMAGE,
        {"weight": 4 * 2 * 3},
    ),
    "conv-transposed-of-stride-2": Case(
        lambda hp, key: eqx.nn.ConvTranspose1d(4, 6, 2, stride=2, key=key),
        (4, 5),
        {"weight": 4 * 2},
        W**2 / 2 + B**2,  # one of the two columns meets an input
    ),
    "attention": Case(
        lambda hp, key: eqx.nn.MultiheadAttention(
            2, 8, qk_size=3, vo_size=5, output_size=4, use_output_bias=True, key=key
        ),
        (3, 8),
        {
            **{f"{part}_proj.weight": 8 for part in ("query", "key", "value")},
            "output_proj.weight": 2 * 5,
        },
        second_moment=W**4 + B**2,  # equal values, whatever is attended to
        call=lambda layer, x: layer(x, x, x),
    ),
    "embedding": Case(
        Embedded, (1,), {"linear.weight": 6}, prior={"table.weight": dist.Normal()}
    ),
    "layer-norm": Case(
        lambda hp, key: eqx.nn.LayerNorm(6), (6,), {}, NORMED[3] ** 2 + B**2, x=RAMP
    ),
    "layer-norm-of-two-axes": Case(
        lambda hp, key: eqx.nn.LayerNorm((2, 3)),
        (2, 3),
        {},
        NORMED[4] ** 2 + B**2,
        x=RAMP,
    ),
    "rms-norm": Case(
        lambda hp, key: eqx.nn.RMSNorm(6),
        (6,),
        {},
        RAMP[3] ** 2 / (RAMP**2).mean() + B**2,
        x=RAMP,
    ),
    "group-norm": Case(
        lambda hp, key: eqx.nn.GroupNorm(2, 6),
        (6,),
        {},
        GROUPED[3] ** 2 + B**2,
        x=RAMP,
    ),
    "lstm": Case(
        lambda hp, key: eqx.nn.LSTMCell(3, 5, key=key),
        (3,),
        {"weight_ih": 3, "weight_hh": 5},
        lstm_step(),
        call=lambda cell, x: cell(x, (jnp.zeros(5), jnp.zeros(5)))[0],
    ),
    "gru": Case(
        lambda hp, key: eqx.nn.GRUCell(3, 5, key=key),
        (3,),
        {"weight_ih": 3, "weight_hh": 5},
        gru_step(bias_of_hidden=B),
        call=lambda cell, x: cell(x, jnp.zeros(5)),
    ),
    "stacked": Case(
        Scanned, (6,), {"blocks.matrix": 6, "blocks.linear.weight": 6}, W**12
    ),
    "own": Case(Custom, (3, 6), {"matrix": 6}, W**2),
    "slope-of-each-neuron": Case(
        lambda hp, key: eqx.nn.MLP(4, 1, 6, 1, eqx.nn.PReLU(), key=key),
        (4,),
        {"layers.0.weight": 4, "layers.1.weight": 6},
        W**2 * LINEAR * (1 + 0.25**2) / 2 + B**2,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_weights_are_scaled_by_the_sizes_of_the_layer(name):
    CASES[name].check_prior(adapt)


@pytest.mark.slow_but("stacked", "conv-grouped")
@pytest.mark.parametrize("name", CASES)
def test_draws_have_the_second_moment_of_the_layer(name):
    CASES[name].check_draws(adapt)


@pytest.mark.parametrize(
    ("make", "input_shape", "paths"),
    [
        (Embedded, (1,), r"\['table\.weight'\]"),
        (
            lambda hp, key: eqx.nn.WeightNorm(eqx.nn.Linear(6, 5, key=key)),
            (6,),
            r"\['layer\.weight', 'g'\]",
        ),
    ],
)
def test_what_is_no_weight_and_random_wants_a_prior(make, input_shape, paths):
    with pytest.raises(nnft.SpecError, match=f"draws {paths} when it is made, and"):
        Case(make, input_shape, {}).network(adapt)
