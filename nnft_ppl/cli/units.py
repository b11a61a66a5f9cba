"""What an option's text means: numbers of networks, bytes, devices, names."""

import re
from dataclasses import dataclass
from typing import Any

import click

from nnft_ppl._arguments import LARGEST
from nnft_ppl._errors import SpecError

_UNITS = {
    "B": 1,
    **{f"{p}B": 1000**n for n, p in enumerate("KMGT", start=1)},
    **{f"{p}IB": 1024**n for n, p in enumerate("KMGT", start=1)},
}


@dataclass(frozen=True)
class Extension:
    """How many networks a finished run is to have: so many times, or so many more.

    Attributes:
        text: As given.
        factor: Of the number of networks there are.
        more: Networks beside them.
    """

    text: str
    factor: float
    more: int

    def total(self, num_draws: int) -> int:
        """Networks in all, where there are `num_draws`."""
        return round(self.factor * num_draws) + self.more


class _Option(click.ParamType):  # type: ignore[type-arg]  # not generic in 8.2
    """Text to value by `read`; what is not text is a default and taken as it is."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Read it, or raise SpecError."""
        if not isinstance(value, str):
            return value
        name = "" if param is None else param.opts[0]
        return self.read(value, name)

    def read(self, text: str, option: str) -> Any:
        """The value that the text stands for."""
        raise NotImplementedError


class _Count(_Option):
    name = "NUMBER"

    def read(self, text: str, option: str) -> int:
        number = _whole_number(text)
        if number is None:
            raise SpecError(
                f"`{option} {text}` is no whole number; write one such as 100000 or 1e7"
            )
        return number


class _Memory(_Option):
    name = "SIZE"

    def read(self, text: str, option: str) -> int:
        match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([a-zA-Z]+)", text.strip())
        unit = _UNITS.get(match[2].upper()) if match else None
        if match is None or unit is None:
            raise SpecError(
                f"`{option} {text}` is no size; write a number and a unit, kB, MB, GB, "
                "TB, KiB, MiB, GiB or TiB, such as 500MB"
            )
        return int(min(float(match[1]) * unit, LARGEST))


class _Devices(_Option):
    name = "NUMBER|LIST"

    def read(self, text: str, option: str) -> int | tuple[int, ...]:
        if not re.fullmatch(r"\s*\d{1,9}\s*(,\s*\d{1,9}\s*)*,?\s*", text):
            raise SpecError(
                f"`{option} {text}` is neither a number of devices nor a list of them "
                'such as "0,2"'
            )
        if "," not in text:
            return int(text)
        chosen = tuple(int(part) for part in text.split(",") if part.strip())
        if len(set(chosen)) < len(chosen):
            raise SpecError(f"`{option} {text}` names a device twice; name each once")
        return chosen


class _Names(_Option):
    name = "NAMES"

    def read(self, text: str, option: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(","))
        if not all(names) or len(set(names)) < len(names):
            raise SpecError(
                f"`{option} {text}` is no list of different names of columns, such as "
                "age,weight"
            )
        return names


class _Widths(_Option):
    name = "LIST"

    def read(self, text: str, option: str) -> tuple[int, ...]:
        found = [_whole_number(part) for part in text.split(",")]
        widths = tuple(width for width in found if width is not None)
        if len(set(widths)) < len(found) or not all(0 < w < LARGEST for w in widths):
            raise SpecError(
                f"`{option} {text}` is no list of different widths, such as 5,20,100"
            )
        return widths


class _Extension(_Option):
    name = "FACTORx|NUMBER"

    def read(self, text: str, option: str) -> Extension:
        factor = re.fullmatch(r"([0-9]*\.?[0-9]+(?:e[0-9]+)?)x", text.strip())
        if factor and 1 < float(factor[1]) < LARGEST:
            return Extension(text, float(factor[1]), 0)
        more = None if factor else _whole_number(text)
        if more is None or more < 1:
            raise SpecError(
                f"`{option} {text}` adds no networks; write how many times as many, "
                "such as 10x, or how many more, such as 5e6"
            )
        return Extension(text, 1.0, more)


def _whole_number(text: str) -> int | None:
    """An integer, also in the form 1e7; `None` where it is none."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
        return int(number) if number == int(number) else None
    except (ValueError, OverflowError):
        return None


COUNT = _Count()
"""A whole number; 1e7 is one."""
MEMORY = _Memory()
"""Bytes, from a number with a unit."""
DEVICES = _Devices()
"""A number of devices, or a tuple of their indices."""
NAMES = _Names()
"""Names of columns, with commas between."""
WIDTHS = _Widths()
"""Whole numbers, with commas between."""
EXTENSION = _Extension()
"""`10x` or `5e6`."""


def chosen_devices(devices: int | tuple[int, ...] | None) -> Any:
    """What the library takes as `devices`: a number, devices of this process or `None`.

    Raises:
        SpecError: There is no device of such an index.
    """
    if not isinstance(devices, tuple):
        return devices
    import jax

    local = jax.local_devices()
    for index in devices:
        if index >= len(local):
            there = ", ".join(f"{i} ({d})" for i, d in enumerate(local))
            raise SpecError(f"`--devices`: there is no device {index}, only {there}")
    return [local[index] for index in devices]
