"""The public interface as text, a line for each thing that a user may call or read.

`make api` writes docs/api.txt with it; tests/test_public_api.py compares. Annotations
are left out, since Python's versions print them in different words.
"""

import dataclasses
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from nnft_ppl import hookspecs
from nnft_ppl.cli import main as command_line

LIST = Path(__file__).parent.parent / "docs" / "api.txt"

MODULES = MappingProxyType(
    {
        "nnft_ppl": None,
        "nnft_ppl.activations": None,
        "nnft_ppl.eft.mesh.regions": ("Profile", "ball_region", "box_region"),
        "nnft_ppl.plots": None,
        "nnft_ppl.testing": None,
    }
)
"""Module -> its public names, None for all that it shows."""

_HEADER = """\
# The public interface of nnft_ppl, which CONTRIBUTING.md promises to keep. `make api`
# writes this file, and a test compares it with the code. "…" is a default that is no
# plain value; a name without parentheses is no function; "<" names what a class is of.
"""


def listing() -> str:
    """All of it, sorted within Python, hooks and commands."""
    python = sorted({line for name in MODULES for line in module_lines(name)})
    hooks = sorted(
        f"hook {name}{_signature(value)}"
        for name, value in vars(hookspecs).items()
        if hasattr(value, f"{hookspecs.PROJECT}_spec")
    )
    commands = list(command_lines(command_line, "nnft"))
    return "\n".join([_HEADER, *python, "", *hooks, "", *commands]) + "\n"


def module_lines(module: str) -> Iterator[str]:
    found = importlib.import_module(module)
    names = MODULES[module] or [
        name
        for name in dir(found)
        if not name.startswith("_") and not inspect.ismodule(getattr(found, name))
    ]
    for name in names:
        value, path = getattr(found, name), f"{module}.{name}"
        if inspect.isclass(value):
            yield from class_lines(value, path)
        else:
            yield path + (_signature(value) if inspect.isfunction(value) else "")


def class_lines(cls: type, path: str) -> Iterator[str]:
    yield path + ("(…)" if issubclass(cls, BaseException) else _signature(cls))
    for base in cls.__mro__[1:]:
        if _is_ours(base) or (
            base.__module__ == "builtins"
            and base not in (object, BaseException, Exception)
        ):
            yield f"{path} < {base.__name__}"
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    names = {field.name for field in fields}
    for owner in cls.__mro__:
        if _is_ours(owner):
            names |= set(vars(owner))
    for name in names:
        if name.startswith("_") and name != "__call__":
            continue
        value = inspect.getattr_static(cls, name, None)
        if isinstance(value, (staticmethod, classmethod)):
            yield f"{path}.{name}{_signature(getattr(cls, name))}"
        elif inspect.isfunction(value):
            yield f"{path}.{name}{_signature(value, skipped=1)}"
        else:
            yield f"{path}.{name}"


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "nnft_ppl"


def _signature(function: Any, skipped: int = 0) -> str:
    """The parameters without annotations, but for the first `skipped`."""
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(
            annotation=parameter.empty, default=_default(parameter.default)
        )
        for parameter in list(signature.parameters.values())[skipped:]
    ]
    return str(inspect.Signature(parameters))


class _Words:
    """A default that is shown as these words."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __repr__(self) -> str:
        return self.words


def _default(value: Any) -> Any:
    parts = value if type(value) is tuple else (value,)
    if value is inspect.Parameter.empty or all(
        part is None or type(part) in (bool, int, float, str) for part in parts
    ):
        return value
    return _Words("…")


def command_lines(command: click.Command, path: str) -> Iterator[str]:
    for parameter in sorted(command.params, key=lambda p: p.opts):
        if isinstance(parameter, click.Argument):
            words = str(parameter.name).upper()
        else:
            words = ", ".join([*parameter.opts, *parameter.secondary_opts])
            if isinstance(parameter.type, click.Choice):
                words += " " + "|".join(map(str, parameter.type.choices))
            elif not getattr(parameter, "is_flag", False):
                words += f" {parameter.type.name.upper()}"
        many = " (many)" if parameter.multiple or parameter.nargs != 1 else ""
        required = " (required)" if parameter.required else ""
        yield f"{path} {words}{many}{required}"
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield f"{path} {name}"
            yield from command_lines(command.commands[name], f"{path} {name}")


if __name__ == "__main__":
    LIST.write_text(listing(), encoding="utf-8", newline="\n")
