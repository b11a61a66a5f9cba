import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers

import nnft_ppl as nnft
from nnft_ppl.ensemble.blocks import (
    chunk_size,
    draws_per_block,
    draws_per_piece,
)
from nnft_ppl.ensemble.device_sizes import CPU
from nnft_ppl.ensemble.local import max_in_flight

KEY = jax.random.key(3)
X = np.linspace(-1, 1, 4)


@pytest.fixture(scope="module")
def net():
    return nnft.network("erf-net", width=7, input_dim=1, bias_std=1.0)


def test_network_j_is_the_prior_seeded_with_the_folded_key(net):
    ensemble = nnft.sample_ensemble(net, X, 5, key=KEY, generator="jax")
    for j in range(5):
        params = handlers.seed(net.prior, jax.random.fold_in(KEY, j))()
        expected = net.apply(params, jnp.asarray(X, jnp.float32))
        np.testing.assert_allclose(ensemble.values[j], expected, atol=2e-6)


def test_same_networks_to_the_bit_whatever_block_size_or_number(net):
    long = nnft.sample_ensemble(net, X, 3000, key=KEY).values
    for num_draws, block_size in [
        (3000, 1),
        (3000, 600),
        (700, None),
        (1, 1),
        (513, 5000),
    ]:
        short = nnft.sample_ensemble(
            net, X, num_draws, key=KEY, block_size=block_size
        ).values
        assert (short == long[:num_draws]).all()


def test_other_key_other_networks(net):
    one = nnft.sample_ensemble(net, X, 3, key=KEY).values
    other = nnft.sample_ensemble(net, X, 3, key=jax.random.key(4)).values
    assert not np.isclose(one, other).any()


@pytest.mark.parametrize(("input_dim", "output_dim"), [(1, 1), (3, 2), (64, 1)])
def test_shapes_and_precision(input_dim, output_dim):
    net = nnft.network("relu-net", width=5, input_dim=input_dim, output_dim=output_dim)
    x = np.random.default_rng(0).normal(size=(4, input_dim))
    ensemble = nnft.sample_ensemble(net, x, 10, key=KEY)
    assert ensemble.values.shape == (10, 4, output_dim)
    assert ensemble.values.dtype == np.float32
    assert ensemble.x.dtype == np.float64


def test_draws_do_not_depend_on_the_hosts_precision(net):
    plain = nnft.sample_ensemble(net, X, 600, key=KEY).values
    with jax.enable_x64(True):
        wide = nnft.sample_ensemble(net, X, 600, key=KEY).values
    assert (plain == wide).all()


def test_two_point_function_is_the_kernel_within_five_errors(net):
    num_draws = 40_000
    values = (
        nnft.sample_ensemble(net, X, num_draws, key=KEY).values[..., 0].astype(float)
    )
    products = values[:, :, None] * values[:, None, :]
    error = products.std(axis=0) / np.sqrt(num_draws)
    assert (np.abs(products.mean(axis=0) - net.kernel(X)) < 5 * error).all()


def test_chunks_shrink_with_width_so_that_memory_stays_flat():
    sizes = [
        chunk_size(nnft.network("relu-net", width=w, input_dim=1), 6, CPU) * w * 6 * 4
        for w in (10, 1000, 100_000)
    ]
    assert max(sizes) <= 16 * 2**20


def mlp(width, **options):
    return nnft.network("mlp", width=width, input_dim=1, **options)


@pytest.mark.parametrize(
    ("net", "num_points", "expected"),
    [
        # 2¹⁹ numbers over the largest array, down to a power of two, at most 512.
        (mlp(256, depth=3), 6, 8),  # 256² weights
        (mlp(700, depth=3), 6, 1),  # 490,000 weights
        (mlp(1000, depth=1), 6, 64),  # activations at six inputs
        (mlp(8, depth=3), 6, 512),
        (mlp(2000, depth=3), 6, 1),
    ],
)
def test_chunks_shrink_with_the_largest_array_of_a_network(net, num_points, expected):
    assert chunk_size(net, num_points, CPU) == expected


