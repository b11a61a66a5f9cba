"""Reading TOML that somebody else wrote: whatever it is, it is refused in no time."""

import re
import tomllib
from pathlib import Path
from typing import Any

from nnft_ppl._errors import SpecError, reason

_MAX_BYTES = 1 << 20
"""Of a study file."""
_NAME = r"""(?:[\w-]{1,199}+|"[^"\n]{0,199}+"|'[^'\n]{0,199}+')"""
_DEEP_KEY = re.compile(rf"(?<![\w.-])(?:{_NAME}[ \t]{{0,9}}+\.[ \t]{{0,9}}+){{64}}")
"""Many names with dots between: tomllib takes minutes for some ten thousand."""


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of a study file and what it says.

    Raises:
        SpecError: It cannot be read, is too large, or no TOML.
    """
    text = _text(path)
    if _DEEP_KEY.search(text):
        raise SpecError(f"{path.name} is no valid study file: a key is too deep")
    try:
        found = tomllib.loads(text)
        repr(found)  # no message could show 0xf… of thousands of digits
        return text, found
    except ValueError as error:  # also of an integer of thousands of digits
        raise SpecError(f"{path.name} is no valid TOML: {error}") from error
    except RecursionError as error:
        raise SpecError(
            f"{path.name} is no valid study file: its brackets are too deep"
        ) from error


def _text(path: Path) -> str:
    """What the file says; some editors put a mark at the start of UTF-8."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except (OSError, ValueError) as error:  # ValueError: no such name, or no UTF-8
        raise SpecError(
            f"cannot read the study file {str(path)!r}: {reason(error)}"
        ) from error
    if len(data) > _MAX_BYTES:
        raise SpecError(
            f"the study file {str(path)!r} is larger than {_MAX_BYTES:,} bytes; put "
            "inputs into a file of their own, `inputs.file`"
        )
    return text
