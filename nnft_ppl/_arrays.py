"""Arrays as users give them: one check of what they hold, used wherever one comes in.

NumPy reads much as numbers that is none: the entries below a mask, a date by its unit,
half of a complex number, a text of digits.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from nnft_ppl._errors import PluginError, SpecError

_REMEDIES = (
    (np.complexfloating, "give real and imaginary part as two real numbers"),
    (np.datetime64, "give times as numbers in a unit that you choose"),
    (np.timedelta64, "give durations as numbers in a unit that you choose"),
    (np.bool_, "write .astype(float) if True and False are meant as 1 and 0"),
)
"""Types that NumPy reads as numbers, and what to do instead."""
_MAX_AXES = 64
"""Of an array of NumPy; deeper lists are none."""


def is_real(dtype: np.dtype) -> bool:
    """Whether arrays of this type hold real numbers; True and False are none."""
    # JAX knows types that NumPy does not: floats of 16 bits and fewer, random keys.
    numbers = (jnp.issubdtype(dtype, kind) for kind in (np.floating, np.integer))
    return any(numbers) and not jnp.issubdtype(dtype, np.timedelta64)


def real_array(name: str, given: object, shape: str) -> np.ndarray | jax.Array:
    """What was given as an array, of whatever type of real numbers it is.

    Args:
        name: What it is, in the plural.
        given: An array, of JAX too and under its transformations, or nested lists.
        shape: The shape that is expected, in words.

    Raises:
        SpecError: An entry is masked, or it holds anything but real numbers.
    """
    expected = f"expected real numbers, shape {shape}"
    masked = _first_masked(given)
    if masked is not None:
        raise SpecError(
            f"{name} hold a masked entry, at {list(masked)}; {expected}: leave out "
            "what has masked entries, or fill them with the method `filled`"
        )
    try:
        array = given if isinstance(given, jax.Array) else np.asarray(given)
    except (TypeError, ValueError, RecursionError) as error:
        raise SpecError(
            f"{name} are no array of real numbers ({error}); {expected}"
        ) from error
    if not is_real(array.dtype):
        remedies = (do for of, do in _REMEDIES if jnp.issubdtype(array.dtype, of))
        remedy = next(remedies, None)
        raise SpecError(
            f"{name} are no array of real numbers (their type is {array.dtype}); "
            f"{expected}{f': {remedy}' if remedy else ''}"
        )
    return array


def real_numbers(name: str, given: object, shape: str) -> np.ndarray:
    """The same as a NumPy array in float64."""
    # Of what is finite in more than float64 alone, and of bits that are no number.
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(real_array(name, given, shape), np.float64)


def returned_numbers(what: str, found: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    """What a function of an architecture returned, in float64.

    Args:
        what: Whose values they are.
        found: As returned; True and False are 1 and 0 here.
        shape: That of the contract.

    Raises:
        PluginError: It has another shape, or holds no real numbers.
    """
    values = np.asarray(found)
    if values.shape != shape or not (is_real(values.dtype) or values.dtype == bool):
        raise PluginError(
            f"{what} gives {values.dtype} of shape {values.shape}; expected real "
            f"numbers, shape {shape}"
        )
    return np.asarray(values, np.float64)


def _first_masked(given: object, depth: int = 0) -> tuple[int, ...] | None:
    """Where the first masked entry is, if any; lists may hold masked arrays."""
    if isinstance(given, np.ma.MaskedArray):
        found = np.argwhere(np.ma.getmaskarray(given))
        return tuple(found[0].tolist()) if len(found) else None
    if isinstance(given, (list, tuple)) and depth < _MAX_AXES:
        for number, part in enumerate(given):
            if isinstance(part, (list, tuple, np.ma.MaskedArray)):
                within = _first_masked(part, depth + 1)
                if within is not None:
                    return (number, *within)
    return None
