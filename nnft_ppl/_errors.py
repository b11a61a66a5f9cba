"""The few error types of nnft_ppl; every message names value, expectation, remedy."""

import reprlib
from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 290
"""Characters of a message."""
_ENDING = 110
"""Of them at the end, where most messages say what is expected."""
_WORD = 20
"""A longer one is cut where it stands."""


class _Short(reprlib.Repr):
    """`repr`, cut short; it never raises."""

    def repr_int(self, x: int, level: int) -> str:
        """As any other, but Python does not write integers of thousands of digits."""
        if x.bit_length() < 1000:
            return super().repr_int(x, level)
        return f"an integer of about {round(x.bit_length() * 0.30103)} digits"


_SHORT = _Short(maxstring=80, maxother=80, maxlong=60, maxlist=12, maxtuple=12)


def shown(value: object) -> str:
    """A value as messages show it: `repr`, however large or deep the value is."""
    return _SHORT.repr(value)


def one_line(text: str) -> str:
    """A text in one line of fewer than 300 characters, cut in the middle if need be.

    What does not print, such as an escape sequence in a file's name, is written out.
    """
    line = "".join(
        c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split())
    )
    if len(line) <= _LONGEST:
        return line
    head, tail = line[: _LONGEST - _ENDING - 3], line[-_ENDING:]
    end = head.rfind(" ", len(head) - _WORD)
    start = tail.find(" ", 0, _WORD)
    return f"{head[: end if end >= 0 else None]} … {tail[start + 1 :]}"


def reason(error: Exception) -> str:
    """What went wrong with a file, in the system's words without its number."""
    words = error.strerror if isinstance(error, OSError) else None
    return words.lower() if words else str(error)


def meant(name: str, known: Iterable[str]) -> str:
    """The known name that is like one that is not, as a part of a message, or ""."""
    near = get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


class NnftError(Exception):
    """Base of all errors raised on purpose by nnft_ppl.

    `str` gives the message in one line of fewer than 300 characters; `args` holds it
    whole.
    """

    def __str__(self) -> str:
        """The message."""
        return one_line(super().__str__())


class PluginError(NnftError):
    """A plugin cannot be used: missing, broken, clashing or breaking the contract."""


class SpecError(NnftError, ValueError):
    """Something the user gave is outside what is allowed; raised before any work."""


class UnavailableError(NnftError):
    """The request is sensible, but this architecture supplies no means to meet it."""


class FitError(NnftError):
    """Inference ran and its numbers cannot be used."""


class StorageError(NnftError, OSError):
    """A file cannot be written or read, and not for what is in it."""
