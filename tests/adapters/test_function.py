"""A pure function and a pytree of distributions as an architecture."""

from dataclasses import fields

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers

import nnft_ppl as nnft
from nnft_ppl.adapters.function import architecture_from_function
from nnft_ppl.adapters.knowledge import Knowledge

X = np.random.default_rng(0).normal(size=(4, 3))


def normal(std, *shape):
    return dist.Normal(0.0, std).expand(shape)


def layers(hp):
    """The prior of the one-hidden-layer plugins, in their order."""
    return (
        normal(hp.weight_std / hp.input_dim**0.5, hp.input_dim, hp.width),
        normal(hp.bias_std, hp.width),
        normal(hp.weight_std / hp.width**0.5, hp.width, hp.output_dim),
        normal(hp.bias_std, hp.output_dim),
    )


def forward(params, x):
    w, b, v, c = params
    return jnp.maximum(x @ w + b, 0.0) @ v + c


def build(prior=layers, apply=forward, *, width=None, sizes=None, **knowledge):
    arch = architecture_from_function("mine", apply, prior, width=width, **knowledge)
    sizes = {"width": 20, "input_dim": 3, **(sizes or {"bias_std": 0.5})}
    return nnft.Network.build(arch, **sizes)


@pytest.mark.slow
def test_the_same_net_as_a_plugin_gives_the_same_draws():
    hp = {"width": 20, "input_dim": 3, "output_dim": 2, "bias_std": 0.5}
    mine = nnft.sample_ensemble(build(sizes=hp), X, 50, key=jax.random.key(1))
    theirs = nnft.sample_ensemble(
        nnft.network("relu-net", **hp), X, 50, key=jax.random.key(1)
    )
    np.testing.assert_allclose(mine.values, theirs.values, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_what_is_declared_reaches_the_core_and_the_check():
    net = build(symmetries=frozenset({"sign"}), description="of mine")
    assert net.architecture.description == "of mine"
    correlators = nnft.measure_correlators(
        net, X[:2], (2, 4), num_draws=300, key=jax.random.key(0)
    )
    assert correlators.estimator == "wick"
    with pytest.raises(nnft.UnavailableError, match="sign"):
        nnft.measure_correlators(build(), X, num_draws=300, key=jax.random.key(0))
    plugin = nnft.architectures()["relu-net"]
    right = build(kernel=plugin.kernel, neuron=plugin.neuron, readout=plugin.readout)
    theirs = nnft.network("relu-net", width=20, input_dim=3, bias_std=0.5)
    for order in (2, 4):
        np.testing.assert_array_equal(
            nnft.exact_correlators(right, X).connected(order),
            nnft.exact_correlators(theirs, X).connected(order),
        )
    wrong = build(kernel=lambda hp, x, y: 2 * plugin.kernel(hp, x, y))
    with pytest.raises(nnft.PluginError, match="kernel"):
        nnft.testing.check_architecture(wrong, num_draws=1000)


def test_the_optional_fields_are_those_of_an_architecture():
    names = {f.name for f in fields(nnft.Architecture)}
    assert Knowledge.__optional_keys__ == names - {"name", "prior", "apply"}


def test_sites_are_named_by_their_path():
    def prior(hp):
        return {"a": [normal(1.0, 2), {"b": normal(1.0, 3)}], "c": normal(1.0)}

    net = build(prior, lambda p, x: p["c"] + x.sum(), sizes={"input_dim": 3})
    trace = handlers.trace(handlers.seed(net.prior, jax.random.key(0))).get_trace()
    assert list(trace) == ["a.0", "a.1.b", "c"]
    assert trace["a.1.b"]["fn"].event_shape == (3,)
    single = build(
        lambda hp: normal(1.0, 3), lambda p, x: jnp.dot(p, x), sizes={"input_dim": 3}
    )
    assert list(handlers.seed(single.prior, jax.random.key(0))().shape) == [3]
    with pytest.raises(nnft.SpecError, match="'/' in its name"):
        build(lambda hp: {"a/b": normal(1.0)}, lambda p, x: p["a/b"])


def test_a_fixed_pytree_has_one_width_and_its_own_scales():
    params = {"w": normal(1.0, 3, 8), "v": normal(8**-0.5, 8)}

    def apply(p, x):
        return jnp.tanh(x @ p["w"]) @ p["v"]

    net = build(params, apply, width=8, sizes={"width": 8})
    values = nnft.sample_ensemble(net, X, 10, key=jax.random.key(0)).values
    assert values.shape == (10, 4, 1)
    with pytest.raises(nnft.SpecError, match="one width 8; give a function"):
        net.with_width(9)
    with pytest.raises(nnft.SpecError, match=r"`weight_std` is 2\.0 .*fixed pytree"):
        build(params, apply, width=8, sizes={"width": 8, "weight_std": 2})
    with pytest.raises(nnft.SpecError, match=r"given at one width; say which"):
        build(params, apply)
    with pytest.raises(nnft.SpecError, match=r"`width` is 8.*leave `width` to"):
        build(width=8)


def test_images_and_several_outputs():
    """A linear net of an 8 × 8 image has the kernel x·y/d, for each output alone."""

    def prior(hp):
        return normal(hp.input_dim**-0.5, hp.output_dim, *hp.input_shape)

    def apply(w, x):
        return jnp.tensordot(w, x, axes=x.ndim)

    net = build(prior, apply, sizes={"input_dim": (8, 8, 1), "output_dim": 3})
    x = np.random.default_rng(1).normal(size=(2, 8, 8, 1))
    draws = nnft.sample_ensemble(net, x, 4000, key=jax.random.key(2)).values
    got = np.einsum("dpi,dqj->pqij", draws, draws) / 4000
    k = np.tensordot(x, x, axes=((1, 2, 3), (1, 2, 3))) / 64
    exact = k[:, :, None, None] * np.eye(3)
    # Wick: the variance of f_i(p) f_j(q).
    diagonal = np.diag(k)
    error = np.sqrt((np.outer(diagonal, diagonal)[:, :, None, None] + exact**2) / 4000)
    assert (np.abs(got - exact) < 5 * error).all()


@pytest.mark.parametrize(
    ("prior", "apply", "message"),
    [
        (lambda hp: {}, forward, "holds no distribution"),
        (lambda hp: {"w": 1.0}, forward, r"holds float at 'w'.*dist\.Delta"),
        (
            lambda hp: numpyro.sample("w", dist.Normal()),
            forward,
            r"nnft_ppl\.Architecture\(prior",
        ),
        (layers, lambda p, x: p[0], r"returns the shape \(3, 20\); expected \(1,\)"),
        (layers, lambda p, x: (x[0], x[1]), "does not run: TypeError"),
        (layers, lambda p, x: x @ jnp.ones(7), r"shape \(3,\), does not run"),
        (lambda hp: {"w": 1 / 0}, forward, "does not run: ZeroDivisionError"),
    ],
)
def test_what_does_not_run_is_said_when_the_network_is_built(prior, apply, message):
    with pytest.raises(nnft.SpecError, match=message):
        build(prior, apply)


def test_a_check_of_the_user_comes_first():
    def check(hp):
        if hp.width % 2:
            raise nnft.SpecError("an even width, please")

    build(check=check)
    with pytest.raises(nnft.SpecError, match="an even width, please"):
        build(check=check, apply=None, sizes={"width": 3})
