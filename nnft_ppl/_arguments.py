"""Single arguments as users give them: one check of each kind, used everywhere.

Every error says which argument, what was given and what is expected instead.
"""

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import TypeGuard

from nnft_ppl._errors import SpecError


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is an integer of Python or NumPy; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a real number of Python or NumPy; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_whole(
    name: str, value: object, least: int = 1, most: int | None = None
) -> int:
    """A whole number from `least` to `most`, as an int.

    Raises:
        SpecError: It is none.
    """
    if not is_whole(value) or value < least or (most is not None and value > most):
        allowed = f"≥ {least}" if most is None else f"from {least} to {most}"
        raise SpecError(f"`{name}` is {value!r}; expected a whole number {allowed}")
    return int(value)


def check_number(
    name: str, value: object, allowed: Callable[[float], bool], expected: str
) -> float:
    """A number that is `allowed`, as a float.

    Args:
        name: Of the argument.
        value: What was given.
        allowed: Whether a number is; false of NaN, as comparisons are.
        expected: What is allowed, in words.

    Raises:
        SpecError: It is no number, or not allowed.
    """
    if not is_number(value) or not allowed(value):
        raise SpecError(f"`{name}` is {value!r}; expected {expected}")
    return float(value)


def check_kind(name: str, value: object, kind: type, expected: str = "") -> None:
    """Raise SpecError unless `value` is of the public class `kind`, or as in words."""
    if not isinstance(value, kind):
        what = expected or f"nnft_ppl.{kind.__name__}"
        raise SpecError(f"`{name}` is {value!r}; expected {what}")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise SpecError unless `value` is one of `choices`."""
    if value not in choices:
        raise SpecError(f"`{name}` is {value!r}; choose one of {list(choices)}")
