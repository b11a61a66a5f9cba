"""How the error of one layer's means becomes that of the next, in a recursion."""

from functools import partial

import jax
import jax.numpy as jnp

import nnft_ppl as nnft

type Arrays = tuple[jax.Array, ...]

_SAME = 1e-12
"""Relative difference of the variances of one input, computed twice."""


def square_error(
    activation: nnft.Activation, variance: jax.Array, error: jax.Array
) -> jax.Array:
    """Error of E[φ²] at a variance known to `error`, that of the mean included."""
    duals = nnft.activations
    own = duals.mean_square_error(activation, variance)
    unit = jnp.ones_like(variance)
    _, slope = jax.jvp(partial(duals.mean_square, activation), (variance,), (unit,))
    return own + _product(slope, error)


def product_error(
    activation: nnft.Activation, covariances: Arrays, errors: Arrays
) -> jax.Array:
    """Error of E[φ φ'] at two variances and a covariance, arrays that broadcast.

    Of an input with itself the covariance is the variance, errors included: there the
    mean goes along with both, where it would be infinitely steep in one for a jump.
    """
    duals = nnft.activations
    q_u, q_v, c = jnp.broadcast_arrays(*covariances)
    same = (jnp.abs(q_u - q_v) <= _SAME * q_u) & (jnp.abs(c) >= (1 - _SAME) * q_u)
    along = jnp.where(same & (q_u > 0), c / (2 * jnp.where(q_u > 0, q_u, 1.0)), 0.0)
    zero, one = jnp.zeros_like(c), jnp.ones_like(c)
    ways = ((one, zero, along), (zero, one, along), (zero, zero, 1.0 - same))
    error = duals.mean_product_error(activation, q_u, q_v, c)
    for way, old in zip(ways, errors, strict=True):
        _, slope = jax.jvp(
            partial(duals.mean_product, activation),
            (q_u, q_v, c),
            tuple(jnp.asarray(part, c.dtype) for part in way),
        )
        error = error + _product(slope, old)
    return error


def _product(slope: jax.Array, error: jax.Array) -> jax.Array:
    """What an error becomes to first order; nothing is taken to cancel."""
    return jnp.where(error == 0, 0.0, jnp.abs(slope) * error)
