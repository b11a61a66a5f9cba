"""Single arguments as users give them: one check of each kind, used everywhere.

Every error says which argument, what was given and what is expected instead.
"""

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import TypeGuard

from nnft_ppl._errors import SpecError, shown

LARGEST = 2**53
"""No whole number that counts something is larger; a float holds all up to it."""


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is an integer of Python or NumPy; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a real number of Python or NumPy; True and False are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def as_float(value: object) -> float | None:
    """A real number as a float; `None` where it is none, or an integer beyond one."""
    if not is_number(value):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def check_whole(
    name: str, value: object, least: int = 1, most: int | None = None
) -> int:
    """A whole number from `least` to `most`, as an int.

    Raises:
        SpecError: It is none.
    """
    most_of_any = LARGEST if most is None else most
    if not is_whole(value) or not least <= value <= most_of_any:
        too_large = is_whole(value) and value > most_of_any
        allowed = f"from {least} to {most_of_any}"
        if most is None and not too_large:
            allowed = f"≥ {least}"
        raise SpecError(
            f"`{name}` is {shown(value)}; expected a whole number {allowed}"
        )
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
    number = as_float(value)
    if number is None or not allowed(number):
        raise SpecError(f"`{name}` is {shown(value)}; expected {expected}")
    return number


def check_kind(name: str, value: object, kind: type, expected: str = "") -> None:
    """Raise SpecError unless `value` is of the public class `kind`, or as in words."""
    if not isinstance(value, kind):
        what = expected or f"nnft_ppl.{kind.__name__}"
        raise SpecError(f"`{name}` is {shown(value)}; expected {what}")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise SpecError unless `value` is one of `choices`."""
    if value not in choices:
        raise SpecError(f"`{name}` is {shown(value)}; choose one of {list(choices)}")
