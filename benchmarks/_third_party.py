"""Erf networks as somebody else would write them, from `docs/plugins.md` alone.

One says all that is known of it; the other has a prior and a forward pass only.
"""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import nnft_ppl as nnft

type Params = dict[str, jax.Array]


def prior(hp: nnft.Hyperparameters) -> Params:
    """Parameters of one network, unit normal; scales are in the forward pass."""

    def normal(name: str, *shape: int) -> jax.Array:
        return numpyro.sample(name, dist.Normal().expand(shape).to_event())

    return {
        "first": normal("first", hp.width),
        "shift": normal("shift", hp.width),
        "second": normal("second", hp.width),
        "bias": normal("bias", 1),
    }


def features(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """(width,) hidden layer at one input of dimension 1."""
    inner = hp.weight_std * params["first"] * x + hp.bias_std * params["shift"]
    return jax.scipy.special.erf(inner)


def apply(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """(1,) output at one input."""
    hidden = features(hp, params, x) @ params["second"]
    return hp.weight_std / hp.width**0.5 * hidden + hp.bias_std * params["bias"]


def covariance(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """Of a preactivation at two inputs."""
    return hp.bias_std**2 + hp.weight_std**2 * jnp.dot(x, y)


def kernel(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """Williams (1997)."""
    xx, xy, yy = (covariance(hp, *pair) for pair in ((x, x), (x, y), (y, y)))
    sine = 2 * xy / jnp.sqrt((1 + 2 * xx) * (1 + 2 * yy))
    return hp.bias_std**2 + hp.weight_std**2 * 2 / jnp.pi * jnp.arcsin(sine)


def check(hp: nnft.Hyperparameters) -> None:
    """One input dimension, one output."""
    if (hp.input_dim, hp.output_dim) != (1, 1):
        raise ValueError("this network has one input and one output")


KNOWN = nnft.Architecture(
    name="their-erf",
    description="erf network that says all that is known of it",
    prior=prior,
    apply=apply,
    kernel=kernel,
    readout=lambda hp: nnft.Readout(
        features=lambda params, x: features(hp, params, x),
        weight_std=hp.weight_std,
        bias_std=hp.bias_std,
    ),
    neuron=lambda hp: nnft.Neuron(
        covariance=lambda x, y: covariance(hp, x, y),
        activation=lambda z, variance: jax.scipy.special.erf(z),
    ),
    check=check,
)
UNKNOWN = nnft.Architecture(
    name="their-black-box",
    description="erf network of which only prior and forward pass are known",
    prior=prior,
    apply=apply,
    symmetries=frozenset({"sign"}),
    check=check,
)
