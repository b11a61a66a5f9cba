"""Reading a TOML table strictly: every key known, every value of its type.

A `Table` refuses unknown keys when it is made and hands out checked values. Every
message gives the path of the key in the file, such as `network.width`.
"""

import difflib
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from nnft_ppl._arguments import LARGEST, as_float, check_choice, is_whole
from nnft_ppl._errors import NnftError, SpecError, shown

REQUIRED = object()
"""Marks a key that has no default."""


class Kind[T](Protocol):
    """What a value must be."""

    @property
    def expected(self) -> str:
        """What is expected, in words."""

    def __call__(self, path: str, value: Any) -> T:
        """The value found at `path`, checked, or SpecError."""


@dataclass(frozen=True)
class One[T]:
    """A single value.

    Attributes:
        expected: What is expected, in words.
        accepts: Whether a raw value is that.
        convert: Raw value -> value.
    """

    expected: str
    accepts: Callable[[Any], bool]
    convert: Callable[[Any], T]

    def __call__(self, path: str, value: Any) -> T:
        """The value found at `path`, or SpecError."""
        if not self.accepts(value):
            raise SpecError(f"`{path}` is {shown(value)}; expected {self.expected}")
        return self.convert(value)


@dataclass(frozen=True)
class Many[T]:
    """A list without repetition, all of whose items are of one kind."""

    kind: Kind[T]

    @property
    def expected(self) -> str:
        """What is expected, in words."""
        return f"a non-empty list, each item {self.kind.expected}"

    def __call__(self, path: str, value: Any) -> tuple[T, ...]:
        """The items found at `path`, or SpecError."""
        if not isinstance(value, list) or not value:
            raise SpecError(f"`{path}` is {shown(value)}; expected {self.expected}")
        found = dict[T, None]()
        for i, item in enumerate(value):
            one = self.kind(f"{path}[{i}]", item)
            if one in found:
                raise SpecError(f"`{path}` holds {shown(item)} twice; give it once")
            found[one] = None
        return tuple(found)


def _whole(least: int, most: int, expected: str) -> One[int]:
    return One(expected, lambda v: is_whole(v) and least <= v <= most, int)


def _number(expected: str, allowed: Callable[[float], bool]) -> One[float]:
    """A number that a float holds and that is `allowed`."""

    def accepts(value: Any) -> bool:
        number = as_float(value)
        return number is not None and allowed(number)

    return One(expected, accepts, float)


TEXT = One("a text", lambda v: isinstance(v, str) and bool(v.strip()), str)
BOOLEAN = One("true or false", lambda v: isinstance(v, bool), bool)
WHOLE = _whole(1, LARGEST, "a whole number ≥ 1, up to 2⁵³")
COUNT = _whole(0, LARGEST, "a whole number ≥ 0, up to 2⁵³")
SEED = _whole(0, 2**32 - 1, "a whole number from 0 to 2³² − 1")
NUMBER = _number("a finite number", math.isfinite)
POSITIVE = _number("a number > 0", lambda v: 0 < v < math.inf)
_CUTOFF = _number('a number > 0, or "inf"', lambda v: v > 0)
CUTOFF = One(
    _CUTOFF.expected, lambda v: v == "inf" or _CUTOFF.accepts(v), _CUTOFF.convert
)
SHARE = _number("a number between 0 and 1", lambda v: 0 < v < 1)
HELD_OUT: One[int | float] = One(
    f"{SHARE.expected}, or a whole number of rows ≥ 1",
    lambda v: SHARE.accepts(v) or WHOLE.accepts(v),
    lambda v: int(v) if WHOLE.accepts(v) else float(v),
)
ANYTHING: One[Any] = One("a value", lambda v: True, lambda v: v)


class Table:
    """One table of a study file, all of whose keys are known."""

    def __init__(self, path: str, values: Any, keys: Collection[str]) -> None:
        """Take the raw value found at `path`: a table with some of `keys`."""
        if not isinstance(values, Mapping):
            raise SpecError(
                f"`{path}` is {shown(values)}; expected a table, written [{path}]"
            )
        self._path = path
        self._values: Mapping[str, Any] = values
        for key in sorted(set(values) - set(keys)):
            near = difflib.get_close_matches(key, keys, n=1)
            hint = f" (did you mean `{self.path(near[0])}`?)" if near else ""
            where = f"[{path}]" if path else "a study file"
            raise SpecError(
                f"unknown key `{self.path(key)}`{hint}; the keys of {where} are "
                f"{sorted(keys)}"
            )

    def __contains__(self, key: str) -> bool:
        """Whether the file gives the key."""
        return key in self._values

    def path(self, key: str) -> str:
        """The key's path in the file."""
        return f"{self._path}.{key}" if self._path else key

    def take[T](self, key: str, kind: Kind[T], default: Any = REQUIRED) -> T:
        """The checked value of a key, or its default."""
        if key in self._values:
            return kind(self.path(key), self._values[key])
        if default is REQUIRED:
            raise SpecError(
                f"`{self.path(key)}` is missing from the study file; expected "
                f"{kind.expected}"
            )
        value: T = default
        return value

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        """One of a few words; the first is the default."""
        value = self.take(key, TEXT, allowed[0])
        check_choice(self.path(key), value, allowed)
        return value


def at[T](path: str, make: Callable[[], T]) -> T:
    """Put the path of the key before the message of whatever goes wrong."""
    try:
        return make()
    except NnftError as error:
        raise type(error)(f"`{path}`: {error}") from error
