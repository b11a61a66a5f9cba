"""The contract check: sound plugins pass, each seeded fault is found and named."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.handlers import scope

import nnft_ppl as nnft
from nnft_ppl.testing import CheckResult, check_architecture
from nnft_ppl.testing.result import mean_and_error, within_errors

RELU = nnft.architectures()["relu-net"]
WIDTH = 20


def check(architecture: nnft.Architecture, **changes) -> list[CheckResult]:
    hyperparameters = {"width": WIDTH, "input_dim": 1, "bias_std": 0.5} | changes
    network = nnft.Network.build(architecture, **hyperparameters)
    return check_architecture(network, num_draws=5000)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ["erf-net", "gauss-net", "relu-net"])
def test_our_architectures_keep_the_contract(name, seed):
    net = nnft.network(name, width=(5, 20, 100)[seed], input_dim=seed + 1, bias_std=0.3)
    rows = check_architecture(net, key=jax.random.key(seed), num_draws=10_000)
    assert all(row.passed and row.standard_errors <= 5 for row in rows)
    assert {"kernel-two-point", "readout-two-point", "neuron-average"} <= {
        row.check for row in rows
    }


def test_heavy_tails_and_several_outputs_pass():
    net = nnft.network("gauss-net", width=20, input_dim=2, output_dim=3, bias_std=1.0)
    assert "readout-outputs-independent" in {r.check for r in check_architecture(net)}


def tanh_prior(hp):
    depth = 2
    w = numpyro.sample(
        "w", dist.Normal().expand([depth, hp.width, hp.width]).to_event()
    )
    w_in = numpyro.sample(
        "in", dist.Normal().expand([hp.input_dim, hp.width]).to_event()
    )
    out = numpyro.sample("out", dist.Normal().expand([hp.width]).to_event())
    return w_in / hp.input_dim**0.5, w / hp.width**0.5, out / hp.width**0.5


def linear_apply(hp, params, x):
    w_in, w, out = params
    return hp.weight_std**4 * (x @ w_in @ w[0] @ w[1] @ out)[None]


DEEP_LINEAR = nnft.Architecture(
    name="deep-linear",
    description="three hidden layers, no neuron: its kernel is exact",
    prior=tanh_prior,
    apply=linear_apply,
    kernel=lambda hp, x, y: hp.weight_std**8 * jnp.dot(x, y) / hp.input_dim,
    symmetries=frozenset({"rotation", "sign"}),
)


def test_architecture_without_readout_or_neuron_passes():
    rows = check(DEEP_LINEAR, input_dim=2)
    assert not any(row.check.startswith(("readout", "neuron")) for row in rows)


def test_kernel_of_infinite_width_is_compared_at_infinite_width():
    def kernel_plus(c):
        # At width n the 2-pt function is (1 + 1/n)·x·y; the kernel is its limit.
        def apply(hp, params, x):
            return jnp.sqrt(1 + 1 / hp.width) * linear_apply(hp, params, x)

        return replace(
            DEEP_LINEAR, apply=apply, kernel=lambda hp, x, y: c * jnp.dot(x, y)
        )

    rows = {row.check: row for row in check(kernel_plus(1.0), width=10)}
    assert rows["kernel-two-point"].passed
    with pytest.raises(nnft.PluginError, match=r"`kernel-two-point`.*infinite width"):
        check(kernel_plus(1.5), width=10)


def test_symmetry_without_a_kernel_is_checked_on_networks():
    bare = replace(DEEP_LINEAR, kernel=None)
    assert "symmetry-rotation" in {row.check for row in check(bare, input_dim=2)}
    with pytest.raises(
        nnft.PluginError, match=r"`symmetry-translation`.*change of the 2-pt function"
    ):
        check(replace(bare, symmetries=frozenset({"translation"})), input_dim=2)


def prior_with(change):
    """RELU's prior, its parameters changed."""
    return lambda hp: change(hp, RELU.prior(hp))


