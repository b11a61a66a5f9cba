"""Build the site: `python docs/site/build.py FOLDER`, or with `--quick` no gallery.

Sphinx reads a copy of docs/ in FOLDER/source, beside which nothing of the working tree
changes: the gallery writes its pages among the sources. README.md and its like, which
stand in the root, become pages beside the others there. The site is FOLDER/html.
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

from notebooks import write_notebooks
from sphinx.cmd.build import main as sphinx_build

ROOT = Path(__file__).parent.parent.parent
ROOT_PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CODE_OF_CONDUCT.md",
)


def copy_sources(source: Path) -> None:
    """All pages in one folder, with links that hold there."""
    shutil.copytree(ROOT / "docs", source, ignore=shutil.ignore_patterns("__pycache__"))
    for page in ROOT_PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        (source / page).write_text(text.replace("](docs/", "]("), encoding="utf-8")
    shutil.copy(ROOT / "CITATION.cff", source)
    for page in (ROOT / "docs").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        text = re.sub(r"\]\(\.\./([\w.]+)", r"](\1", text)
        (source / page.name).write_text(text, encoding="utf-8")
    write_notebooks(ROOT / "docs" / "tutorial.md", source)


def build(folder: Path, *, quick: bool) -> int:
    """Exit code of Sphinx, for which a warning is an error.

    Args:
        folder: Whatever it holds is removed.
        quick: Leave the scripts of the gallery unexecuted.
    """
    shutil.rmtree(folder, ignore_errors=True)
    source, cache = folder / "source", folder / "doctrees"
    copy_sources(source)
    gallery = ["-D", "plot_gallery=0"] if quick else []
    options = ["-W", "--keep-going", "-n", "-q", *gallery]
    return sphinx_build([*options, "-d", str(cache), str(source), str(folder / "html")])


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    return build(given.folder, quick=given.quick)


if __name__ == "__main__":
    sys.exit(main())
