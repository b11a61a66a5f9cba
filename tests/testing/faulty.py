"""Wrong plugins, each a small change of a sound one, and what must be said of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.handlers import scope

import nnft_ppl as nnft

RELU = nnft.architectures()["relu-net"]
MLP = nnft.architectures()["mlp"]
COS = nnft.architectures()["cos-net"]
BARE = {"kernel": None, "readout": None, "neuron": None}
"""Without the declarations that a fault would contradict before it is judged itself."""


@dataclass(frozen=True)
class Fault:
    """A wrong plugin.

    Attributes:
        fields: What of the sound architecture is replaced.
        check: The check that must fail.
        message: Regular expression of what its row must say.
        group: The group of checks it is in.
        base: The sound architecture.
        settings: Hyperparameters other than the usual.
        num_draws: Networks that show it.
    """

    fields: Mapping[str, Any]
    check: str
    message: str
    group: str
    base: nnft.Architecture = RELU
    settings: Mapping[str, Any] = field(default_factory=dict)
    num_draws: int = 4000

    @property
    def architecture(self) -> nnft.Architecture:
        return replace(self.base, **self.fields)

    @property
    def network(self) -> nnft.Network:
        usual = {"width": 20, "input_dim": 1, "bias_std": 0.5}
        return nnft.Network.build(self.architecture, **(usual | dict(self.settings)))


def shares_with(
    change: Callable[[dict], dict], base: nnft.Architecture = MLP
) -> Callable[..., dict]:
    """The tangent kernel of a sound architecture, its shares changed."""
    return lambda hp, x, y: change(base.tangent_kernel(hp, x, y))


def prior_with(
    change: Callable[[nnft.Hyperparameters, dict], dict], base: nnft.Architecture = RELU
) -> Callable[[nnft.Hyperparameters], dict]:
    """The prior of a sound architecture, its parameters changed."""
    return lambda hp: change(hp, base.prior(hp))


def times(**factors: Callable[[nnft.Hyperparameters], float]):
    """The prior of `RELU` with some parameters multiplied."""
    return prior_with(
        lambda hp, p: p | {name: p[name] * f(hp) for name, f in factors.items()}
    )


def root_width(hp: nnft.Hyperparameters) -> float:
    return hp.width**0.5


def shifted(shift: float):
    return lambda hp, p, x: RELU.apply(hp, p, x) + shift


def constant_prior(hp: nnft.Hyperparameters) -> dict:
    shapes = {
        "W0": (hp.input_dim, hp.width), "b0": (hp.width,),
        "W1": (hp.width, hp.output_dim), "b1": (hp.output_dim,),
    }  # fmt: skip
    return {
        name: jax.random.normal(jax.random.key(7), shape)
        for name, shape in shapes.items()
    }


def frozen_prior(hp: nnft.Hyperparameters) -> dict:
    numpyro.sample("unused", dist.Normal())
    return constant_prior(hp)


def own_key(hp: nnft.Hyperparameters, p: dict) -> dict:
    return p | {"W0": jax.random.normal(jax.random.key(7), p["W0"].shape)}


def reused(hp: nnft.Hyperparameters, p: dict) -> dict:
    """One weight vector and one bias for all neurons."""
    return p | {n: jnp.broadcast_to(p[n][..., :1], p[n].shape) for n in ("W0", "b0")}


def in_pairs(hp: nnft.Hyperparameters, p: dict) -> dict:
    """Neurons in equal pairs: the kernel is right, their number is not."""
    half = hp.width // 2
    return p | {
        n: jnp.concatenate([p[n][..., :half]] * 2, axis=-1) for n in ("W0", "b0")
    }


def waves_in_pairs(hp: nnft.Hyperparameters, p: dict) -> dict:
    half = hp.width // 2
    return p | {
        n: jnp.concatenate([p[n][..., :half]] * 2, axis=-1) for n in ("w", "phase")
    }


def shared_scale(hp: nnft.Hyperparameters, p: dict) -> dict:
    scale = numpyro.sample("scale", dist.Gamma(4.0, 4.0)) ** 0.5
    return p | {"W1": p["W1"] * scale}


def with_law(law: dist.Distribution):
    """Output weights of another law of variance 1, or of none."""

    def change(hp: nnft.Hyperparameters, p: dict) -> dict:
        shape = p["W1"].shape
        weights = numpyro.sample("law", law.expand(shape).to_event())
        return p | {"W1": hp.weight_std * weights / hp.width**0.5}

    return prior_with(change)


UNIFORM = dist.Uniform(-(3**0.5), 3**0.5)


def scaled_outside(hp: nnft.Hyperparameters) -> dict:
    """Sites of unit variance, parameters of another under the same names."""
    params = RELU.prior(replace(hp, weight_std=1.0))
    return params | {name: hp.weight_std * params[name] for name in ("W0", "W1")}


def centred(hp: nnft.Hyperparameters, p: dict) -> dict:
    """Less the mean over an axis that is another one under a plate."""
    raw = numpyro.sample("raw", dist.Normal().expand((hp.width,)).to_event())
    return p | {
        "centred": numpyro.deterministic(
            "centred", raw - raw.mean(axis=0, keepdims=True)
        )
    }


class Impure:
    """A prior that counts its calls."""

    calls = 0

    def __call__(self, hp: nnft.Hyperparameters) -> dict:
        self.calls += 1
        return jax.tree.map(lambda leaf: leaf + self.calls, RELU.prior(hp))


class Remembering:
    """A forward pass that divides by the number of inputs it has seen."""

    seen = 0

    def __call__(self, hp, params, x):
        self.seen += 1
        return RELU.apply(hp, params, x) * (1 + 1 / self.seen)


def readout_with(**fields: Any):
    return lambda hp: replace(RELU.readout(hp), **fields)


def readout_times(**factors: float):
    def make(hp: nnft.Hyperparameters) -> nnft.Readout:
        right = RELU.readout(hp)
        return replace(right, **{n: getattr(right, n) * f for n, f in factors.items()})

    return make


def half_features(hp: nnft.Hyperparameters) -> nnft.Readout:
    right = RELU.readout(hp)
    return replace(right, features=lambda p, x: 0.5 * right.features(p, x))


def neuron_with(**fields: Any):
    return lambda hp: replace(RELU.neuron(hp), **fields)


def cos_neuron_times(factor: Callable[[int], float]):
    """The closed form for k features times a factor."""

    def make(hp: nnft.Hyperparameters) -> nnft.Neuron:
        right = COS.neuron(hp)
        return replace(
            right, product_mean=lambda s: factor(len(s)) * right.product_mean(s)
        )

    return make


def layers_with(**fields: Any):
    return lambda hp: replace(MLP.hidden_layers(hp), **fields)


def double_widths(hp: nnft.Hyperparameters) -> nnft.HiddenLayers:
    right = MLP.hidden_layers(hp)
    return replace(right, widths=(4 * right.widths[0], *right.widths[1:]))


TANH = nnft.Activation(name="tanh", function=jnp.tanh)
SCALE = nnft.Option(default=1.0, help="divides the input", minimum=0.0, maximum=2.0)
STRETCH = jnp.array([3.0, 1.0])

FAULTS: dict[str, Fault] = {
    "kernel twice too large": Fault(
        {"kernel": lambda hp, x, y: 2 * RELU.kernel(hp, x, y)},
        "kernel-two-point", r"measured over expected is 0\.[45]", "sampling",
    ),
    "kernel off by a fifth": Fault(
        {"kernel": lambda hp, x, y: 1.2 * RELU.kernel(hp, x, y)},
        "kernel-two-point", r"measured over expected is 0\.8", "sampling",
    ),
    "kernel without the output bias": Fault(
        {"kernel": lambda hp, x, y: RELU.kernel(hp, x, y) - hp.bias_std**2},
        "kernel-two-point", r"the kernel is less by bias_std² = 0\.25", "sampling",
    ),
    "kernel with the output bias twice": Fault(
        {"kernel": lambda hp, x, y: RELU.kernel(hp, x, y) + hp.bias_std**2},
        "kernel-two-point", r"the kernel is more by bias_std² = 0\.25", "sampling",
    ),
    "1/√N missing": Fault(
        {"prior": times(W1=root_width), "readout": None, "neuron": None},
        "kernel-two-point", r"about the width 20: is a 1/√N missing\?", "sampling",
        settings={"bias_std": 0.0},
    ),
    "1/√N missing beside a readout": Fault(
        {"prior": times(W1=root_width)},
        "readout-two-point", r"is a 1/√N missing\?", "sampling",
        settings={"bias_std": 0.0},
    ),
    "1/√N missing, no kernel": Fault(
        {"prior": times(W1=root_width)} | BARE,
        "output-size", r"goes as N\^0\.\d+ .*is a 1/√N missing\?", "limit",
    ),
    "1/√N in the prior and in the forward pass": Fault(
        {"prior": times(W1=lambda hp: hp.width**-0.5)},
        "readout-two-point", r"one over the width: is a 1/√N applied twice\?",
        "sampling", settings={"bias_std": 0.0},
    ),
    "1/√N twice, no kernel": Fault(
        {"prior": times(W1=lambda hp: hp.width**-0.5)} | BARE,
        "output-size", r"goes as N\^-0\.\d+ .*is a 1/√N applied twice\?", "limit",
        settings={"bias_std": 0.0},
    ),
    "1/√N twice, no kernel, below a bias that hides it": Fault(
        {"prior": times(W1=lambda hp: hp.width**-0.5)} | BARE,
        "output-size", r"of f\(x\) − f\(y\) goes as N\^-0\.\d+ .*applied twice\?",
        "limit", settings={"bias_std": 1.0},
    ),
    "wrong σ in the hidden layer": Fault(
        {"prior": times(W0=lambda hp: 1.2)},
        "kernel-two-point", r"measured over expected is 1\.\d", "sampling",
    ),
    "wrong σ in the readout": Fault(
        {"prior": times(W1=lambda hp: 1.2)},
        "readout-two-point", r"the variance of f is 1\.[2-4]\d* times", "sampling",
    ),
    "readout of a wrong σ": Fault(
        {"readout": readout_times(weight_std=1.2), "neuron": None},
        "readout-two-point", r"the variance of f is 0\.\d+ times", "sampling",
    ),
    "readout features without a factor": Fault(
        {"readout": half_features},
        "readout-two-point", r"the variance of f is [1-4]\.\d* times", "sampling",
    ),
    "readout without its bias": Fault(
        {"readout": readout_times(bias_std=0.0)},
        "readout-two-point", r"a bias of variance bias_std²", "sampling",
        settings={"bias_std": 1.0},
    ),
    "parameters reused across neurons": Fault(
        {"prior": prior_with(reused)},
        "gaussian-limit", r"no GP limit: .*K̂ does not concentrate", "limit",
    ),
    "neurons in equal pairs": Fault(
        {"prior": prior_with(in_pairs)},
        "neuron-average", r"and of `width` independent neurons", "neuron",
    ),
    "neurons in equal pairs, by the cumulant": Fault(
        {"prior": prior_with(in_pairs)},
        "exact-four-point", r"exact from its neuron", "cumulants",
    ),
    "parameter from a key of its own": Fault(
        {"prior": prior_with(own_key)},
        "prior-own-keys", r"1 draws .*gives every network the same numbers",
        "randomness",
    ),
    "forward pass that draws": Fault(
        {"apply": lambda hp, p, x: RELU.apply(hp, p, x)
         * jax.random.bernoulli(jax.random.key(0), 0.9)},
        "apply-random", r"they belong in the prior", "randomness",
    ),
    "prior without sample sites": Fault(
        {"prior": constant_prior},
        "prior-sites", r"measured 0 sample sites, 0 observed", "structure",
    ),
    "prior that ignores the key": Fault(
        {"prior": frozen_prior},
        "prior-other-key", r"measured equal, expected different", "structure",
    ),
    "prior that counts its calls": Fault(
        {"prior": Impure()},
        "prior-same-key", r"measured different, expected equal", "structure",
    ),
    "prior that is conditioned": Fault(
        {"prior": prior_with(
            lambda hp, p: p | {"z": numpyro.sample("z", dist.Normal(), obs=1.0)}
        )},
        "prior-sites", r"measured 5 sample sites, 1 observed", "structure",
    ),
    "parameter that is a multiple of its site": Fault(
        {"prior": scaled_outside},
        "prior-parameters",
        r"W0 is 1\.3 times its site, W1 is 1\.3 times its site, .*Normal\(0, std\)",
        "structure", settings={"weight_std": 1.3},
    ),
    "parameters without the names of their sites": Fault(
        {"prior": lambda hp: tuple(RELU.prior(hp).values())},
        "prior-parameters", r"0 has no site, 1 has no site", "structure",
    ),
    "parameter computed from a site": Fault(
        {"prior": prior_with(lambda hp, p: p | {"W1": jnp.tanh(p["W1"])})},
        "prior-parameters", r"W1 is not what its site holds", "structure",
    ),
    "networks of a plate mixed": Fault(
        {"prior": prior_with(centred)},
        "prior-plates", r"measured centred mixes networks, .*count axes from the end",
        "structure",
    ),
    "slash in a site name": Fault(
        {"prior": scope(RELU.prior, prefix="net")},
        "prior-site-names", r"names with '/': \['net/W0'", "structure",
    ),
    "prior that does not run": Fault(
        {"prior": lambda hp: {"w": numpyro.sample("w")}},
        "structure", r"'relu-net' does not run under NumPyro: TypeError", "structure",
    ),
    "wrong translation symmetry": Fault(
        {"symmetries": frozenset({"translation"})},
        "symmetry-translation", r"the kernel changes under a translation", "kernel",
    ),
    "wrong rotation symmetry": Fault(
        {"kernel": lambda hp, x, y: RELU.kernel(hp, x * STRETCH, y * STRETCH)},
        "symmetry-rotation", r"the kernel changes under a rotation", "kernel",
        settings={"input_dim": 2},
    ),
    "wrong translation symmetry, no kernel": Fault(
        BARE | {"symmetries": frozenset({"translation"})},
        "symmetry-translation", r"change of the 2-pt function", "symmetries",
    ),
    "wrong rotation symmetry, of an image": Fault(
        BARE | {
            "symmetries": frozenset({"rotation"}),
            "apply": lambda hp, p, x: RELU.apply(hp, p, x.at[0].multiply(3.0).ravel()),
        },
        "symmetry-rotation", r"change of the 2-pt function", "symmetries",
        settings={"input_dim": (2, 2)},
    ),
    "sign symmetry with a biased output": Fault(
        {"apply": shifted(0.3)} | BARE,
        "symmetry-sign-mean", r"sign symmetry makes vanish", "symmetries",
    ),
    "biased output beside a readout": Fault(
        {"apply": shifted(0.3)},
        "readout-mean", r"mean of f in units of √K̂", "sampling",
    ),
    "biased neuron": Fault(
        {"prior": prior_with(lambda hp, p: p | {"W1": p["W1"] + 0.2 / hp.width**0.5})},
        "readout-mean", r"mean of f in units of √K̂", "sampling",
    ),
    "half precision": Fault(
        {"apply": lambda hp, p, x: RELU.apply(hp, p, x).astype(jnp.bfloat16)},
        "apply-dtype-default", r"measured bfloat16, expected float32", "structure",
    ),
    "fixed to single precision": Fault(
        {"apply": lambda hp, p, x: RELU.apply(hp, p, x).astype(jnp.float32)},
        "apply-dtype-x64", r"measured float32, expected float64 .*fix no dtype",
        "structure",
    ),
    "kernel in single precision": Fault(
        {"kernel": lambda hp, x, y: RELU.kernel(hp, x, y).astype(jnp.float32)},
        "kernel-dtype", r"measured float32, expected float64", "kernel",
    ),
    "kernel not symmetric": Fault(
        {"kernel": lambda hp, x, y: RELU.kernel(hp, x, y) + 0.01 * x[0]},
        "kernel-symmetric", r"K\(x,y\) and K\(y,x\) differ", "kernel",
    ),
    "kernel no covariance": Fault(
        {"kernel": lambda hp, x, y: jnp.sum((x - y) ** 2)},
        "kernel-positive", r"a covariance has none < 0", "kernel",
    ),
    "kernel of a negative error": Fault(
        {"kernel_error": lambda hp, x, y: -jnp.abs(x[0])},
        "kernel-error", r"expected finite and ≥ 0", "kernel",
    ),
    "scalar output": Fault(
        {"apply": lambda hp, p, x: RELU.apply(hp, p, x)[0]},
        "apply-shape", r"measured \(\), expected \(1,\)", "structure",
    ),
    "infinite output": Fault(
        {"apply": shifted(float("inf"))},
        "apply-finite", r"not finite at input \[0\.2\]", "structure",
    ),
    "NaN in a few networks": Fault(
        {"apply": lambda hp, p, x: jnp.sqrt(2.5 - RELU.apply(hp, p, x))},
        "sampled-finite", r"[1-9]\d* of 4000 .* the first network \d+, expected 0 of",
        "transformations",
    ),
    "Python branch on a traced value": Fault(
        {"apply": lambda hp, p, x: RELU.apply(hp, p, x) * (2.0 if x[0] > 0 else 1.0)},
        "apply", r"its code raised TracerBoolConversionError", "structure",
    ),
    "state outside the parameters": Fault(
        {"apply": Remembering()},
        "jit-vmap", r"is there state outside the parameters\?", "transformations",
    ),
    "suggested inputs of another width": Fault(
        {"suggested_inputs": {1: [[0.1, 0.2]]}},
        "suggested-inputs", r"its code raised SpecError: inputs have shape",
        "structure",
    ),
    "NaN at an extreme legal option": Fault(
        {
            "options": {"scale": SCALE},
            "apply": lambda hp, p, x: RELU.apply(hp, p, x / hp.options["scale"]),
        },
        "extreme-option-scale", r"outputs not finite.*at scale = 0\.0", "extremes",
    ),
    "kernel NaN without a bias": Fault(
        {"kernel": lambda hp, x, y: RELU.kernel(hp, x, y) + 0 / hp.bias_std**2
         if hp.bias_std else jnp.nan},
        "extreme-standard-deviations", r"kernel not finite.*bias_std = 0\.0",
        "extremes",
    ),
    "option without a help text": Fault(
        {"options": {"scale": nnft.Option(default=1.0, help="")}},
        "texts", r"empty: \['scale'\]", "declarations",
    ),
    "reason that is no text": Fault(
        {"no_gp_limit": lambda hp: True},
        "no-gp-limit-reason", r"measured True", "declarations",
    ),
    "scale shared by all output weights": Fault(
        {"prior": prior_with(shared_scale)} | BARE,
        "gaussian-limit",
        r"no GP limit: the excess kurtosis at N = 5, 20, 160 is .*shared by all",
        "limit", num_draws=20_000,
    ),
    "output weights without a variance": Fault(
        {"prior": with_law(dist.StudentT(1.5))} | BARE,
        "gaussian-limit", r"no GP limit: .*a prior without a variance\?", "limit",
        num_draws=20_000,
    ),
    "declares no limit, has one": Fault(
        {"no_gp_limit": lambda hp: "so it says"},
        "no-gaussian-limit", r"the plugin declares no limit: so it says", "limit",
    ),
    "weights of another law": Fault(
        {"prior": with_law(UNIFORM)},
        "readout-gaussian", r"is weight_moment that of the weights drawn\?",
        "sampling", settings={"width": 2, "bias_std": 0.0},
    ),
    "weight_moment of another law": Fault(
        {
            "prior": with_law(UNIFORM),
            "readout": readout_with(weight_moment={2: 1, 4: 6, 6: 90, 8: 2520}.get),
        },
        "readout-fourth-moment", r"is weight_moment that of the weights drawn\?",
        "sampling", settings={"width": 2, "bias_std": 0.0},
    ),
    "weight_moment not standardised": Fault(
        {"readout": readout_with(weight_moment=lambda k: 2.0)},
        "readout-weight-moments", r"1 at k = 2, or infinite, and growing", "sampling",
    ),
    "neuron with another activation": Fault(
        {"neuron": neuron_with(activation=lambda z, v: jnp.tanh(z), homogeneity=None)},
        "neuron-kernel", r"σ_b² \+ σ_W² E\[φ φ'\] of the neuron", "neuron",
    ),
    "neuron with the wrong degree": Fault(
        {"neuron": neuron_with(homogeneity=2)},
        "neuron-homogeneity", r"2\.5\^2 activation", "neuron",
    ),
    "neuron with a wrong product mean": Fault(
        {"neuron": neuron_with(product_mean=lambda s: jnp.exp(jnp.sum(s)))},
        "neuron-product-mean", r"in closed form and sampled", "neuron",
    ),
    "closed form of another kernel": Fault(
        {"neuron": cos_neuron_times(lambda k: 1.01)},
        "neuron-kernel", r"by `product_mean`, and the kernel", "neuron", base=COS,
    ),
    "closed form right for pairs alone": Fault(
        {"neuron": cos_neuron_times(lambda k: 2.0 ** (k / 2 - 1))},
        "neuron-product-mean", r"sampled and in closed form", "neuron", base=COS,
    ),
    "waves in equal pairs": Fault(
        {"prior": prior_with(waves_in_pairs, COS)},
        "neuron-average", r"and of `width` independent neurons", "neuron",
        base=COS, num_draws=16_000,
    ),
    "tangent kernel with a share twice": Fault(
        {"tangent_kernel": shares_with(lambda parts: {**parts, "W0": 2 * parts["W0"]})},
        "tangent-kernel", r"mean of J Jᵀ .* widths 20 and 80", "tangent kernel",
        base=MLP,
    ),
    "tangent kernel without its biases": Fault(
        {"tangent_kernel": shares_with(lambda parts: {**parts, "b1": 0 * parts["b1"]})},
        "tangent-kernel", r"Σ of the shares declared", "tangent kernel", base=MLP,
    ),
    "tangent kernel of a site that is not there": Fault(
        {"tangent_kernel": shares_with(lambda parts: {**parts, "W9": parts["W0"]})},
        "tangent kernel", r"shares of \['W9'\]; expected names", "tangent kernel",
        base=MLP,
    ),
    "hidden layers of wrong widths": Fault(
        {"hidden_layers": double_widths},
        "hidden-layers-spread", r"are their widths \(80, 20\)\?", "hidden layers",
        base=MLP,
    ),
    "last hidden layer of a wrong width": Fault(
        {"hidden_layers": layers_with(widths=(20, 30))},
        "hidden-layers-widths", r"measured 20 features, expected 30", "hidden layers",
        base=MLP,
    ),
    "hidden layers of another activation": Fault(
        {"hidden_layers": layers_with(activation=TANH)},
        "hidden-layers-kernel", r"covariance, activation, weight_std", "hidden layers",
        base=MLP,
    ),
    "hidden layers of a wrong σ": Fault(
        {"hidden_layers": layers_with(weight_std=1.2)},
        "hidden-layers-kernel", r"covariance, activation, weight_std", "hidden layers",
        base=MLP,
    ),
}  # fmt: skip
