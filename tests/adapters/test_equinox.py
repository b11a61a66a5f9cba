"""Equinox modules as architectures."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.infer.util import initialize_model

import nnft_ppl as nnft
from nnft_ppl.adapters import equinox as adapter
from nnft_ppl.adapters.equinox import architecture_from_equinox

X = np.random.default_rng(0).normal(size=(3, 3))


def dense(hp, key):
    """Hidden layers of max(z, 0), as many as the option `depth` says, else one."""
    depth = hp.options.get("depth", 1)
    return eqx.nn.MLP(hp.input_dim, hp.output_dim, hp.width, depth, key=key)


def build(make, prior=None, *, call=None, width=None, sizes=None, **knowledge):
    also = {} if call is None else {"call": call}
    arch = architecture_from_equinox(
        "mine", make, prior, width=width, **also, **knowledge
    )
    return nnft.Network.build(arch, **{"width": 6, "input_dim": 3, **(sizes or {})})


def draw(net, seed=0):
    return handlers.seed(net.prior, jax.random.key(seed))()


@pytest.mark.slow
def test_the_same_net_as_a_plugin_has_its_correlators():
    sizes = {"width": 6, "input_dim": 3, "bias_std": 0.5, "weight_std": 1.3}
    net = build(
        dense,
        sizes=sizes,
        readout=lambda hp: nnft.Readout(
            features=lambda module, x: jax.nn.relu(module.layers[0](x)),
            weight_std=hp.weight_std,
            bias_std=hp.bias_std,
        ),
    )
    got = nnft.measure_correlators(
        net, X, (2, 4), num_draws=40_000, key=jax.random.key(3)
    )
    assert got.estimator == "conditional"
    exact = nnft.exact_correlators(nnft.network("relu-net", **sizes), X, (2, 4))
    for order in (2, 4):
        z = (got.connected(order) - exact.connected(order)) / got.connected_error(order)
        assert np.abs(z).max() < 4


def test_a_plate_gives_networks_and_nuts_moves_their_weights_alone():
    net = build(dense)  # without biases
    with numpyro.plate("groups", 2):
        params = draw(net)
    outputs = jax.jit(net.apply)(params, X)
    assert outputs.shape == (2, 3, 1)
    for group in range(2):
        one = {name: value[group] for name, value in params.items()}
        np.testing.assert_allclose(outputs[group], net.apply(one, X), atol=1e-5)

    def model():
        numpyro.sample("y", dist.Normal(net.apply(net.prior(), X), 1.0), obs=0.0)

    unknowns = initialize_model(jax.random.key(0), model).param_info.z
    assert set(unknowns) == {"layers.0.weight", "layers.1.weight"}


@pytest.mark.slow
def test_options_and_several_outputs_reach_the_module():
    """Two hidden layers, by hand; outputs are independent given the rest."""
    net = build(
        dense,
        sizes={"output_dim": 3, "bias_std": 0.5, "depth": 2},
        options={"depth": nnft.Option(default=1, help="hidden layers", minimum=1)},
    )
    p = jax.tree.map(np.float64, draw(net))
    h = X
    for layer in range(3):
        weight, bias = p[f"layers.{layer}.weight"], p[f"layers.{layer}.bias"]
        h = h @ weight.T + bias
        h = np.maximum(h, 0) if layer < 2 else h
    np.testing.assert_allclose(net.apply(draw(net), X), h, atol=1e-5)
    values = nnft.sample_ensemble(net, X, 9, key=jax.random.key(0)).values
    assert values.shape == (9, 3, 3)


class Mixed(eqx.Module):
    """Layers with parameters of every kind, a buffer of whole numbers, a random stream.

    Args:
        hp: Width, and an image of channels first.
        key: Of JAX.
    """

    conv: eqx.nn.Conv2d
    norm: eqx.nn.LayerNorm
    slope: eqx.nn.PReLU
    dropout: eqx.nn.Dropout
    attention: eqx.nn.MultiheadAttention
    out: eqx.nn.Linear
    order: jax.Array
    stream: jax.Array

    def __init__(self, hp, key):
        keys = jax.random.split(key, 4)
        self.conv = eqx.nn.Conv2d(3, hp.width, (2, 3), key=keys[0])
        self.norm = eqx.nn.LayerNorm((3, 2))
        self.slope = eqx.nn.PReLU()
        self.dropout = eqx.nn.Dropout(0.5)
        self.attention = eqx.nn.MultiheadAttention(2, hp.width, key=keys[1])
        self.out = eqx.nn.Linear(hp.width, "scalar", use_bias=False, key=keys[2])
        self.order = jnp.arange(hp.width)[::-1]
        self.stream = keys[3]

    def __call__(self, x):
        h = self.slope(jax.vmap(self.norm)(self.conv(x)))
        h = self.dropout(h)[self.order].reshape(len(h), -1).T
        return self.out(self.attention(h, h, h).mean(0))


FAN_IN = {
    "conv.weight": 3 * 2 * 3,
    "attention.query_proj.weight": 40,
    "attention.key_proj.weight": 40,
    "attention.value_proj.weight": 40,
    "attention.output_proj.weight": 40,
    "out.weight": 40,
}


@pytest.mark.slow
def test_the_default_prior_scales_every_layer_by_what_it_sums_over():
    net = build(
        Mixed,
        sizes={"width": 40, "input_dim": (3, 4, 4), "weight_std": 1.5, "bias_std": 0.7},
    )
    params = draw(net)
    # The weight of the normalisation, an array of two axes, stays 1; the slope 0.25.
    assert set(params) == {*FAN_IN, "conv.bias", "norm.bias"}
    assert params["conv.bias"].shape == (40, 1, 1)
    for path, values in params.items():
        std = 0.7 if path.endswith("bias") else 1.5 / FAN_IN[path] ** 0.5
        ratio = np.mean(np.square(values)) / std**2
        assert abs(ratio - 1) < 5 * (2 / values.size) ** 0.5, path
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 4))
    values = nnft.sample_ensemble(net, x, 5, key=jax.random.key(0)).values
    assert values.shape == (5, 2, 1)
    # Equinox itself, with the values put in: what is kept and what is not.
    made = Mixed(net.hyperparameters, jax.random.key(7))
    put = eqx.tree_at(
        lambda m: (
            [m.conv.weight, m.conv.bias, m.norm.bias, m.out.weight]
            + [getattr(m.attention, f"{k}_proj").weight for k in PROJECTIONS]
        ),
        eqx.nn.inference_mode(made),
        [params[k] for k in ("conv.weight", "conv.bias", "norm.bias", "out.weight")]
        + [params[f"attention.{k}_proj.weight"] for k in PROJECTIONS],
    )
    theirs = [put(jnp.asarray(one, jnp.float32)) for one in x]
    np.testing.assert_allclose(net.apply(params, x)[:, 0], theirs, rtol=1e-4, atol=1e-5)


PROJECTIONS = ("query", "key", "value", "output")


@pytest.mark.slow
def test_nothing_is_allocated_and_the_module_is_made_once():
    made = []

    def make(hp, key):
        made.append(hp.width)
        return dense(hp, key)

    huge = build(make, sizes={"width": 10**5, "input_dim": 10**7})  # 4 TB
    net = huge.with_width(6)
    draw(net)
    assert made == [10**5, 6]


def test_priors_by_path_and_by_function():
    params = draw(
        build(dense, {"layers.1.weight": dist.Uniform(2, 3)}, sizes={"width": 50})
    )
    assert params["layers.1.weight"].shape == (1, 50)
    assert 2 < params["layers.1.weight"].min() < params["layers.1.weight"].max() < 3

    def prior(path, shape, hp):
        return dist.Delta(jnp.full(shape, hp.width)) if "bias" in path else None

    assert (draw(build(dense, prior))["layers.0.bias"] == 6).all()
    with pytest.raises(nnft.SpecError, match=r"\['layers\.2\.weight'\].*did you mean"):
        build(dense, {"layers.2.weight": dist.Normal()})


def test_what_is_random_but_has_no_prior_is_refused():
    class Table(eqx.Module):
        table: eqx.nn.Embedding
        out: eqx.nn.Linear

        def __init__(self, hp, key):
            self.table = eqx.nn.Embedding(4, hp.input_dim, key=key)
            self.out = eqx.nn.Linear(hp.input_dim, 1, key=key)

        def __call__(self, x):
            return self.out(x + self.table(2))

    with pytest.raises(nnft.SpecError, match=r"draws \['table\.weight'\] when"):
        build(Table)
    assert (
        draw(build(Table, {"table.weight": dist.Normal()}))["table.weight"].size == 12
    )


class Tied(eqx.Module):
    """A linear layer used twice, the second time with another bias."""

    a: eqx.nn.Linear
    b: eqx.nn.Linear

    def __init__(self, hp, key):
        self.a = eqx.nn.Linear(hp.width, hp.width, key=key)
        self.b = eqx.tree_at(lambda layer: layer.bias, self.a, jnp.zeros(hp.width))

    def __call__(self, x):
        return self.b(self.a(x))


class Twice(eqx.Module):
    """Three stacked layers, held twice, and used one after the other."""

    first: eqx.nn.Linear
    again: eqx.nn.Linear

    def __init__(self, hp, key):
        def layer(key):
            return eqx.nn.Linear(hp.width, hp.width, use_bias=False, key=key)

        self.first = eqx.filter_vmap(layer)(jax.random.split(key, 3))
        self.again = self.first

    def __call__(self, x):
        return self.again.weight[2] @ (self.first.weight[2] @ x)


class Shared(eqx.Module):
    """A tie as Equinox has it."""

    pair: eqx.nn.Shared

    def __init__(self, hp, key):
        one, other = (
            eqx.nn.Linear(hp.width, hp.width, use_bias=False, key=k)
            for k in jax.random.split(key)
        )
        self.pair = eqx.nn.Shared(
            (one, other), lambda pair: pair[1].weight, lambda pair: pair[0].weight
        )

    def __call__(self, x):
        one, other = self.pair()
        return other(one(x))


def test_an_array_that_is_held_twice_is_drawn_once():
    sizes = {"width": 3, "output_dim": 3, "bias_std": 0.5}
    net = build(Tied, sizes=sizes)
    p = draw(net)
    assert set(p) == {"a.weight", "a.bias", "b.bias"}
    w, a, b = (np.float64(p[path]) for path in ("a.weight", "a.bias", "b.bias"))
    by_hand = (X @ w.T + a) @ w.T + b
    np.testing.assert_allclose(net.apply(p, X), by_hand, rtol=1e-4, atol=1e-5)
    with pytest.raises(nnft.SpecError, match=r"\['b\.weight'\].*mean 'a\.weight'"):
        build(Tied, {"b.weight": dist.Normal()}, sizes=sizes)

    p = draw(build(Twice, sizes=sizes))
    assert set(p) == {"first.weight"}
    w = np.float64(p["first.weight"][2])
    np.testing.assert_allclose(
        build(Twice, sizes=sizes).apply(p, X), X @ w.T @ w.T, rtol=1e-4, atol=1e-5
    )
    assert set(draw(build(Shared, sizes=sizes))) == {"pair.pytree.0.weight"}


@pytest.mark.parametrize("given", [False, True])
def test_a_tied_linear_net_has_its_two_point_function(given):
    """E (W²)₁₁² = (3 + (n − 1))/n² for entries N(0, 1/n); untied it is 1/n."""

    n = 2
    sizes = {"width": n, "input_dim": n, "output_dim": n}
    made = Tied(nnft.Hyperparameters(**sizes), jax.random.key(0))
    net = build(made, width=n, sizes=sizes) if given else build(Tied, sizes=sizes)
    x = np.array([[1.0, 0.0]])
    values = nnft.sample_ensemble(net, x, 20_000, key=jax.random.key(1)).values
    squares = values[:, 0, 0] ** 2
    error = squares.std() / len(squares) ** 0.5
    assert error < 0.05
    assert abs(squares.mean() - (n + 2) / n**2) < 4 * error


class Transposed(eqx.Module):
    """A decoder that is made of its encoder."""

    encoder: jax.Array
    decoder: jax.Array

    def __init__(self, hp, key):
        self.encoder = jax.random.normal(key, (hp.width, hp.input_dim))
        self.decoder = jax.jit(lambda w: jnp.flip(w, 0).T)(self.encoder)

    def __call__(self, x):
        return self.decoder @ (self.encoder @ x)


def test_an_array_that_is_another_one_transposed_is_refused():
    sizes = {"output_dim": 3}
    with pytest.raises(
        nnft.SpecError, match=r"makes 'encoder' and 'decoder' of the same entries"
    ):
        build(Transposed, {"encoder": dist.Normal()}, sizes=sizes)
    prior = {"encoder": dist.Normal(), "decoder": dist.Normal()}
    assert set(draw(build(Transposed, prior, sizes=sizes))) == {"encoder", "decoder"}


def test_equal_arrays_that_are_two_are_drawn_apart():
    def make(hp, key):
        layers = [
            eqx.nn.LayerNorm(3),
            eqx.nn.LayerNorm(3),
            eqx.nn.Linear(3, 1, key=key),
        ]
        return eqx.nn.Sequential(layers)

    made = make(None, jax.random.key(0))
    sizes = {"bias_std": 1.0}
    for net in (build(make, sizes=sizes), build(made, width=6, sizes=sizes)):
        params = draw(net)
        assert (params["layers.0.bias"] != params["layers.1.bias"]).all()


def test_layers_with_state_do_not_run_as_they_are():
    def make(hp, key):
        return eqx.nn.BatchNorm(hp.input_dim, axis_name="batch", mode="ema")

    with pytest.raises(nnft.SpecError, match="does not run"):
        build(make)


def test_a_module_itself_has_one_width():
    hp = nnft.Hyperparameters(width=6, input_dim=3)
    module = dense(hp, jax.random.key(0))
    net = build(module, width=6)
    np.testing.assert_array_equal(
        net.apply(draw(net), X), build(dense).apply(draw(net), X)
    )
    with pytest.raises(nnft.SpecError, match="one width 6"):
        net.with_width(7)
    with pytest.raises(nnft.SpecError, match=r"input of shape \(4,\), does not run"):
        build(module, width=6, sizes={"input_dim": 4})
    with pytest.raises(nnft.SpecError, match="say which with width="):
        build(module)


def test_how_the_module_is_called_can_be_told():
    net = build(dense, call=lambda module, x: module(x) ** 2)
    np.testing.assert_allclose(
        net.apply(draw(net), X), build(dense).apply(draw(net), X) ** 2, rtol=1e-5
    )


def test_a_missing_extra_is_said(monkeypatch):
    monkeypatch.setattr(adapter, "eqx", None)
    with pytest.raises(
        nnft.UnavailableError, match=r"pip install 'nnft-ppl\[equinox\]'"
    ):
        architecture_from_equinox("mine", dense)
