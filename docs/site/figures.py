"""Figures of the gallery. Ours belong to no window, where sphinx-gallery would look.

In: what a piece of a script left behind. Out: reStructuredText that shows the figures
among it that were not shown before.
"""

import ast
from pathlib import Path
from typing import Any
from weakref import WeakSet

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

_shown: WeakSet[Figure] = WeakSet()


def of_the_script(block: Any, found: dict[str, Any], settings: dict[str, Any]) -> str:
    """Save the new figures, in the order in which they were made."""
    paths = []
    for value in found["example_globals"].values():
        if isinstance(value, Figure) and value not in _shown:
            path = next(found["image_path_iterator"])
            value.savefig(path)
            paths.append(path)
            _shown.add(value)
    return figure_rst(paths, settings["src_dir"], title(found["src_file"]))


def title(script: str) -> str:
    """The first line of its docstring, which says in words what the figure shows."""
    tree = ast.parse(Path(script).read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").partition("\n")[0]