def test_chunks_see_activations_inside_the_forward_pass():
    """A field of 32 × 32 pixels with as many channels as the width, then pooled."""

    def prior(hp):
        unit = dist.Normal(0.0, 1.0)
        return {
            "W": numpyro.sample("W", unit.expand((hp.width,)).to_event()),
            "a": numpyro.sample("a", unit.expand((hp.width, 1)).to_event()),
        }

    def apply(hp, params, x):
        hidden = jnp.tanh(jnp.outer(x, params["W"]))
        return jnp.mean(hidden, axis=0) @ params["a"] / hp.width**0.5

    pooled = nnft.Architecture(
        name="pooled",
        description="",
        prior=prior,
        apply=apply,
        symmetries=frozenset({"sign"}),
    )
    net = nnft.Network.build(pooled, width=128, input_dim=32 * 32)
    assert chunk_size(net, 2, CPU) == 2  # 2¹⁹/(2 · 1024 · 128)


@pytest.mark.slow
def test_deep_networks_are_the_same_to_the_bit_whatever_the_block_size():
    net = mlp(40, depth=3, activation="tanh")
    runs = [
        nnft.sample_ensemble(net, X, draws, key=KEY, block_size=size).values
        for draws, size in ((1100, None), (1100, 1), (700, 600))
    ]
    assert (runs[0] == runs[1]).all()
    assert (runs[0][:700] == runs[2]).all()


def test_blocks_and_pieces_are_powers_of_two_that_hold_chunks():
    assert draws_per_block(10**7, 100, CPU) == 1 << 17
    assert draws_per_block(10**6, 100, CPU) == 1 << 16  # 2²³ over 100
    assert draws_per_block(10**6, 10**3, CPU) == 1 << 14  # a 32nd part
    assert draws_per_block(10**5, 1, CPU) == 1 << 17
    assert draws_per_block(10**10, 100, CPU) == 1 << 20  # a 2¹³th part
    assert draws_per_block(10**12, 100, CPU) == 1 << 25  # 2³² over 100
    assert draws_per_block(10**6, 3 * 10**4, CPU) == 1 << 13  # 2²⁸ over 3·10⁴
    assert draws_per_block(10**6, 10**9, CPU) == CPU.chunk
    for num_draws, size, memory, expected in (
        (10**6, None, None, 1 << 16),
        (10**6, 5000, None, 1 << 13),  # up to a power of two
        (10**6, 1, None, CPU.chunk),
        (700, None, None, 1024),
        (10**6, None, 1 << 26, (1 << 16) // max_in_flight(1)),
    ):
        piece = draws_per_piece(num_draws, 1 << 17, size, memory, 1024.0, 512, CPU)
        assert piece == expected


def test_legacy_keys_give_the_same_networks(net):
    typed = nnft.sample_ensemble(net, X, 3, key=jax.random.key(3)).values
    legacy = nnft.sample_ensemble(net, X, 3, key=jax.random.PRNGKey(3)).values
    assert (typed == legacy).all()


@pytest.mark.parametrize(
    ("key", "match"),
    [
        (0, "`key` is 0; expected a JAX random key"),
        (jax.random.split(jax.random.key(0)), "expected a single key"),
        (jax.random.key(0, impl="rbg"), "uses the generator rbg"),
        (jnp.zeros(3), "expected a JAX random key"),
    ],
)
def test_bad_keys_are_refused(net, key, match):
    with pytest.raises(nnft.SpecError, match=match):
        nnft.sample_ensemble(net, X, 3, key=key)


@pytest.mark.parametrize("num_draws", [0, -1, 1.5, 2**60])
def test_bad_num_draws_is_refused(net, num_draws):
    with pytest.raises(nnft.SpecError, match="`num_draws` is"):
        nnft.sample_ensemble(net, X, num_draws, key=KEY)


def test_an_ensemble_beyond_memory_is_refused(net):
    with pytest.raises(nnft.SpecError, match="TB of values; measure_correlators"):
        nnft.sample_ensemble(net, X, 2**45, key=KEY)


def test_a_prior_that_numpyro_cannot_run_is_refused():
    def prior(hp):
        numpyro.sample("a", dist.Normal(0, 1))
        return {"a": numpyro.sample("a", dist.Normal(0, 1))}

    broken = nnft.Architecture(
        name="twice",
        description="samples one site twice",
        prior=prior,
        apply=lambda hp, params, x: params["a"] * x,
    )
    net = nnft.Network.build(broken, width=1, input_dim=1)
    with pytest.raises(
        nnft.PluginError, match="prior of architecture 'twice' does not run"
    ):
        nnft.sample_ensemble(net, X, 3, key=KEY)
