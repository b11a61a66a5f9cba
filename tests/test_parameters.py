"""A site holds a parameter; plates and samples add axes of networks in front."""

from contextlib import ExitStack

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.infer import MCMC, NUTS, Predictive
from numpyro.infer.reparam import LocScaleReparam
from numpyro.infer.util import initialize_model, log_density
from scipy.special import erf

import nnft_ppl as nnft
from nnft_ppl.testing.parameters import check_parameters

KEY = jax.random.key(0)
CASES = {
    name: (name, {"input_dim": {"attention": (3, 2), "conv-net": (5, 1)}.get(name, 1)})
    for name in (
        "attention",
        "conv-net",
        "correlated-net",
        "cos-net",
        "erf-net",
        "gauss-net",
        "mlp",
        "relu-net",
        "residual-mlp",
    )
} | {
    law: ("mlp", {"input_dim": 1, "weight_law": law})
    for law in ("uniform", "laplace", "student-t")
}


def shipped(case, width=6, **changes):
    name, settings = CASES[case]
    return nnft.network(name, width=width, **(settings | changes))


def inputs(net, number=3):
    shape = (number, net.hyperparameters.input_dim)
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def drawn(prior, key=KEY):
    return handlers.seed(prior, key)()


def one_by_one(net, params, x):
    """`apply` of each network of one leading axis."""
    apply = jax.jit(net.apply)
    number = len(jax.tree.leaves(params)[0])
    each = [{n: p[i] for n, p in params.items()} for i in range(number)]
    return np.stack([apply(one, x) for one in each])


def own(prior, apply=lambda hp, p, x: p["w"].sum(keepdims=True), **settings):
    architecture = nnft.Architecture(
        name="own", description="of a test", prior=prior, apply=apply
    )
    return nnft.Network.build(architecture, **({"width": 5, "input_dim": 1} | settings))


def test_every_shipped_architecture_is_here():
    assert {name for name, _ in CASES.values()} == set(nnft.architectures())


@pytest.mark.slow_but("relu-net", "cos-net", "student-t")
@pytest.mark.parametrize("case", CASES)
def test_samples_of_the_sites_are_the_parameters(case):
    net = shipped(case, bias_std=0.5)
    x = inputs(net)

    def model():
        params = net.prior()
        for name, value in params.items():
            numpyro.deterministic(f"param {name}", value)
        numpyro.deterministic("f", net.apply(params, x))

    samples = Predictive(model, num_samples=4)(KEY)
    names = {n.removeprefix("param ") for n in samples if n.startswith("param ")}
    assert set(samples) == names | {f"param {n}" for n in names} | {"f"}
    for name in names:
        assert (samples[name] == samples[f"param {name}"]).all()
    np.testing.assert_allclose(
        net.apply(samples, x), samples["f"], rtol=1e-5, atol=1e-6
    )


def test_second_moment_from_samples_is_the_kernel():
    """E f² = σ_W² x²/2 = 0.5 for relu-net without biases, at any width."""
    net, draws = nnft.network("relu-net", width=50, input_dim=1), 20_000
    samples = Predictive(net.prior, num_samples=draws)(KEY)
    squares = np.asarray(net.apply(samples, [1.0]), np.float64)[:, 0, 0] ** 2
    assert abs(squares.mean() - 0.5) < 4 * squares.std() / draws**0.5


@pytest.mark.slow_but("relu-net", "cos-net", "student-t")
@pytest.mark.parametrize("case", CASES)
def test_a_plate_adds_an_axis_of_networks(case):
    net = shipped(case, bias_std=0.0)
    x, size = inputs(net), net.width  # the same size as an axis of the weights
    with numpyro.plate("groups", size):
        params = drawn(net.prior)
    one = jax.eval_shape(lambda key: drawn(net.prior, key), KEY)
    for name, value in params.items():
        assert value.shape == (size, *one[name].shape)
    found = jax.jit(net.apply)(params, x)
    assert found.shape == (size, 3, 1)
    np.testing.assert_allclose(found, one_by_one(net, params, x), rtol=1e-5, atol=1e-6)
    assert len(np.unique(np.asarray(found)[:, 0])) == size


