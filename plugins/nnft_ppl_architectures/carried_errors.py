"""How the error of one layer's means becomes that of the next, in a recursion."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

import nnft_ppl as nnft

type Mean = Callable[..., jax.Array]
type Arrays = tuple[jax.Array, ...]


def square_error(
    activation: nnft.Activation, variance: jax.Array, error: jax.Array
) -> jax.Array:
    """Error of E[φ²] at a variance known to `error`, that of the mean included."""
    duals = nnft.activations
    return _carried(
        duals.mean_square, duals.mean_square_error, activation, (variance,), (error,)
    )


def product_error(
    activation: nnft.Activation, covariances: Arrays, errors: Arrays
) -> jax.Array:
    """Error of E[φ φ'] at two variances and a covariance, arrays that broadcast."""
    duals = nnft.activations
    return _carried(
        duals.mean_product, duals.mean_product_error, activation, covariances, errors
    )


def _carried(
    mean: Mean,
    mean_error: Mean,
    activation: nnft.Activation,
    arguments: Arrays,
    errors: Arrays,
) -> jax.Array:
    """Error of a mean of products: its own, and those of its arguments to first order.

    The absolute values add: nothing is taken to cancel.
    """
    error = mean_error(activation, *arguments)
    for number, old in enumerate(errors):
        units = tuple(
            jnp.full_like(argument, place == number)
            for place, argument in enumerate(arguments)
        )
        _, slope = jax.jvp(partial(mean, activation), arguments, units)
        error = error + jnp.where(old == 0, 0.0, jnp.abs(slope) * old)
    return error