def constant_prior(hp):
    shapes = {
        "W0": (hp.input_dim, hp.width), "b0": (hp.width,),
        "W1": (hp.width, hp.output_dim), "b1": (hp.output_dim,),
    }  # fmt: skip
    return {
        name: jax.random.normal(jax.random.key(7), shape)
        for name, shape in shapes.items()
    }


def frozen_prior(hp):
    numpyro.sample("unused", dist.Normal())
    return constant_prior(hp)


class Impure:
    """A prior that counts its calls."""

    calls = 0

    def __call__(self, hp):
        self.calls += 1
        return jax.tree.map(lambda leaf: leaf + self.calls, RELU.prior(hp))


def shifted(shift):
    return lambda hp, params, x: RELU.apply(hp, params, x) + shift


def correlated_prior(hp):
    """Neurons in equal pairs: the kernel is right, their number is not."""
    params = RELU.prior(hp)
    half = hp.width // 2
    return params | {
        name: jnp.concatenate([params[name][..., :half]] * 2, axis=-1)
        for name in ("W0", "b0")
    }


def readout_times(**factors):
    def make(hp):
        readout = RELU.readout(hp)
        return replace(
            readout, **{name: getattr(readout, name) * f for name, f in factors.items()}
        )

    return make


def neuron_with(**fields):
    return lambda hp: replace(RELU.neuron(hp), **fields)


UNCHECKED = {"readout": None, "neuron": None}

FAULTS = {
    "kernel off by a fifth": (
        {"kernel": lambda hp, x, y: 1.2 * RELU.kernel(hp, x, y)},
        r"`kernel-two-point`: measured .* standard errors apart .*expected is 0\.8",
    ),
    "1/√N missing beside a readout": (
        {"prior": prior_with(lambda hp, p: p | {"W1": p["W1"] * hp.width**0.5})},
        r"`readout-two-point`: measured",
    ),
    "half precision": (
        {"apply": lambda hp, p, x: RELU.apply(hp, p, x).astype(jnp.bfloat16)},
        r"`apply-dtype-default`: measured bfloat16, expected float32",
    ),
    "fixed to single precision": (
        {"apply": lambda hp, p, x: RELU.apply(hp, p, x).astype(jnp.float32)},
        r"`apply-dtype-x64`: measured float32, expected float64 .*fix no dtype",
    ),
    "biased output": (
        {"apply": shifted(0.3)} | UNCHECKED,
        r"`symmetry-sign-mean`: measured 0\.\d+, expected 0",
    ),
    "biased output beside a readout": (
        {"apply": shifted(0.3)},
        r"`readout-mean`: measured 0\.\d+, expected 0",
    ),
    "prior without sample sites": (
        {"prior": constant_prior},
        r"`prior-sites`: measured 0 sample sites, 0 observed, expected 1 sample",
    ),
    "prior that ignores the key": (
        {"prior": frozen_prior},
        r"`prior-other-key`: measured equal, expected different",
    ),
    "prior that counts its calls": (
        {"prior": Impure()},
        r"`prior-same-key`: measured different, expected equal",
    ),
    "prior that is conditioned": (
        {
            "prior": prior_with(
                lambda hp, p: p | {"z": numpyro.sample("z", dist.Normal(), obs=1.0)}
            )
        },
        r"`prior-sites`: measured 5 sample sites, 1 observed",
    ),
    "slash in a site name": (
        {"prior": scope(RELU.prior, prefix="net")},
        r"`prior-site-names`: measured names with '/': \['net/W0'",
    ),
    "prior that does not run": (
        {"prior": lambda hp: {"w": numpyro.sample("w")}},
        r"prior of architecture 'relu-net' does not run under NumPyro: TypeError",
    ),
    "wrong symmetry": (
        {"symmetries": frozenset({"translation"})},
        r"`symmetry-translation`: .*the kernel changes under a translation",
    ),
    "scalar output": (
        {"apply": lambda hp, p, x: RELU.apply(hp, p, x)[0]},
        r"`apply-shape`: measured \(\), expected \(1,\) \(apply takes one input",
    ),
    "Python branch on a traced value": (
        {"apply": lambda hp, p, x: RELU.apply(hp, p, x) * (2.0 if x[0] > 0 else 1.0)},
        r"fails `apply`: its code raised TracerBoolConversionError",
    ),
    "infinite output": (
        {"apply": shifted(jnp.inf)},
        r"`apply-finite`: measured not finite at input \[0\.2\]",
    ),
    "kernel not symmetric": (
        {"kernel": lambda hp, x, y: RELU.kernel(hp, x, y) + 0.01 * x[0]},
        r"`kernel-symmetric`",
    ),
    "kernel no covariance": (
        {"kernel": lambda hp, x, y: jnp.sum((x - y) ** 2)},
        r"`kernel-positive`: measured -",
    ),
    "kernel in single precision": (
        {"kernel": lambda hp, x, y: RELU.kernel(hp, x, y).astype(jnp.float32)},
        r"`kernel-dtype`: measured float32, expected float64",
    ),
    "kernel without the output bias": (
        {"kernel": lambda hp, x, y: RELU.kernel(hp, x, y) - hp.bias_std**2},
        r"`kernel-two-point`",
    ),
    "readout scale": (
        {"readout": readout_times(weight_std=1.1), "neuron": None},
        r"`kernel-two-point`.*`readout-two-point`",
    ),
    "neuron with another activation": (
        {"neuron": neuron_with(activation=lambda z, v: jnp.tanh(z), homogeneity=None)},
        r"`neuron-kernel`",
    ),
    "neuron with the wrong degree": (
        {"neuron": neuron_with(homogeneity=2)},
        r"`neuron-homogeneity`: .*2\.5\^2 activation",
    ),
    "neuron with a wrong product mean": (
        {"neuron": neuron_with(product_mean=lambda s: jnp.exp(jnp.sum(s)))},
        r"`neuron-product-mean`",
    ),
    "neurons in equal pairs": (
        {"prior": correlated_prior},
        r"`neuron-average`: measured",
    ),
    "suggested inputs of another width": (
        {"suggested_inputs": {1: [[0.1, 0.2]]}},
        r"fails `suggested-inputs`: its code raised SpecError: inputs have shape",
    ),
}


