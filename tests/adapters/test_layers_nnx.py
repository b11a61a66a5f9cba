"""The default prior of every kind of layer of Flax NNX."""

import jax.numpy as jnp
import numpyro.distributions as dist
import pytest
from flax import nnx
from layer_cases import GROUPED, LINEAR, NORMED, RAMP, B, Case, W, gru_step, lstm_step

import nnft_ppl as nnft
from nnft_ppl.adapters.nnx import architecture_from_nnx as adapt


class Scanned(nnx.Module):
    """Linear layers without biases, three of them stacked."""

    def __init__(self, hp, rngs):
        def linear(rngs):
            return nnx.Linear(6, 6, use_bias=False, rngs=rngs)

        self.mid = nnx.split_rngs(splits=3)(nnx.vmap(linear))(rngs)
        self.out = linear(rngs)

    def __call__(self, x):
        step = nnx.scan(
            lambda h, layer: layer(h), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry
        )
        return self.out(step(x, self.mid))


class Embedded(nnx.Module):
    """An embedding and a linear layer."""

    def __init__(self, hp, rngs):
        self.table = nnx.Embed(4, 6, rngs=rngs)
        self.linear = nnx.Linear(6, 5, rngs=rngs)

    def __call__(self, x):
        return self.linear(self.table(x[0].astype(int)))


class Normed(nnx.Module):
    """A normalisation and a linear layer without bias."""

    def __init__(self, norm, rngs):
        self.norm = norm
        self.out = nnx.Linear(6, 1, use_bias=False, rngs=rngs)

    def __call__(self, x):
        return self.out(self.norm(x))


IMAGE = (5, 5, 4)

CASES = {
    "linear": Case(lambda hp, rngs: nnx.Linear(5, 7, rngs=rngs), (5,), {"kernel": 5}),
    "linear-general": Case(
        lambda hp, rngs: nnx.LinearGeneral(
            (5, 2), (7, 3), axis=(-2, -1), batch_axis={0: 4}, rngs=rngs
        ),
        (4, 5, 2),
        {"kernel": 5 * 2},
    ),
    "einsum": Case(
        lambda hp, rngs: nnx.Einsum("ta,hab->thb", (8, 2, 4), (8, 4), rngs=rngs),
        (3, 2),
        {"kernel": 2},
    ),
    "conv": Case(
        lambda hp, rngs: nnx.Conv(4, 6, (2, 3), rngs=rngs),
        IMAGE,
        {"kernel": 4 * 2 * 3},
    ),
    "conv-grouped": Case(
        lambda hp, rngs: nnx.Conv(4, 6, (2, 3), feature_group_count=2, rngs=rngs),
        IMAGE,
        {"kernel": 4 // 2 * 2 * 3},
    ),
    "conv-depthwise": Case(
        lambda hp, rngs: nnx.Conv(4, 4, (2, 3), feature_group_count=4, rngs=rngs),
        IMAGE,
        {"kernel": 2 * 3},
    ),
    "conv-transposed": Case(
        lambda hp, rngs: nnx.ConvTranspose(
            4, 6, (2, 3), transpose_kernel=True, rngs=rngs
        ),
        IMAGE,
        {"kernel": 4 * 2 * 3},
    ),
    "attention": Case(
        lambda hp, rngs: nnx.MultiHeadAttention(
            2, 8, 6, 4, decode=False, normalize_qk=True, rngs=rngs
        ),
        (3, 8),
        {
            **{f"{part}.kernel": 8 for part in ("query", "key", "value")},
            "out.kernel": 2 * 3,
        },
        second_moment=W**2 * LINEAR + B**2,
    ),
    "embedding": Case(
        Embedded,
        (1,),
        {"linear.kernel": 6},
        prior={"table.embedding": dist.Normal()},
    ),
    "layer-norm": Case(
        lambda hp, rngs: nnx.LayerNorm(6, rngs=rngs),
        (6,),
        {},
        NORMED[3] ** 2 + B**2,
        x=RAMP,
    ),
    "batch-norm": Case(
        lambda hp, rngs: nnx.BatchNorm(6, epsilon=0.0, rngs=rngs),
        (6,),
        {},
        RAMP[3] ** 2 + B**2,
        x=RAMP,
    ),
    "group-norm": Case(
        lambda hp, rngs: nnx.GroupNorm(6, 2, rngs=rngs),
        (1, 6),
        {},
        GROUPED[3] ** 2 + B**2,
        x=RAMP,
    ),
    "instance-norm": Case(
        lambda hp, rngs: nnx.InstanceNorm(1, rngs=rngs),
        (1, 6, 1),
        {},
        NORMED[3] ** 2 + B**2,
        x=RAMP,
    ),
    "rms-norm": Case(
        lambda hp, rngs: Normed(nnx.RMSNorm(6, rngs=rngs), rngs),
        (6,),
        {"out.kernel": 6},
        W**2,
        x=RAMP,
    ),
    "lstm": Case(
        lambda hp, rngs: nnx.LSTMCell(3, 5, rngs=rngs),
        (3,),
        {
            **dict.fromkeys(("ii.kernel", "if_.kernel", "ig.kernel", "io.kernel"), 3),
            **dict.fromkeys(("hi.kernel", "hf.kernel", "hg.kernel", "ho.kernel"), 5),
        },
        lstm_step(),
        call=lambda cell, x: cell((jnp.zeros(5), jnp.zeros(5)), x)[1],
    ),
    "gru": Case(
        lambda hp, rngs: nnx.RNN(nnx.GRUCell(3, 5, rngs=rngs)),
        (1, 3),
        {"cell.dense_i.kernel": 3, "cell.dense_h.kernel": 5},
        gru_step(bias_of_hidden=0),
        call=lambda layer, x: layer(x, initial_carry=jnp.zeros(5)),
    ),
    "slope": Case(
        lambda hp, rngs: nnx.Sequential(nnx.Linear(5, 7, rngs=rngs), nnx.PReLU()),
        (5,),
        {"layers.0.kernel": 5},
        LINEAR * (1 + 0.01**2) / 2,
    ),
    "low-rank": Case(
        lambda hp, rngs: nnx.LoRA(5, 2, 7, rngs=rngs),
        (5,),
        {"lora_a": 5, "lora_b": 2},
        W**4,
    ),
    "stacked": Case(Scanned, (6,), {"mid.kernel": 6, "out.kernel": 6}, W**8),
}


@pytest.mark.parametrize("name", CASES)
def test_weights_are_scaled_by_the_sizes_of_the_layer(name):
    CASES[name].check_prior(adapt)


@pytest.mark.slow_but("stacked", "attention")
@pytest.mark.parametrize("name", CASES)
def test_draws_have_the_second_moment_of_the_layer(name):
    CASES[name].check_draws(adapt)


def test_what_is_no_weight_and_random_wants_a_prior():
    with pytest.raises(
        nnft.SpecError, match=r"draws \['table\.embedding'\] when it is made, and"
    ):
        Case(Embedded, (1,), {}).network(adapt)
