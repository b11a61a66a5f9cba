"""Inputs as users give them, checked and brought into one form."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from nnft_ppl._arrays import real_array, real_numbers
from nnft_ppl._errors import SpecError
from nnft_ppl._typing import Points


def check_inputs(x: ArrayLike, shape: tuple[int, ...], *, distinct: bool) -> Points:
    """Inputs as a float64 array (point, number of numbers), one row an input.

    Args:
        x: (point, *shape), or rows already flat; one axis where an input is a number.
        shape: Of one input.
        distinct: Refuse two equal inputs.

    Raises:
        SpecError: Wrong width, NaN or infinity, masked or no real numbers, no points,
            or two equal points.
    """
    dim = math.prod(shape)
    points = real_numbers("inputs", x, f"(number of points, {dim})")
    if points.ndim == 1 and dim == 1:
        points = points[:, None]
    if points.shape[1:] == shape:
        points = points.reshape(len(points), dim)
    if points.ndim != 2 or points.shape[1] != dim:
        expected = ", ".join(map(str, shape))
        raise SpecError(
            f"inputs have shape {points.shape}; expected (number of points, "
            f"{expected}) because input_dim is {shape if len(shape) > 1 else dim}"
        )
    if len(points) == 0:
        raise SpecError("inputs hold no points; give at least one")
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if bad.size:
        raise SpecError(
            f"input {bad[0]} is {points[bad[0]].tolist()}; inputs must be finite"
        )
    if distinct:
        _, first, counts = np.unique(
            points, axis=0, return_index=True, return_counts=True
        )
        if (counts > 1).any():
            twice = points[first[np.argmax(counts > 1)]].tolist()
            raise SpecError(
                f"input {twice} is given more than once; correlators list every "
                "repetition of an input already, so give distinct inputs"
            )
    return points


def shaped_inputs(x: ArrayLike, input_shape: tuple[int, ...]) -> jax.Array:
    """Inputs for JAX, (point, *input_shape); traced or not, in their own precision.

    Raises:
        SpecError: Of another shape, or no real numbers.
    """
    points = jnp.asarray(real_array("inputs", x, "(number of points, …)"))
    dim = math.prod(input_shape)
    if points.ndim == 1 and dim == 1:
        points = points[:, None]
    if points.shape[1:] not in (input_shape, (dim,)):
        raise SpecError(
            f"inputs have shape {points.shape}; expected (number of points, "
            f"{', '.join(map(str, input_shape))})"
        )
    return points.reshape(len(points), *input_shape)