@pytest.mark.parametrize(("fault", "message"), FAULTS.values(), ids=FAULTS)
def test_fault_is_found_and_named(fault, message):
    with pytest.raises(nnft.PluginError, match=f"(?s)'relu-net'.*{message}|{message}"):
        check(replace(RELU, **fault))


def test_missing_width_normalisation_is_named_as_such():
    raw = prior_with(lambda hp, p: p | {"W1": p["W1"] * hp.width**0.5})
    with pytest.raises(
        nnft.PluginError,
        match=r"`kernel-two-point`: .*about the width 20 or its inverse: is a 1/√N mis",
    ):
        check(replace(RELU, prior=raw, **UNCHECKED), bias_std=0.0)


def test_readout_that_is_not_gaussian_is_found():
    coins = prior_with(lambda hp, p: p | {"W1": jnp.sign(p["W1"]) / hp.width**0.5})
    with pytest.raises(
        nnft.PluginError, match=r"`readout-gaussian`: measured [12]\.\d+, expected 3"
    ):
        check(replace(RELU, prior=coins), width=2, bias_std=0.0)


def test_too_few_draws_are_refused():
    net = nnft.network("relu-net", width=2, input_dim=1)
    with pytest.raises(nnft.SpecError, match=r"`num_draws` is 10; expected"):
        check_architecture(net, num_draws=10)


def test_standard_error_covers_heavy_tails():
    samples = np.random.default_rng(3).lognormal(0.0, 2.0, size=(2000, 500))
    mean, error = mean_and_error(samples)
    assert (np.abs(mean - np.exp(2.0)) / error).max() <= 5


def test_standard_error_of_light_tails_is_the_usual_one():
    samples = np.random.default_rng(4).normal(size=(40_000, 3))
    _, error = mean_and_error(samples)
    np.testing.assert_allclose(error, 1 / 200, rtol=0.03)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_a_number_never_passes(bad):
    row = within_errors("c", np.array([1.0, bad]), 1.0, np.array([0.1, bad]), scale=1.0)
    assert not row.passed
