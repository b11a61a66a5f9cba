"""Formulas as MathML, which browsers draw by themselves: no script, no network.

Sphinx's own renderers load a script from elsewhere or need LaTeX. A formula that
latex2mathml refuses is a warning, and `make docs` fails.
"""

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

_logger = logging.getLogger(__name__)


def _mathml(node: Any, display: str) -> str:
    latex = node.astext().replace("{aligned}", "{split}")  # of which it knows one
    if "\\\\" in latex and "\\begin" not in latex:  # lines, as Sphinx lets one write
        latex = rf"\begin{{split}}{latex}\end{{split}}"
    try:
        return convert(latex, display=display)
    except Exception as error:  # of any kind: the formula is at fault
        _logger.warning("no MathML of %r: %r", latex, error, location=node)
        return ""


def _visit_inline(translator: Any, node: Any) -> None:
    translator.body.append(_mathml(node, "inline"))
    raise nodes.SkipNode


def _visit_block(translator: Any, node: Any) -> None:
    number = node.get("number")
    label = f'<span class="eqno">({number})</span>' if number else ""
    for identifier in node.get("ids", ()):
        label += f'<span id="{identifier}"></span>'
    formula = _mathml(node, "block")
    opening = '<div class="math" style="overflow-x: auto">'  # on a phone
    translator.body.append(f"{opening}{label}{formula}</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer, which conf.py chooses by `html_math_renderer`."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
