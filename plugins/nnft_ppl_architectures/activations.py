"""The standard activations, by name, with their dual activations in closed form.

The dual activation is E[φ(u) φ(v)], u and v Gaussian with variances q_u, q_v and
covariance c. That of tanh is left to the toolkit's quadrature.
"""

from collections.abc import Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp

import nnft_ppl as nnft


def relu_dual(q_u: jax.Array, q_v: jax.Array, c: jax.Array) -> jax.Array:
    """√(q_u q_v) (sin θ + (π − θ) cos θ)/(2π), cos θ = c/√(q_u q_v).

    Source: Cho and Saul (2009), arc-cosine kernel of degree one.
    """
    # √(q_u q_v) sin θ; arctan2 keeps its digits where arccos loses them (θ → 0). Where
    # u ∥ v but for rounding it is 0 with slope 0: the mean is ∝ θ³ beside a smooth
    # part, and the slope of √0 would make derivatives NaN.
    squared = q_u * q_v - c**2
    parallel = squared <= 1e-14 * q_u * q_v
    opposite = jnp.where(parallel, 0.0, jnp.sqrt(jnp.where(parallel, 1.0, squared)))
    angle = jnp.arctan2(opposite, jnp.where(parallel & (c == 0), 1.0, c))
    return (opposite + (jnp.pi - angle) * c) / (2 * jnp.pi)


def determinant(q_u: jax.Array, q_v: jax.Array, c: jax.Array) -> jax.Array:
    """q_u q_v − c², and 0 where its rounding would show beside the variances."""
    rounding = 1e-14 * q_u * q_v
    squared = q_u * q_v - c**2
    lost = (rounding > 1e-6 * (1 + q_u + q_v)) & (squared <= rounding)
    # Its slopes are those that it has without rounding.
    rest = jax.lax.stop_gradient(jnp.where(lost, squared, 0.0))
    return squared - rest


def erf_dual(q_u: jax.Array, q_v: jax.Array, c: jax.Array) -> jax.Array:
    """(2/π) arcsin[2c/√((1 + 2q_u)(1 + 2q_v))].

    Source: Williams (1997).
    """
    # arcsin(p/√r) as arctan2(p, √(r − p²)): finite slope and no rounding past 1.
    squared = 1 + 2 * (q_u + q_v) + 4 * determinant(q_u, q_v, c)
    return (2 / jnp.pi) * jnp.arctan2(2 * c, jnp.sqrt(jnp.maximum(squared, 1.0)))


def gelu_dual(q_u: jax.Array, q_v: jax.Array, c: jax.Array) -> jax.Array:
    """E[Φ(u)Φ(v)] c + p (q_u q_v − c² + c² [1/(1+q_u) + 1/(1+q_v)]).

    p = 1/(2π√((1+q_u)(1+q_v) − c²)) is E[Φ'(u)Φ'(v)], and
    E[Φ(u)Φ(v)] = 1/4 + arcsin[c/√((1+q_u)(1+q_v))]/(2π): E[u v Φ(u) Φ(v)] by Stein's
    lemma, applied twice.

    Source: derived here; with another parametrisation, Tsuchida et al.,
    arXiv:2002.08517.
    """
    squared = determinant(q_u, q_v, c)
    root = jnp.sqrt(jnp.maximum(1 + q_u + q_v + squared, 1.0))
    both = 0.25 + jnp.arctan2(c, root) / (2 * jnp.pi)
    rest = squared + c**2 * (1 / (1 + q_u) + 1 / (1 + q_v))
    return c * both + rest / (2 * jnp.pi * root)


def sin_dual(q_u: jax.Array, q_v: jax.Array, c: jax.Array) -> jax.Array:
    """exp(−(q_u + q_v)/2) sinh c."""
    half = (q_u + q_v) / 2
    # sinh alone would overflow where the product does not.
    small = jnp.abs(c) < 1
    near = jnp.exp(-half) * jnp.sinh(jnp.where(small, c, 0.0))
    # |c| is at most half the sum, but for a rounding that the exponential would show.
    same, opposite = (jnp.where(e > 1e-6, 0.0, e) for e in (c - half, -c - half))
    return jnp.where(small, near, (jnp.exp(same) - jnp.exp(opposite)) / 2)


def identity_dual(q_u: jax.Array, q_v: jax.Array, c: jax.Array) -> jax.Array:
    """The covariance itself."""
    return jnp.broadcast_to(c, jnp.broadcast_shapes(q_u.shape, q_v.shape, c.shape))


ACTIVATIONS: Mapping[str, nnft.Activation] = MappingProxyType(
    {
        a.name: a
        for a in (
            nnft.Activation(
                name="relu",
                function=lambda z: jnp.maximum(z, 0.0),
                dual=relu_dual,
                homogeneity=1,
                kinks=(0.0,),
            ),
            nnft.Activation(name="erf", function=jax.scipy.special.erf, dual=erf_dual),
            nnft.Activation(name="tanh", function=jnp.tanh),
            nnft.Activation(
                name="gelu",
                function=lambda z: jax.nn.gelu(z, approximate=False),
                dual=gelu_dual,
            ),
            nnft.Activation(name="sin", function=jnp.sin, dual=sin_dual),
            nnft.Activation(name="identity", function=lambda z: z, dual=identity_dual),
        )
    }
)

OPTION = nnft.Option(
    default="relu",
    help="φ of the hidden layers; or an nnft_ppl.Activation, or a function",
    choices=tuple(ACTIVATIONS),
    activation=True,
)
"""The option `activation` of every architecture that has one."""


def chosen_activation(hp: nnft.Hyperparameters) -> nnft.Activation:
    """φ, of the table or the user's own."""
    value = hp.options["activation"]
    return value if isinstance(value, nnft.Activation) else ACTIVATIONS[str(value)]
