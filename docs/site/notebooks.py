"""A page of the documentation as a Jupyter notebook, and as one of marimo.

In: PAGE.md with code of Python. Out: PAGE.ipynb and PAGE_marimo.py. Words and code of
other languages are cells of Markdown; outputs that the page shows are left out, since
the notebook makes them.
"""

import re
import subprocess
import sys
from pathlib import Path

import nbformat

_SHOWN_OUTPUT = re.compile(r"```text\n.*?```\n", flags=re.S)
_CODE = re.compile(r"```python\n(.*?)```\n", flags=re.S)
_LINK = re.compile(r"\[([^\]]+)\]\([\w./-]+\)")


def notebook(page: str) -> nbformat.NotebookNode:
    """The cells of a page; links to other pages, which a notebook lacks, are words."""
    parts = _CODE.split(_SHOWN_OUTPUT.sub("", page))
    cells = []
    for number, part in enumerate(parts):
        if part.strip():
            if number % 2:
                cell = nbformat.v4.new_code_cell(part.strip())
            else:
                cell = nbformat.v4.new_markdown_cell(_LINK.sub(r"\1", part.strip()))
            cell["id"] = f"cell-{number}"  # the same in every build
            cells.append(cell)
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def write_notebooks(page: Path, folder: Path) -> tuple[Path, Path]:
    """Write both forms of it; marimo converts the first into the second.

    Raises:
        CalledProcessError: marimo refuses.
    """
    jupyter = folder / f"{page.stem}.ipynb"
    marimo = folder / f"{page.stem}_marimo.py"
    nbformat.write(notebook(page.read_text(encoding="utf-8")), jupyter)
    command = [sys.executable, "-m", "marimo", "convert", jupyter, "-o", marimo]
    subprocess.run(command, check=True, capture_output=True)
    return jupyter, marimo
