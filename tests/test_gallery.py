"""Every figure has a page of the gallery, and every page makes its figure."""

import re
import runpy
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from nnft_ppl import plots

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "docs/gallery").glob("plot_*.py"))
FIGURES = {name for name in dir(plots) if name.startswith("plot_")}


@pytest.mark.slow_but("plot_draws", "plot_pulls", "plot_ranks")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_page_of_the_gallery_makes_its_figure(script):
    figure = runpy.run_path(str(script))["figure"]
    assert isinstance(figure, Figure)
    for write in (plots.png, plots.svg):
        write(figure)
    assert figure.get_size_inches()[0] <= 5.5  # else it is not read on a phone
    for axis in figure.axes:
        if axis.axison and axis.get_subplotspec() and "corner" not in script.stem:
            titles = axis.get_title(), axis.get_title(loc="left")
            assert axis.get_ylabel() or "forest" in script.stem or any(titles)


def test_a_page_has_a_title_and_text_and_cells():
    for script in SCRIPTS:
        text = script.read_text(encoding="utf-8")
        title = re.match(r'r?"""\n?([^\n]+)\n(=+)\n\n\w', text)
        assert title, script.name
        assert len(title[1]) == len(title[2]), script.name
        assert "\n# %%\n# " in text, script.name
        assert f"nnft.plots.{script.stem}(" in text, script.name


def test_every_figure_has_its_page_and_its_line():
    assert {script.stem for script in SCRIPTS} == FIGURES
    page = (ROOT / "docs/figures.md").read_text(encoding="utf-8")
    for name in FIGURES:
        assert f"`{name}`" in page
        assert f"gallery/{name}.py" in page
