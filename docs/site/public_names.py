"""Pages of the reference from the list of public names, so that none is forgotten.

`.. public-names:: eft operator` writes the entries of all public names of nnft_ppl that
live in `nnft_ppl/eft/` or `nnft_ppl/operator.py`; the folder is the stage of the flow.
`.. public-names:: nnft_ppl.plots` takes those of a module. References to where a name
lives lead to its entry.
"""

import importlib
import inspect
import re
from itertools import takewhile
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

import nnft_ppl

_COLON = "\ue000"
"""Stands for a colon while napoleon reads."""
_ENTRY = """\
.. auto{kind}:: {name}
{options}
"""
_OPTIONS = {
    "class": """\
   :members:
   :undoc-members:
   :inherited-members: Exception
   :exclude-members: {described}
""",
    "exception": """\
   :show-inheritance:
   :members:
""",
    "function": "",
    "data": "",
}


def names_in(place: str) -> list[str]:
    """Public names of a module, or of what begins so within nnft_ppl."""
    if place.startswith("nnft_ppl."):
        shown = vars(importlib.import_module(place))
        return [
            f"{place}.{name}"
            for name, value in sorted(shown.items())
            if not (name.startswith("_") or name in nnft_ppl._HOME)
            and not inspect.ismodule(value)
        ]
    return [
        f"nnft_ppl.{name}"
        for name, home in sorted(nnft_ppl._HOME.items())
        if home.partition(".")[0] == place
    ]


def entry(name: str) -> str:
    """The directive of autodoc that documents it."""
    module, _, last = name.rpartition(".")
    value = getattr(importlib.import_module(module), last)
    if inspect.isclass(value):
        kind = "exception" if issubclass(value, BaseException) else "class"
    else:
        kind = "function" if callable(value) else "data"
    options = _OPTIONS[kind].format(described=", ".join(described_attributes(value)))
    return _ENTRY.format(kind=kind, name=name, options=options)


def described_attributes(value: Any) -> list[str]:
    """Those in the section "Attributes" of a class, which napoleon makes entries of."""
    lines = (inspect.getdoc(value) or "").splitlines()
    if "Attributes:" not in lines:
        return []
    section = takewhile(
        lambda line: not line or line.startswith(" "),
        lines[lines.index("Attributes:") + 1 :],
    )
    return re.findall(r"^ {4}(\w+): ", "\n".join(section), flags=re.M)


class PublicNames(SphinxDirective):
    """Entries of the public names of the places given."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Let autodoc write them."""
        places = self.arguments[0].split()
        for place in places:
            if not names_in(place):
                raise self.error(f"no public name lives in {place!r}")
        text = "\n".join(entry(name) for place in places for name in names_in(place))
        return self.parse_text_to_nodes(text)


def lead_to_the_public_name(app: Sphinx, env: Any, node: Any, shown: Any) -> Any:
    """Resolve what names a class by its module, or by its name alone."""
    if node.get("refdomain") != "py":
        return None
    last = node["reftarget"].rpartition(".")[2]
    if last.islower() and "_" not in last:  # more often a parameter of that name
        return None
    found = env.get_domain("py").objects.get(f"nnft_ppl.{last}")
    if found is None:
        return None
    place = (node["refdoc"], found.docname, found.node_id)
    return make_refnode(app.builder, *place, shown)


def before_napoleon(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Let it not take what stands before a colon for the type of a property."""
    if what in ("attribute", "property"):
        lines[:] = [line.replace(":", _COLON) for line in lines]
    escape_bars(lines)


def escape_bars(lines: list[str]) -> None:
    """Make |x| in words no substitution of reStructuredText; formulas stay."""
    formula = None
    for number, line in enumerate(lines):
        indentation = len(line) - len(line.lstrip())
        if line.lstrip().startswith(".. math::"):
            formula = indentation
        elif line and formula is not None and indentation <= formula:
            formula = None
        if formula is None:
            lines[number] = line.replace("|", r"\|")


def after_napoleon(
    app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]
) -> None:
    """Put the colons back."""
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def dash(app: Sphinx, doctree: nodes.document) -> None:
    """Set the dash between a parameter and its description, and no other."""
    for text in list(doctree.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" – "))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive and the resolution of references."""
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-process-docstring", before_napoleon, priority=100)
    app.connect("autodoc-process-docstring", after_napoleon, priority=900)
    app.connect("doctree-read", dash)
    app.connect("missing-reference", lead_to_the_public_name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
