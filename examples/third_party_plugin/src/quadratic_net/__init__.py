"""`quadratic-net`: one hidden layer of squares, everything known in closed form.

f(x) = b1 + Σ_j a_j φ(z_j(x)), φ(z) = z² − c s(x, x), j = 1 … N, with preactivations
z_j ~ GP(0, s), s(x, y) = σ_b² + σ_W² x·y/d_in, a ~ N(0, σ_W²/N) and b1 ~ N(0, σ_b²).

c is the option `centring`: 0 is the plain square, 1 takes its mean away, which makes φ
the Hermite polynomial :z²:. With c = 1, σ_b = 0 and d_in = 1 the field is x² times one
random number, the least that a network can be.
"""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import nnft_ppl as nnft
from quadratic_net.squares import mean_of_squares

type Params = dict[str, jax.Array]


def prior(hp: nnft.Hyperparameters) -> Params:
    """Sample both layers: fully connected, normal, independent."""

    def normal(name: str, std: float, *shape: int) -> jax.Array:
        law = dist.Normal(0.0, std, validate_args=False)  # std may be 0
        values: jax.Array = numpyro.sample(name, law.expand(shape).to_event())
        return values

    return {
        "w": normal("w", hp.weight_std / hp.input_dim**0.5, hp.input_dim, hp.width),
        "b0": normal("b0", hp.bias_std, hp.width),
        "a": normal("a", hp.weight_std / hp.width**0.5, hp.width, hp.output_dim),
        "b1": normal("b1", hp.bias_std, hp.output_dim),
    }


def centring(hp: nnft.Hyperparameters) -> float:
    """The option, validated by nnft_ppl: a number between 0 and 1."""
    return hp.option("centring", float)


def covariance(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """Of a hidden preactivation, s(x, y) = σ_b² + σ_W² x·y/d_in."""
    return hp.bias_std**2 + hp.weight_std**2 * jnp.dot(x, y) / hp.input_dim


def features(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """The hidden layer of one draw at one input, (width,)."""
    z = x @ params["w"] + params["b0"]
    return z**2 - centring(hp) * covariance(hp, x, x)


def apply(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """Output of one draw at one input, (output_dim,)."""
    return features(hp, params, x) @ params["a"] + params["b1"]


def kernel(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """K = σ_b² + σ_W² [(1 − c)² s(x,x) s(y,y) + 2 s(x,y)²], by Isserlis' theorem."""
    apart = covariance(hp, x, x) * covariance(hp, y, y)
    together = 2 * covariance(hp, x, y) ** 2
    mean = (1 - centring(hp)) ** 2 * apart + together
    return hp.bias_std**2 + hp.weight_std**2 * mean


def readout(hp: nnft.Hyperparameters) -> nnft.Readout:
    """The last layer is linear with normal weights."""
    return nnft.Readout(
        features=lambda params, x: features(hp, params, x),
        weight_std=hp.weight_std,
        bias_std=hp.bias_std,
    )


def neuron(hp: nnft.Hyperparameters) -> nnft.Neuron:
    """The hidden units are i.i.d., and products of any number have a known mean."""
    return nnft.Neuron(
        covariance=lambda x, y: covariance(hp, x, y),
        activation=lambda z, variance: z**2 - centring(hp) * variance,
        product_mean=lambda s: mean_of_squares(s, centring(hp)),
    )


@nnft.hookimpl
def nnft_ppl_architecture() -> nnft.Architecture:
    """What the package supplies; its name is that of the entry point."""
    return nnft.Architecture(
        name="quadratic-net",
        description="one hidden layer, z² − c s(x,x)",
        prior=prior,
        apply=apply,
        kernel=kernel,
        readout=readout,
        neuron=neuron,
        symmetries=frozenset({"rotation", "sign"}),
        options={
            "centring": nnft.Option(
                default=0.0,
                minimum=0.0,
                maximum=1.0,
                help="how much of its mean a square loses: 0 nothing, 1 all",
            )
        },
        suggested_inputs={
            1: [[-1.0], [-0.5], [0.5], [1.0]],
            2: [[1.0, 0.0], [0.7, 0.7], [0.0, 1.0], [-0.5, 0.5]],
        },
    )