def test_plates_at_any_axis_and_in_one_another():
    net = shipped("erf-net", bias_std=0.5, output_dim=2)
    x = inputs(net)

    def shape_under(*plates):
        def outputs(key):
            with ExitStack() as stack:
                for size, dim in plates:
                    stack.enter_context(numpyro.plate(f"plate{dim}", size, dim=dim))
                return net.apply(drawn(net.prior, key), x)

        return jax.eval_shape(outputs, KEY).shape

    assert shape_under((2, -1)) == (2, 3, 2)
    assert shape_under((2, -2)) == (2, 1, 3, 2)
    assert shape_under((2, -2), (5, -1)) == (2, 5, 3, 2)
    assert shape_under((2, -1), (5, -2)) == (5, 2, 3, 2)


def test_samples_of_networks_in_a_plate_have_both_axes():
    net = shipped("relu-net")
    x = inputs(net)

    def model():
        with numpyro.plate("groups", 4):
            params = net.prior()
        numpyro.deterministic("f", net.apply(params, x))

    samples = Predictive(model, num_samples=5)(KEY)
    assert samples["b0"].shape == (5, 4, 6)  # deterministic: its bias_std is 0
    found = jax.jit(net.apply)(samples, x)
    assert found.shape == (5, 4, 3, 1)
    np.testing.assert_allclose(found, samples["f"], rtol=1e-5, atol=1e-6)


def test_networks_under_jit_grad_and_vmap():
    net = shipped("mlp", bias_std=0.5)
    x = inputs(net)
    params = Predictive(net.prior, num_samples=3)(KEY)
    expected = one_by_one(net, params, x)
    np.testing.assert_allclose(jax.jit(net.apply)(params, x), expected, rtol=1e-5)
    mapped = jax.jit(jax.vmap(net.apply, in_axes=(0, None)))(params, x)
    np.testing.assert_allclose(mapped, expected, rtol=1e-5)
    gradient = jax.grad(lambda p: net.apply(p, x).sum())
    together, apart = jax.jit(gradient)(params), jax.jit(jax.vmap(gradient))(params)
    for name in params:
        np.testing.assert_allclose(together[name], apart[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p | {"b0": p["b0"][:3]}, r"different axes .*'b0': \(3,\)"),
        (lambda p: p | {"b0": p["b0"][0]}, r"different axes .*'b0': \(\)"),
        (lambda p: p | {"W1": p["W1"][:, :5]}, r"'W1' has shape \(4, 5, 1\); expected "
         r"\(6, 1\) of one .*of another width"),
        (lambda p: p | {"W1": 1.0}, r"'W1' has shape \(\)"),
        (lambda p: {n: v for n, v in p.items() if n != "W0"}, r"lack \['W0'\]"),
        (lambda p: {f"net/{n}": v for n, v in p.items()}, r"lack .*prefix of a scope"),
    ],
)  # fmt: skip
def test_what_is_no_set_of_parameters_is_refused(change, message):
    net = shipped("relu-net")
    params = Predictive(net.prior, num_samples=4)(KEY)
    with pytest.raises(nnft.SpecError, match=message):
        net.apply(change(params), [[0.3]])


@pytest.mark.parametrize("bias_std", [0.0, 1.0])
def test_a_prior_outside_of_a_model_is_told_where_keys_come_from(bias_std):
    net = shipped("relu-net", bias_std=bias_std)
    with pytest.raises(nnft.SpecError, match=r"handlers.seed\(net.prior, key\)\(\)"):
        net.prior()
    params = drawn(net.prior)
    with handlers.substitute(data=params):  # needs no key
        net.prior()


def test_the_abstract_run_is_not_seen_by_handlers_outside():
    net = shipped("relu-net")
    params = drawn(net.prior)
    again = shipped("relu-net")  # has not run its prior yet
    with handlers.trace() as trace, handlers.seed(rng_seed=1), numpyro.plate("g", 2):
        assert again.apply(params, [[0.3]]).shape == (1, 1)
    assert set(trace) <= {"g"}


def test_a_prior_is_the_network_of_its_key_with_or_without_biases():
    net = shipped("erf-net", bias_std=0.0)
    x = inputs(net)
    values = nnft.sample_ensemble(net, x, 2, key=KEY, generator="jax").values
    for j in range(2):
        params = drawn(net.prior, jax.random.fold_in(KEY, j))
        np.testing.assert_allclose(values[j], net.apply(params, x), atol=2e-6)


