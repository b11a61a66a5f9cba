"""What the environment of a process may be, and what commands make of it.

JAX reads settings from the environment, made for other programs; a terminal may print
ASCII alone; a pipe may close. None of it changes a result, and none ends in exit code
1, which means that a check failed.
"""

import codecs
import os
import re
import sys
from collections.abc import Callable
from functools import wraps
from io import TextIOWrapper
from pathlib import Path

from nnft_ppl._errors import SpecError
from nnft_ppl.cli.kept_programs import keeping_none, keeping_programs


def computing[**P, T](command: Callable[P, T]) -> Callable[P, T]:
    """A command for which JAX must start, and must promote types as usual.

    Strict promotion would refuse plugins that run everywhere else. It is set for the
    process, since threads do not inherit a context, and as it was afterwards.

    Compiled programs are kept from one command to the next, unless `no_cache` is given.
    """

    @wraps(command)
    def prepared(*args: P.args, **kwargs: P.kwargs) -> T:
        keeping = keeping_none if kwargs.pop("no_cache", False) else keeping_programs
        _have_home()
        try:
            import jax

            jax.devices()
        except ValueError as error:  # from its import, of a setting
            raise SpecError(f"JAX does not start: {error}") from error
        # Of a backend that JAX has only by name, or has no device for.
        except (RuntimeError, AssertionError) as error:
            raise SpecError(_cannot_start(error)) from error
        before = jax.config.jax_numpy_dtype_promotion
        jax.config.update("jax_numpy_dtype_promotion", "standard")
        try:
            with keeping():
                return command(*args, **kwargs)
        finally:
            jax.config.update("jax_numpy_dtype_promotion", before)

    return prepared


def _have_home() -> None:
    """Where a container's user has no home, libraries look for their settings in /."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = os.sep


def _cannot_start(error: Exception) -> str:
    said = f": {' '.join(str(error).split())}" if str(error) else ""
    platforms = os.environ.get("JAX_PLATFORMS")
    if not platforms:
        return f"JAX does not start{said}"
    return (
        f"JAX does not start on JAX_PLATFORMS={platforms!r}, which this machine or "
        f"installation lacks{said}; unset JAX_PLATFORMS, or set it to cpu"
    )


def print_in_any_locale() -> None:
    """Let stdout and stderr print every text: no error, no question marks.

    An ASCII locale says nothing of the terminal, so UTF-8 is printed, and names of
    files byte for byte. What another encoding lacks is printed by name.
    """
    codecs.register_error("nnft-named", _named)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            ascii_only = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(
                encoding="utf-8" if ascii_only else None, errors="nnft-named"
            )


def readable(message: str) -> str:
    """A message in which `repr` escaped what Python could not decode, unescaped."""
    return re.sub(
        r"\\udc([89a-f][0-9a-f])", lambda byte: chr(0xDC00 + int(byte[1], 16)), message
    )


def _named(error: UnicodeError) -> tuple[str | bytes, int]:
    """Codec error handler: bytes of a file's name as they are, the rest by name."""
    if isinstance(error, UnicodeEncodeError):
        first = error.object[error.start]
        if "\udc80" <= first <= "\udcff":  # how Python keeps a byte it cannot decode
            return bytes([ord(first) - 0xDC00]), error.start + 1
        error.end = error.start + 1
    return codecs.namereplace_errors(error)
