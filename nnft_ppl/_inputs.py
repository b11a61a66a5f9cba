"""Inputs as users give them, read, checked and brought into one form."""

import math
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from nnft_ppl._arrays import real_array, real_numbers
from nnft_ppl._errors import SpecError
from nnft_ppl._typing import Points


def read_points(path: Path, where: str = "inputs") -> np.ndarray:
    """Inputs (point, dim) from a .npy file, or a .csv with one input a line.

    Raises:
        SpecError: No such file, another suffix, or no numbers in it.
    """
    if path.suffix not in (".npy", ".csv"):
        raise SpecError(f"`{where}`: {path.name!r} is neither .npy nor .csv")
    try:
        with warnings.catch_warnings():
            # What NumPy warns of, such as an empty file, is refused further on.
            warnings.simplefilter("ignore")
            return _load_npy(path) if path.suffix == ".npy" else _load_csv(path)
    except Exception as error:  # of damaged bytes NumPy raises many kinds
        raise SpecError(f"`{where}`: cannot read {path.name!r}: {error}") from error


def _load_npy(path: Path) -> np.ndarray:
    """The array: nothing is unpickled, and memory taken for what is there alone."""
    return np.array(np.lib.format.open_memmap(path, mode="r"))


def _load_csv(path: Path) -> np.ndarray:
    """The rows; spreadsheets put a mark at the start of UTF-8."""
    with path.open(encoding="utf-8-sig") as file:
        return np.loadtxt(file, delimiter=",", ndmin=2)


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