def test_a_parameter_of_no_spread_is_no_unknown():
    net = shipped("relu-net", bias_std=0.0)

    def model():
        numpyro.sample("y", dist.Normal(net.apply(net.prior(), [[0.3]]), 1.0), obs=0.0)

    info = initialize_model(KEY, model)
    assert set(info.param_info.z) == {"W0", "W1"}
    assert np.isfinite(info.param_info.potential_energy)
    assert info.model_trace["b0"]["type"] == "deterministic"


def test_log_density_is_that_of_the_parameters():
    net = shipped("erf-net", bias_std=0.5, weight_std=1.3)
    params = drawn(net.prior)
    found, _ = log_density(net.prior, (), {}, params)
    std = {"W0": 1.3, "b0": 0.5, "W1": 1.3 / 6**0.5, "b1": 0.5}
    expected = sum(
        dist.Normal(0, std[name]).log_prob(value).sum()
        for name, value in params.items()
    )
    assert found == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("handler", [handlers.condition, handlers.substitute])
def test_trained_weights_take_the_place_of_the_prior(handler):
    net = shipped("student-t", bias_std=0.5)
    trained = jax.tree.map(lambda p: p + 1.0, drawn(net.prior))
    found = drawn(handler(net.prior, data=trained))
    assert all((found[name] == trained[name]).all() for name in trained)


def test_two_networks_in_one_model():
    mean, spread = shipped("erf-net", bias_std=0.5), shipped("relu-net", width=4)
    x = inputs(mean)

    def model():
        f = mean.apply(handlers.scope(mean.prior, prefix="mean")(), x)
        g = spread.apply(handlers.scope(spread.prior, prefix="spread")(), x)
        numpyro.deterministic("sum", f + g)

    samples = Predictive(model, num_samples=5)(KEY)

    def part(prefix):
        return {
            name.removeprefix(prefix): value
            for name, value in samples.items()
            if name.startswith(prefix)
        }

    together = mean.apply(part("mean/"), x) + spread.apply(part("spread/"), x)
    np.testing.assert_allclose(together, samples["sum"], rtol=1e-5, atol=1e-6)


def test_reparametrised_sites_give_the_same_parameters():
    net = shipped("erf-net", bias_std=0.5)
    config = dict.fromkeys(drawn(net.prior), LocScaleReparam(0))
    unit = handlers.reparam(net.prior, config=config)
    with numpyro.plate("groups", 2):
        traced = handlers.trace(handlers.seed(unit, KEY))
        params = traced()
    assert traced.trace["W1_decentered"]["value"].shape == (2, 6, 1)
    np.testing.assert_allclose(
        params["W1"], traced.trace["W1_decentered"]["value"] / 6**0.5, rtol=1e-6
    )
    samples = Predictive(unit, num_samples=3)(KEY)
    assert net.apply(samples, [[0.1], [0.2]]).shape == (3, 2, 1)


def in_plates(hp):
    with numpyro.plate("rows", 2, dim=-2), numpyro.plate("columns", 3, dim=-1):
        return {"w": numpyro.sample("w", dist.Normal())}


def of_a_scale(hp):
    scale = numpyro.sample("scale", dist.HalfNormal())[..., None, None]
    scale = jnp.broadcast_to(scale, (*scale.shape[:-2], 2, 3))
    return {"w": numpyro.sample("w", dist.Normal(0.0, scale).to_event(2))}


def beside_a_point_mass(hp):
    fixed = numpyro.sample("v", dist.Delta(jnp.ones(2)))
    return {"w": numpyro.sample("w", dist.Normal().expand((2, 3))), "v": fixed}


WRITTEN = {
    "an event": lambda hp: {
        "w": numpyro.sample("w", dist.Normal().expand((2, 3)).to_event())
    },
    "half an event": lambda hp: {
        "w": numpyro.sample("w", dist.Normal().expand((2, 3)).to_event(1))
    },
    "no event": lambda hp: {"w": numpyro.sample("w", dist.Normal().expand((2, 3)))},
    "sample_shape": lambda hp: {
        "w": numpyro.sample("w", dist.Normal().expand((3,)), sample_shape=(2,))
    },
    "plates": in_plates,
    "scoped plates": lambda hp: {
        "w": handlers.scope(in_plates, prefix="s", divider=".")(hp)["w"]
    },
    "a scale of its own": of_a_scale,
    "a point mass beside it": beside_a_point_mass,
}
"""Ways to write (2, 3) numbers; to a plate outside they are all one parameter."""


