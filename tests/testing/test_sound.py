"""Sound plugins pass, those that ship at twenty seeds, and unusual ones of a user.

False alarms: a row is one comparison at 5 standard errors, improbable by 5.7e-7. Twenty
seeds of nine architectures make about 2000 statistical rows: 1.1e-3 with exact errors,
and 4e-4 with those used, which `mean_and_error` widens by 3 % at 2000 light-tailed
draws.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import nnft_ppl as nnft
from nnft_ppl.testing import (
    GROUPS,
    STATISTICAL_GROUPS,
    CheckResult,
    check_architecture,
    check_groups,
    check_results,
)
from nnft_ppl.testing.result import mean_and_error, of_one, within_errors

NUM_SEEDS = 20
SEED_DRAWS = 2000
SHAPES = {"attention": (3, 2), "conv-net": (6, 2)}
"""Inputs of the architectures that take no vector."""
RELU = nnft.architectures()["relu-net"]
GAUSS = nnft.architectures()["gauss-net"]


def shipped(name: str, **changes) -> nnft.Network:
    settings = {"width": 20, "input_dim": SHAPES.get(name, 2), "bias_std": 0.5}
    return nnft.network(name, **(settings | changes))


def failures(rows: list[CheckResult]) -> list[str]:
    return [str(row) for row in rows if not row.passed]


@pytest.mark.slow_but("cos-net", "correlated-net", "erf-net", "gauss-net", "relu-net")
@pytest.mark.parametrize("name", sorted(nnft.architectures()))
def test_shipped_architecture_keeps_the_contract(name):
    once = [group for group in GROUPS if group not in STATISTICAL_GROUPS]
    rows = check_results(shipped(name), num_draws=SEED_DRAWS, groups=once)
    assert not failures(rows)
    assert {"jit-vmap", "prior-own-keys", "extreme-width"} <= {r.check for r in rows}


@pytest.mark.slow_but(
    "cos-net", "correlated-net", "erf-net", "gauss-net", "mlp", "relu-net"
)
@pytest.mark.parametrize("name", sorted(nnft.architectures()))
def test_shipped_architecture_agrees_with_samples_of_it(name):
    rows = check_results(shipped(name), num_draws=SEED_DRAWS, groups=["sampling"])
    assert not failures(rows)
    assert {"readout-two-point", "readout-gaussian"} <= {row.check for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(nnft.architectures()))
def test_shipped_architecture_passes_at_twenty_seeds(name):
    network = shipped(name)
    for seed in range(NUM_SEEDS):
        rows = check_results(
            network,
            key=jax.random.key(seed),
            num_draws=SEED_DRAWS,
            groups=STATISTICAL_GROUPS,
        )
        assert not failures(rows), f"seed {seed}"


TANGENT = sorted(n for n, a in nnft.architectures().items() if a.tangent_kernel)


@pytest.mark.slow_but("mlp", "relu-net")
@pytest.mark.parametrize("name", TANGENT)
def test_tangent_kernel_agrees_with_gradients(name):
    network = shipped(name, bias_std=0.5)
    (row,) = check_results(network, num_draws=SEED_DRAWS, groups=["tangent kernel"])
    assert row.passed, row
    assert (row.measured == "not compared") == (network.no_gp_limit is not None)


@pytest.mark.slow_but("erf-net")
@pytest.mark.parametrize("name", ["erf-net", "gauss-net"])
def test_all_checks_at_once_and_several_outputs(name):
    network = shipped(name, input_dim=1, output_dim=3, bias_std=1.0)
    rows = {row.check: row for row in check_architecture(network, num_draws=4000)}
    assert {"readout-outputs-independent", "exact-four-point"} <= set(rows)
    assert all(row.passed and row.standard_errors <= 5 for row in rows.values())
    heavy = rows["exact-four-point"].measured == "not compared"
    assert heavy == (name == "gauss-net")


def test_declared_absence_of_a_limit_is_not_held_against_it():
    rows = check_results(shipped("correlated-net"), groups=["limit"], num_draws=4000)
    assert {row.check for row in rows} == {"output-size", "no-gaussian-limit"}


def of_law(law: dist.Distribution):
    def prior(hp):
        params = RELU.prior(hp)
        weights = numpyro.sample("law", law.expand(params["W1"].shape).to_event())
        return params | {"W1": hp.weight_std * weights / hp.width**0.5}

    return prior


def uniform_moment(k: int) -> float:
    return 3 ** (k / 2) / (k + 1)


@pytest.mark.slow
def test_another_law_of_the_output_weights_is_compared_by_its_moments():
    def readout(hp):
        return replace(RELU.readout(hp), weight_moment=uniform_moment)

    law = dist.Uniform(-(3**0.5), 3**0.5)
    network = nnft.Network.build(
        replace(RELU, prior=of_law(law), readout=readout),
        width=8, input_dim=1, bias_std=0.2,
    )  # fmt: skip
    rows = check_results(network, groups=STATISTICAL_GROUPS, num_draws=4000)
    assert not failures(rows)
    assert {"readout-fourth-moment", "exact-four-point"} <= {r.check for r in rows}


@pytest.mark.slow
def test_weights_of_infinite_fourth_moment_have_a_gaussian_limit():
    """Student-t with ν = 3: approached as N^−1/2, and said to be so."""
    bare = replace(
        RELU, prior=of_law(dist.StudentT(3.0, 0.0, 3**-0.5)), readout=None, neuron=None
    )
    network = nnft.Network.build(bare, width=20, input_dim=1)
    (row,) = [
        row
        for row in check_results(network, groups=["limit"])
        if row.check == "gaussian-limit"
    ]
    assert row.passed, str(row)
    assert "for its tails" in str(row.expected)


@pytest.mark.slow
@pytest.mark.parametrize("bias_std", [0.0, 1.0])
def test_heavy_tails_nobody_declares_are_no_missing_limit(bias_std):
    bare = replace(GAUSS, neuron=None)
    network = nnft.Network.build(bare, width=20, input_dim=1, bias_std=bias_std)
    for seed in range(3):
        rows = check_results(network, key=jax.random.key(seed), groups=["limit"])
        assert not failures(rows)


def deep_prior(hp):
    def normal(name, std, *shape):
        return numpyro.sample(name, dist.Normal(0, std).expand(shape).to_event())

    return {
        "in": normal("in", hp.input_dim**-0.5, hp.input_dim, hp.width),
        "w": normal("w", hp.width**-0.5, 2, hp.width, hp.width),
        "out": normal("out", hp.width**-0.5, hp.width),
    }


def linear_apply(hp, params, x):
    w_in, w, out = (params[name] for name in ("in", "w", "out"))
    return hp.weight_std**4 * (x @ w_in @ w[0] @ w[1] @ out)[None]


DEEP_LINEAR = nnft.Architecture(
    name="deep-linear",
    description="three hidden layers, no neuron: its kernel is exact",
    prior=deep_prior,
    apply=linear_apply,
    kernel=lambda hp, x, y: hp.weight_std**8 * jnp.dot(x, y) / hp.input_dim,
    symmetries=frozenset({"rotation", "sign"}),
)


@pytest.mark.slow
def test_architecture_without_readout_or_neuron_passes():
    network = nnft.Network.build(DEEP_LINEAR, width=20, input_dim=2)
    rows = check_architecture(network, num_draws=5000)
    assert not any(row.check.startswith(("readout", "neuron")) for row in rows)


@pytest.mark.slow
def test_kernel_of_infinite_width_is_compared_at_infinite_width():
    def row(c):
        # At width n the 2-pt function is (1 + 1/n)·x·y; the kernel is its limit.
        def apply(hp, params, x):
            return jnp.sqrt(1 + 1 / hp.width) * linear_apply(hp, params, x)

        plugin = replace(
            DEEP_LINEAR, apply=apply, kernel=lambda hp, x, y: c * jnp.dot(x, y)
        )
        network = nnft.Network.build(plugin, width=10, input_dim=1)
        return check_results(network, num_draws=5000, groups=["sampling"])[0]

    assert row(1.0).passed
    assert not row(1.5).passed
    assert "infinite width" in row(1.5).detail


def test_groups_come_in_order_and_end_where_nothing_can_be_sampled():
    broken = replace(RELU, apply=lambda hp, p, x: RELU.apply(hp, p, x)[0])
    network = nnft.Network.build(broken, width=5, input_dim=1)
    assert [name for name, _ in check_groups(network)] == ["structure"]
    with pytest.raises(nnft.SpecError, match=r"unknown groups \['limits'\]; known are"):
        check_results(network, groups=["limits"])


def test_too_few_draws_are_refused():
    with pytest.raises(nnft.SpecError, match=r"`num_draws` is 10; expected"):
        check_architecture(shipped("relu-net"), num_draws=10)


def test_standard_error_covers_heavy_tails():
    samples = np.random.default_rng(3).lognormal(0.0, 2.0, size=(2000, 500))
    mean, error = mean_and_error(samples)
    assert (np.abs(mean - np.exp(2.0)) / error).max() <= 5


def test_standard_error_of_light_tails_is_the_usual_one():
    samples = np.random.default_rng(4).normal(size=(40_000, 3))
    _, error = mean_and_error(samples)
    np.testing.assert_allclose(error, 1 / 200, rtol=0.03)


def test_worst_of_many_is_as_improbable_as_one():
    """The largest of 50 normal numbers, brought to that of one, is half-normal."""
    worst = np.abs(np.random.default_rng(5).normal(size=(4000, 50))).max(axis=1)
    reduced = np.array([of_one(w, 50) for w in worst])
    for level in (1.0, 2.0):
        expected = 0.3173 if level == 1.0 else 0.0455
        error = (expected * (1 - expected) / 4000) ** 0.5
        assert abs((reduced > level).mean() - expected) < 5 * error
    assert of_one(8.1, 50) == pytest.approx(of_one(7.9, 50) + 0.2, abs=0.1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_a_number_never_passes(bad):
    row = within_errors("c", np.array([1.0, bad]), 1.0, np.array([0.1, bad]), scale=1.0)
    assert not row.passed
