"""The names of a new plugin, or why a name will not do.

In: what the user calls the architecture. Out: names of entry point, module and
distribution. No plugin is imported: a name is taken even if what has it is broken.
"""

import keyword
import re
import sys
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec

from nnft_ppl._errors import SpecError
from nnft_ppl.hookspecs import PROJECT

_FORM = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PREFIX = "nnft-"
"""Of distributions, so that none takes a short common name on a package index."""


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
    if not _FORM.fullmatch(name):
        raise SpecError(
            f"`{name}` is no name for an architecture; expected lower-case letters, "
            "digits and single hyphens, a letter first, such as my-net"
        )
    for entry in entry_points(group=PROJECT):
        if entry.name == name:
            owner = "" if entry.dist is None else f" of {entry.dist.name}"
            raise SpecError(
                f"`{name}` is the name of an installed plugin{owner}, and the registry "
                "refuses a name that two claim; choose another, or uninstall that one"
            )
    module = name.replace("-", "_")
    if keyword.iskeyword(module):
        taken = "is a keyword of Python"
    elif module in sys.stdlib_module_names or find_spec(module) is not None:
        taken = "is there already, and one of the two would hide the other"
    else:
        distribution = name if name.startswith(_PREFIX) else _PREFIX + name
        return PluginNames(name, module, distribution)
    raise SpecError(
        f"`{name}` would be the Python module `{module}`, which {taken}; choose "
        f"another name, such as {name}-net"
    )
