"""The names of a new plugin, or why a name will not do.

In: what the user calls the architecture. Out: names of entry point, module and
distribution. No plugin is imported: a name is taken even if what has it is broken.
"""

import builtins
import keyword
import re
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, entry_points
from importlib.util import find_spec
from types import MappingProxyType

from nnft_ppl._errors import SpecError
from nnft_ppl.hookspecs import PROJECT

_FORM = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PREFIX = "nnft-"
"""Of distributions, so that none takes a short common name on a package index."""
_MAX_LENGTH = 60
_RESERVED = MappingProxyType(
    {
        "nnft": "is what nnft_ppl is called on the command line and in every example",
        "conftest": "is what pytest calls a file of its own",
        "tests": "is what many a folder of tests is called",
    }
)
"""Modules that would hide, or be hidden by, what no import system knows of."""


@dataclass(frozen=True)
class PluginNames:
    """What one plugin is called in the places where it is named.

    Attributes:
        name: Of the architecture and its entry point, such as `my-net`.
        module: What Python imports, such as `my_net`.
        distribution: What pip installs, such as `nnft-my-net`.
    """

    name: str
    module: str
    distribution: str


def plugin_names(name: str) -> PluginNames:
    """The names of a plugin that supplies the architecture `name`.

    Raises:
        SpecError: `name` is not of the form of a name, no module can be called so, or
            an installed plugin or module has the name already.
    """
    if not _FORM.fullmatch(name) or len(name) > _MAX_LENGTH:
        shown = name if len(name) <= _MAX_LENGTH else name[:_MAX_LENGTH] + "…"
        raise SpecError(
            f"{shown!r} is no name for an architecture; expected lower-case letters, "
            f"digits and single hyphens, a letter first, at most {_MAX_LENGTH} in all, "
            "such as my-net"
        )
    for entry in entry_points(group=PROJECT):
        if entry.name == name:
            owner = "" if entry.dist is None else f" of {entry.dist.name}"
            raise SpecError(
                f"`{name}` is the name of an installed plugin{owner}, and the registry "
                "refuses a name that two claim; choose another, or uninstall that one"
            )
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or keyword.issoftkeyword(module):
        taken = "is a keyword of Python"
    elif hasattr(builtins, module):
        taken = "is a built-in name of Python"
    elif module in _RESERVED:
        taken = _RESERVED[module]
    elif module in sys.stdlib_module_names or find_spec(module) is not None:
        taken = "is there already, and one of the two would hide the other"
    else:
        return PluginNames(name, module, _free_distribution(name))
    raise SpecError(
        f"`{name}` would be the Python module `{module}`, which {taken}; choose "
        f"another name, such as {name}-net"
    )


def _free_distribution(name: str) -> str:
    """What pip would install, if nothing installed is called so.

    Raises:
        SpecError: A distribution of that name, or of `name` alone, is installed.
    """
    wanted = name if name.startswith(_PREFIX) else _PREFIX + name
    for taken in (name, wanted):
        try:
            distribution(taken)
        except PackageNotFoundError:
            continue
        raise SpecError(
            f"`{name}` would be confused with the installed distribution {taken}, and "
            f"pip keeps one of a name; choose another name, such as {name}-net"
        )
    return wanted
