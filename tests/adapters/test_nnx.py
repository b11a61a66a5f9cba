"""Flax NNX modules as architectures."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from flax import nnx
from numpyro import handlers
from scipy.signal import correlate

import nnft_ppl as nnft
from nnft_ppl.adapters import nnx as adapter
from nnft_ppl.adapters.nnx import architecture_from_nnx

X = np.random.default_rng(0).normal(size=(3, 3))


class Dense(nnx.Module):
    """One hidden layer of max(z, 0)."""

    def __init__(self, hp, rngs):
        self.hidden = nnx.Linear(hp.input_dim, hp.width, rngs=rngs)
        self.out = nnx.Linear(hp.width, hp.output_dim, rngs=rngs)

    def features(self, x):
        return nnx.relu(self.hidden(x))

    def __call__(self, x):
        return self.out(self.features(x))


class Parts(nnx.Module):
    """Layers by name, called one after the other."""

    def __init__(self, **parts):
        self.names = tuple(parts)
        for name, part in parts.items():
            setattr(self, name, part)

    def __call__(self, x):
        for name in self.names:
            x = getattr(self, name)(x)
        return x


def build(make, prior=None, *, call=None, width=None, sizes=None, **knowledge):
    also = {} if call is None else {"call": call}
    arch = architecture_from_nnx("mine", make, prior, width=width, **also, **knowledge)
    return nnft.Network.build(arch, **{"width": 6, "input_dim": 3, **(sizes or {})})


def draw(net, seed=0):
    return handlers.seed(net.prior, jax.random.key(seed))()


@pytest.mark.slow_but("True")
@pytest.mark.parametrize("conditional", [True, False])
def test_the_same_net_as_a_plugin_has_its_correlators(conditional):
    sizes = {"width": 6, "input_dim": 3, "bias_std": 0.5}
    known = {"symmetries": frozenset({"sign"})}
    if conditional:
        known["readout"] = lambda hp: nnft.Readout(
            features=Dense.features, weight_std=hp.weight_std, bias_std=hp.bias_std
        )
    got = nnft.measure_correlators(
        build(Dense, sizes=sizes, **known),
        X,
        (2, 4),
        num_draws=40_000,
        key=jax.random.key(3),
    )
    assert got.estimator == ("conditional" if conditional else "wick")
    exact = nnft.exact_correlators(nnft.network("relu-net", **sizes), X, (2, 4))
    for order in (2, 4):
        z = (got.connected(order) - exact.connected(order)) / got.connected_error(order)
        assert np.abs(z).max() < 4
    # The errors are small enough to tell a variance off by a tenth.
    assert (got.connected_error(2) < 0.02 * exact.connected(2).max()).all()


def many_layers(hp, rngs):
    return Parts(
        conv=nnx.Conv(3, hp.width, (2, 5), rngs=rngs),
        norm=nnx.BatchNorm(hp.width, rngs=rngs),
        dropout=nnx.Dropout(0.5, rngs=rngs),
        layer_norm=nnx.LayerNorm(
            hp.width,
            rngs=rngs,
        ),
        attention=nnx.MultiHeadAttention(
            2, hp.width, decode=False, rngs=rngs, qkv_features=hp.width
        ),
        mean=lambda x: x.mean((0, 1)),
        out=nnx.Linear(hp.width, hp.output_dim, use_bias=False, rngs=rngs),
    )


# Path -> what the layer sums over: channels × window, heads × size of a head …
FAN_IN = {
    "conv.kernel": 2 * 5 * 3,
    "attention.query.kernel": 40,
    "attention.key.kernel": 40,
    "attention.value.kernel": 40,
    "attention.out.kernel": 2 * 20,
    "out.kernel": 40,
}


def test_the_default_prior_scales_every_layer_by_what_it_sums_over():
    net = build(
        many_layers,
        sizes={"width": 40, "input_dim": (4, 4, 3), "weight_std": 1.5, "bias_std": 0.7},
    )
    params = draw(net)
    assert set(params) == {
        *FAN_IN,
        "conv.bias",
        "norm.bias",
        "layer_norm.bias",
        *(f"attention.{part}.bias" for part in ("query", "key", "value", "out")),
    }  # the scales of normalisations are 1
    for path, values in params.items():
        std = 0.7 if path.endswith("bias") else 1.5 / FAN_IN[path] ** 0.5
        # The mean square of n normals has the relative error √(2/n).
        ratio = np.mean(np.square(values)) / std**2
        assert abs(ratio - 1) < 5 * (2 / values.size) ** 0.5, path


def test_normalisation_and_dropout_are_evaluated_not_trained():
    def make(hp, rngs):
        return Parts(
            hidden=nnx.Linear(hp.input_dim, hp.width, rngs=rngs),
            norm=nnx.BatchNorm(hp.width, rngs=rngs),
            dropout=nnx.Dropout(0.5, rngs=rngs),
            out=nnx.Linear(hp.width, hp.output_dim, rngs=rngs),
        )

    net = build(make, sizes={"bias_std": 0.5})
    p = jax.tree.map(np.float64, draw(net))
    hidden = X @ p["hidden.kernel"] + p["hidden.bias"]
    normed = hidden / np.sqrt(1 + 1e-5) + p["norm.bias"]  # running mean 0, variance 1
    np.testing.assert_allclose(
        net.apply(draw(net), X),
        normed @ p["out.kernel"] + p["out.bias"],
        rtol=1e-4,
        atol=1e-5,
    )


class Image(nnx.Module):
    """Convolution, max(z, 0), mean over the image, readout."""

    def __init__(self, hp, rngs):
        channels = hp.input_shape[-1]
        self.conv = nnx.Conv(channels, hp.width, (3, 3), padding="VALID", rngs=rngs)
        self.out = nnx.Linear(hp.width, hp.output_dim, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.relu(self.conv(x)).mean(axis=(0, 1)))


@pytest.mark.slow
def test_a_convolutional_net_of_images_with_three_outputs():
    sizes = {"input_dim": (8, 8, 2), "output_dim": 3, "bias_std": 0.3}
    net = build(Image, sizes=sizes)
    x = np.random.default_rng(2).normal(size=(2, 8, 8, 2))
    p = jax.tree.map(np.float64, draw(net))
    # Channel by channel with SciPy.
    hidden = [
        [
            sum(correlate(i[..., c], k[..., c], mode="valid") for c in range(2)).ravel()
            for k in np.moveaxis(p["conv.kernel"], -1, 0)
        ]
        for i in x
    ]
    pooled = np.maximum(np.array(hidden) + p["conv.bias"][:, None], 0).mean(-1)
    np.testing.assert_allclose(
        net.apply(draw(net), x), pooled @ p["out.kernel"] + p["out.bias"], atol=1e-5
    )
    values = nnft.sample_ensemble(net, x, 7, key=jax.random.key(0)).values
    assert values.shape == (7, 2, 3)
    flat = nnft.sample_ensemble(net, x.reshape(2, -1), 7, key=jax.random.key(0))
    assert (flat.values == values).all()


@pytest.mark.slow
def test_nothing_is_allocated_and_the_module_is_made_once():
    made = []

    def make(hp, rngs):
        made.append(hp.width)
        return Dense(hp, rngs)

    # A tera-parameter module: 4 TB.
    huge = build(make, sizes={"width": 10**5, "input_dim": 10**7})
    assert made == [10**5]
    net = huge.with_width(6)
    draw(net)
    nnft.sample_ensemble(build(make), X, 5, key=jax.random.key(0))
    assert made == [10**5, 6, 6]  # the last two are two architectures


def test_priors_by_path_and_by_function():
    laplace = {"out.kernel": dist.Laplace(0.0, 3.0)}
    params = draw(build(Dense, laplace, sizes={"width": 4000}))
    # Kurtosis 6 and variance 2·3²; the default elsewhere.
    out = np.asarray(params["out.kernel"])
    assert out.shape == (4000, 1)
    assert np.abs(out).mean() == pytest.approx(3.0, rel=5 / 4000**0.5)
    assert np.std(params["hidden.kernel"]) == pytest.approx(3**-0.5, rel=0.05)

    def prior(path, shape, hp):
        if path == "hidden.kernel":
            return dist.Uniform(-1, 1).expand(shape).to_event()
        return dist.Delta(jnp.ones(shape)) if path == "hidden.bias" else None

    params = draw(build(Dense, prior, sizes={"width": 400}))
    assert np.abs(params["hidden.kernel"]).max() == pytest.approx(1, abs=0.02)
    assert (params["hidden.bias"] == 1).all()


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ({"kernel": dist.Normal()}, r"names \['kernel'\].*did you mean.*'out\.kernel'"),
        (
            {"out.kernel": dist.Normal(jnp.zeros(5))},
            r"shape \(5,\), which does not exp",
        ),
        (
            {"out.kernel": dist.Dirichlet(jnp.ones(3))},
            r"shape \(3,\), which does not expand to that of the parameter, \(6, 1\)",
        ),
        ({"out.kernel": 1.0}, r"'out\.kernel' is 1\.0; expected a NumPyro dist"),
        (lambda path, shape: None, "does not run: TypeError"),
    ],
)
def test_a_wrong_prior_is_refused(prior, message):
    with pytest.raises(nnft.SpecError, match=message):
        build(Dense, prior)


class Own(nnx.Module):
    """Parameters that no default prior fits."""

    def __init__(self, hp, rngs):
        self.a = nnx.Param(jax.random.normal(rngs.params(), (hp.width,)))
        self.table = nnx.Embed(4, hp.width, rngs=rngs)
        self.shift = nnx.Param(jnp.full((), 2.0))
        self.count = nnx.Variable(jnp.arange(hp.width))
        self.w = nnx.Param(jnp.zeros((hp.input_dim, hp.width)))

    def __call__(self, x):
        h = jnp.tanh(x @ self.w + self.table(jnp.asarray(1)))
        return jnp.dot(h, self.a * self.count) + self.shift


def test_what_is_random_but_has_no_prior_is_refused():
    with pytest.raises(
        nnft.SpecError, match=r"draws \['a', 'table\.embedding'\] when it is made"
    ):
        build(Own)
    prior = {"a": dist.Normal(), "table.embedding": dist.Normal()}
    params = draw(build(Own, prior))
    assert set(params) == {"a", "table.embedding", "w"}
    assert np.std(draw(build(Own, prior, sizes={"width": 4000}))["w"]) > 0.5

    def frozen(hp, rngs):  # features drawn once for the whole ensemble
        return Parts(random=Frozen(rngs), out=nnx.Linear(3, hp.output_dim, rngs=rngs))

    with pytest.raises(nnft.SpecError, match=r"draws \['random\.w'\]"):
        build(frozen)


class Frozen(nnx.Module):
    def __init__(self, rngs):
        self.w = nnx.Variable(jax.random.normal(rngs.params(), (3,)))

    def __call__(self, x):
        return x * self.w


class Tied(nnx.Module):
    """A layer used twice, and a matrix that two layers share."""

    def __init__(self, hp, rngs):
        self.a = nnx.Linear(3, 3, rngs=rngs)
        self.b = self.a
        self.c = nnx.Linear(3, 3, rngs=rngs)
        self.c.kernel = self.a.kernel

    def __call__(self, x):
        return self.c(self.b(self.a(x)))


def test_what_is_held_twice_is_drawn_once():
    net = build(Tied, sizes={"output_dim": 3, "bias_std": 0.5})
    p = draw(net)
    assert set(p) == {"a.kernel", "a.bias", "c.bias"}
    w, a, c = (np.float64(p[path]) for path in ("a.kernel", "a.bias", "c.bias"))
    by_hand = ((X @ w + a) @ w + a) @ w + c
    np.testing.assert_allclose(net.apply(p, X), by_hand, rtol=1e-4, atol=1e-5)


class Transposed(nnx.Module):
    """A decoder that is made of its encoder."""

    def __init__(self, hp, rngs):
        self.encoder = nnx.Linear(3, hp.width, rngs=rngs)
        self.decoder = nnx.Param(self.encoder.kernel[...].T)

    def __call__(self, x):
        return self.encoder(x) @ self.decoder


def test_a_parameter_that_is_another_one_transposed_is_refused():
    with pytest.raises(
        nnft.SpecError, match=r"makes 'decoder' and 'encoder\.kernel' of the same e"
    ):
        build(Transposed, sizes={"output_dim": 3})


def test_what_is_made_of_the_same_constant_is_no_copy():
    def make(hp, rngs):
        ones, zeros = jnp.ones(3), jnp.zeros(3)
        norms = [nnx.LayerNorm(3, rngs=rngs) for _ in range(2)]
        for norm in norms:
            norm.scale, norm.bias = nnx.Param(ones), nnx.Param(zeros)
        return Parts(first=norms[0], other=norms[1], out=nnx.Linear(3, 1, rngs=rngs))

    params = draw(build(make, sizes={"bias_std": 1.0}))
    assert (params["first.bias"] != params["other.bias"]).all()


class Bare(nnx.Module):
    """Two arrays that are attributes themselves."""

    def __init__(self, hp, rngs):
        self.shift = jnp.full(3, 2.0)
        self.factor = jnp.full(3, 5.0)
        self.out = nnx.Linear(3, 1, use_bias=False, rngs=rngs)

    def __call__(self, x):
        return self.out(self.factor * x + self.shift)


def test_arrays_that_are_attributes_keep_their_names_or_are_refused():
    net = build(Bare(None, nnx.Rngs(0)), width=6)
    p = draw(net)
    np.testing.assert_allclose(
        net.apply(p, X), (5 * X + 2) @ p["out.kernel"], rtol=1e-5, atol=1e-5
    )
    with pytest.raises(nnft.SpecError, match=r"'shift'.*bare array.*nnx\.Variable\(a"):
        build(Bare)


class Noisy(nnx.Module):
    def __init__(self, hp, rngs):
        self.rngs = rngs
        self.out = nnx.Linear(hp.input_dim, hp.output_dim, rngs=rngs)

    def __call__(self, x):
        return self.out(x + jax.random.normal(self.rngs.noise(), x.shape))


class Counting(nnx.Module):
    def __init__(self, hp, rngs):
        self.norm = nnx.BatchNorm(hp.input_dim, rngs=rngs)
        self.out = nnx.Linear(hp.input_dim, hp.output_dim, rngs=rngs)

    def __call__(self, x):
        return self.out(self.norm(x, use_running_average=False))


@pytest.mark.parametrize(
    ("make", "changed"), [(Noisy, r"rngs\.\w+\.count"), (Counting, r"norm\.mean")]
)
def test_a_module_that_changes_when_called_is_refused(make, changed):
    with pytest.raises(nnft.SpecError, match=rf"changes \['{changed}"):
        build(make)


def test_a_module_itself_has_one_width():
    hp = nnft.Hyperparameters(width=6, input_dim=3)
    module = Dense(hp, nnx.Rngs(0))
    module.dropout = nnx.Dropout(0.5)
    net = build(module, width=6)
    assert draw(net)["hidden.kernel"].shape == (3, 6)
    assert not module.dropout.deterministic  # the user's own is left alone
    with pytest.raises(nnft.SpecError, match="one width 6"):
        net.with_width(7)
    with pytest.raises(nnft.SpecError, match=r"input of shape \(4,\), does not run"):
        build(module, width=6, sizes={"input_dim": 4})
    with pytest.raises(nnft.SpecError, match="say which with width="):
        build(module)
    with pytest.raises(nnft.SpecError, match="leave `width` to"):
        build(Dense, width=6)


def test_how_the_module_is_called_can_be_told():
    class Batched(Dense):
        def __call__(self, x):
            return super().__call__(x.reshape(x.shape[0], -1))

    with pytest.raises(nnft.SpecError, match="does not run"):
        build(Batched)
    net = build(Batched, call=lambda module, x: module(x[None])[0])
    np.testing.assert_allclose(
        net.apply(draw(net), X), build(Dense).apply(draw(net), X), rtol=1e-5
    )


def test_a_module_that_cannot_be_made_is_said():
    with pytest.raises(
        nnft.SpecError, match=r"cannot be made at width 6.*ZeroDivision"
    ):
        build(lambda hp, rngs: 1 / 0)
    with pytest.raises(nnft.SpecError, match="no parameters"):
        build(lambda hp, rngs: Parts(double=lambda x: 2 * x))


def test_a_missing_extra_is_said(monkeypatch):
    monkeypatch.setattr(adapter, "nnx", None)
    with pytest.raises(nnft.UnavailableError, match=r"pip install 'nnft-ppl\[flax\]'"):
        architecture_from_nnx("mine", Dense)


@pytest.mark.slow
def test_neither_library_is_imported_unless_asked_for():
    code = (
        "import sys, nnft_ppl; nnft_ppl.measure_correlators, nnft_ppl.load;"
        "import nnft_ppl.adapters.function;"
        "sys.exit(sum(m in sys.modules for m in ('flax', 'equinox')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    # Without the library the module still imports, and says so when called.
    for library, module in (("flax", "nnx"), ("equinox", "equinox")):
        code = (
            f"import sys; sys.modules[{library!r}] = None\n"
            f"import nnft_ppl as nnft\nfrom nnft_ppl.adapters import {module}\n"
            f"try: {module}.architecture_from_{module}('a', print)\n"
            "except nnft.UnavailableError: sys.exit(0)\nsys.exit(1)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