@pytest.mark.parametrize("way", WRITTEN)
def test_however_a_site_is_written_plates_add_axes_in_front(way):
    net, size = own(WRITTEN[way]), 3  # the same size as an axis of the parameter
    with numpyro.plate("groups", size), numpyro.plate("more", 2):
        params = drawn(net.prior)
    assert {p.shape[:2] for p in params.values()} == {(2, size)}
    assert params["w"].shape == (2, size, 2, 3)
    assert len(np.unique(params["w"])) == params["w"].size
    density, _ = log_density(handlers.seed(net.prior, KEY), (), {}, {})
    assert jnp.shape(density) == ()
    failed = [row for row in check_parameters(net, KEY) if not row.passed]
    # Its site is s.w, which is no name of a parameter.
    assert [row.check for row in failed] == ["prior-parameters"] * ("scoped" in way)


def test_samples_of_a_nested_pytree_are_found_by_their_path():
    architecture = nnft.architecture_from_function(
        "nested",
        lambda p, x: jnp.tanh(x @ p["hidden"][0]["w"]) @ p["out"],
        lambda hp: {
            "hidden": [{"w": dist.Normal().expand((hp.input_dim, hp.width))}],
            "out": dist.Normal().expand((hp.width, 1)),
        },
    )
    net = nnft.Network.build(architecture, width=5, input_dim=2)
    with numpyro.plate("groups", 4):
        params = drawn(net.prior)
    found = net.apply(params, np.eye(2))
    by_site = {"hidden.0.w": params["hidden"][0]["w"], "out": params["out"]}
    assert found.shape == (4, 2, 1)
    assert (net.apply(by_site, np.eye(2)) == found).all()


X = np.array([[-1.0], [0.2], [0.7]])
Y = np.array([0.8, -0.6, 0.3])
NOISE = 0.3


def exact_mean_and_deviation(width, draws=200_000):
    """Of f(0.2) given Y, erf-net with σ_W = σ_b = 1: exact given the hidden layer.

    Given that, f is Gaussian of the random kernel K̂, and the hidden layer weighs as
    much as it makes Y probable.
    """
    rng = np.random.default_rng(0)
    z = X[None] * rng.normal(size=(draws, 1, width)) + rng.normal(
        size=(draws, 1, width)
    )
    kernel = 1 + np.einsum("dpn,dqn->dpq", erf(z), erf(z)) / width
    covariance = kernel + NOISE**2 * np.eye(3)
    solved = np.linalg.solve(covariance, np.broadcast_to(Y[:, None], (draws, 3, 1)))
    log_weight = -0.5 * (Y @ solved)[:, 0] - 0.5 * np.linalg.slogdet(covariance)[1]
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    row = kernel[:, 1]
    mean = np.einsum("dp,dp->d", row, solved[..., 0])
    shrunk = np.linalg.solve(covariance, row[..., None])[..., 0]
    variance = row[:, 1] - np.einsum("dp,dp->d", row, shrunk)
    total = weight @ mean
    return total, np.sqrt(weight @ (variance + mean**2) - total**2)


@pytest.mark.slow
def test_posterior_of_a_network_is_that_of_its_random_kernel():
    """NUTS over the parameters, and `apply` of what `get_samples` gives."""
    net = nnft.network("erf-net", width=10, input_dim=1, bias_std=1.0)

    def model():
        f = net.apply(net.prior(), X)[:, 0]
        numpyro.sample("y", dist.Normal(f, NOISE), obs=jnp.asarray(Y))

    mcmc = MCMC(
        NUTS(model), num_warmup=500, num_samples=2000, num_chains=2,
        chain_method="vectorized", progress_bar=False,
    )  # fmt: skip
    mcmc.run(KEY)
    samples = mcmc.get_samples(group_by_chain=True)
    f = np.asarray(net.apply(samples, X), np.float64)[..., 1, 0]
    size = numpyro.diagnostics.effective_sample_size(f)
    mean, deviation = exact_mean_and_deviation(10)
    assert size > 300
    assert abs(f.mean() - mean) < 4 * deviation / size**0.5
    assert f.std() == pytest.approx(deviation, rel=4 / (2 * size) ** 0.5)
