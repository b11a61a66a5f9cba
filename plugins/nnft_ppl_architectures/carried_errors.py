"""How the error of one layer's means becomes that of the next, in a recursion."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp

import nnft_ppl as nnft

type Mean = Callable[..., jax.Array]


def carried_error(
    mean: Mean,
    mean_error: Mean,
    activation: nnft.Activation,
    arguments: Sequence[jax.Array],
    errors: Sequence[jax.Array],
) -> jax.Array:
    """Error of a mean of products: its own, and those of its arguments to first order.

    The absolute values add: nothing is taken to cancel.

    Args:
        mean: `nnft.activations.mean_product` or `mean_square`.
        mean_error: The function of its own error.
        activation: φ.
        arguments: Variances and covariance, arrays that broadcast.
        errors: Of each of them, of the same shapes.
    """
    error = mean_error(activation, *arguments)
    for number, old in enumerate(errors):
        units = tuple(
            jnp.full_like(argument, place == number)
            for place, argument in enumerate(arguments)
        )
        _, slope = jax.jvp(partial(mean, activation), tuple(arguments), units)
        error = error + jnp.where(old == 0, 0.0, jnp.abs(slope) * old)
    return error
