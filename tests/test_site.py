"""The site is built as `make docs` builds it, but for the figures of the gallery."""

import ast
import re
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import nbclient
import nbformat
import pytest
from bs4 import BeautifulSoup
from matplotlib.figure import Figure
from public_api import LIST
from sphinx.util.inventory import InventoryFile
from test_docs import pages
from test_readme import ROOT, code_blocks

from nnft_ppl.cli import main as command_line

TUTORIAL = "docs/tutorial.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it was built; a warning of Sphinx is an error."""
    built = tmp_path_factory.mktemp("site")
    program = [sys.executable, ROOT / "docs" / "site" / "build.py", built, "--quick"]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return built


@cache
def parsed(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def html_pages(folder: Path) -> list[Path]:
    return sorted((folder / "html").rglob("*.html"))


@cache
def identifiers(page: Path) -> set[str]:
    return {str(tag["id"]) for tag in parsed(page).find_all(id=True)}


def test_every_page_of_the_repository_is_a_page_of_the_site(folder):
    built = {path.name for path in html_pages(folder)}
    missing = {Path(page).stem for page in pages()} - {Path(n).stem for n in built}
    assert not missing


def test_every_link_of_the_site_resolves(folder):
    broken = []
    for page in html_pages(folder):
        for link in parsed(page).find_all("a", href=True):
            parts = urlsplit(str(link["href"]))
            if parts.scheme == "tcp":  # of a scheduler, in what --help says
                continue
            if parts.scheme:
                assert parts.scheme == "https", link
                assert "." in parts.netloc, link
                continue
            target = page.parent / unquote(parts.path) if parts.path else page
            if target.suffix == ".html" and parts.fragment and target.exists():
                found = unquote(parts.fragment) in identifiers(target.resolve())
            else:
                found = target.exists()
            if not found:
                broken.append(f"{page.name}: {link['href']}")
    assert not broken


def test_no_page_needs_the_network(folder):
    for page in html_pages(folder):
        loaded = [
            tag.get("src") or tag.get("href")
            for tag in parsed(page).find_all(["script", "link", "img", "iframe"])
        ]
        assert not [url for url in loaded if url and "//" in url], page.name
    for style in (folder / "html" / "_static").rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", style.read_text())


def test_every_public_name_has_its_entry(folder):
    inventory = (folder / "html" / "objects.inv").read_bytes()
    entries = {
        name
        for kind, objects in InventoryFile.loads(inventory, uri="").data.items()
        if kind.startswith("py:")
        for name in objects
    }
    public = re.findall(r"^(nnft_ppl[\w.]+)", LIST.read_text("utf-8"), flags=re.M)
    # Modules list again what stands in the package.
    listed_twice = {"nnft_ppl.activations.Activation"}
    missing = {
        name
        for name in public
        if name not in entries
        and not name.endswith("__call__")
        and not any(name.startswith(again) for again in listed_twice)
    }
    assert not missing, f"a page of docs/api/ must list where these live: {missing}"


def test_every_command_and_option_is_described(folder):
    described = identifiers(folder / "html" / "cli.html")
    for name, command in command_line.commands.items():
        assert f"nnft-{name}" in described
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert f"cmdoption-nnft-{name}{option.opts[0][1:]}" in described


def test_formulas_are_drawn_without_a_script(folder):
    page = parsed(folder / "html" / "api" / "correlators.html")
    formulas = page.find_all("math")
    assert any("ϕ" in str(formula) for formula in formulas)
    assert any(formula.find("mtable") for formula in formulas)  # one of several lines
    for path in html_pages(folder):
        assert "\\frac" not in parsed(path).get_text()


def test_the_gallery_shows_figures_that_belong_to_no_window(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "site")
    show = import_module("figures").of_the_script
    (tmp_path / "plot_it.py").write_text('"""What it shows\n===\n"""\n')
    paths = [tmp_path / "images" / name for name in ("1.png", "2.png")]
    paths[0].parent.mkdir()
    left_behind = {"figure": Figure(), "again": 3}
    found = {
        "example_globals": left_behind,
        "image_path_iterator": iter(map(str, paths)),
        "src_file": str(tmp_path / "plot_it.py"),
    }
    shown = show(None, found, {"src_dir": str(tmp_path)})
    assert "images/1.png" in shown
    assert ":alt: What it shows" in shown
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert show(None, found, {"src_dir": str(tmp_path)}) == ""  # once
    left_behind["figure"] = Figure()
    assert "images/2.png" in show(None, found, {"src_dir": str(tmp_path)})


def test_the_tutorial_prints_what_it_shows(capsys):
    text = (ROOT / TUTORIAL).read_text(encoding="utf-8")
    names = {}
    for code, shown in re.findall(
        r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", text, flags=re.S
    ):
        exec(compile(code, TUTORIAL, "exec"), names)  # our own file
        assert_the_same(capsys.readouterr().out, shown)
    # What its words say besides.
    corr, fit = names["corr"], names["fit"]
    assert len(corr.connected(4)) == 126
    assert corr.entries(2)[18].tolist() == [4, 4]
    assert corr.x[4, 0] == 1
    assert abs(names["deviations"][4].value - 5 / 20) < 4 * names["deviations"][4].error
    assert (fit.summary()["mean"] < 0).all()


def assert_the_same(printed: str, shown: str) -> None:
    """Word for word; numbers to their last digits, which a platform may change."""
    number = r"[-−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?"
    assert re.sub(number, "#", printed).split() == re.sub(number, "#", shown).split()
    found, expected = (
        [float(n.replace("−", "-")) for n in re.findall(number, words)]
        for words in (printed, shown)
    )
    assert found == pytest.approx(expected, rel=0.02, abs=1e-12)


@pytest.mark.slow
def test_the_study_of_the_tutorial_runs(tmp_path):
    (study,) = code_blocks(TUTORIAL, "toml")
    (tmp_path / "first.toml").write_text(study, encoding="utf-8")
    nnft = Path(sys.executable).parent / "nnft"
    subprocess.run([nnft, "study", "first.toml"], cwd=tmp_path, check=True)
    (page,) = (tmp_path / "runs").rglob("*.html")
    assert "describes" in page.read_text(encoding="utf-8")


def test_the_notebooks_have_the_code_of_the_tutorial(folder):
    code = [block.strip() for block in code_blocks(TUTORIAL, "python")]
    source = folder / "source"
    notebook = nbformat.read(source / "tutorial.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.source for cell in cells] == code
    app = (source / "tutorial_marimo.py").read_text(encoding="utf-8")
    in_marimo = ast.unparse(ast.parse(app))
    for block in code:
        for statement in ast.parse(block).body:
            assert ast.unparse(statement).splitlines()[0] in in_marimo


@pytest.mark.slow
@pytest.mark.parametrize("form", ["jupyter", "marimo"])
def test_the_notebook_of_the_tutorial_runs(folder, form, tmp_path):
    if form == "jupyter":
        notebook = nbformat.read(folder / "source" / "tutorial.ipynb", as_version=4)
        folder_of_run = {"metadata": {"path": str(tmp_path)}}
        nbclient.NotebookClient(
            notebook, timeout=300, resources=folder_of_run
        ).execute()
        printed = "".join(
            output.text
            for cell in notebook.cells
            if cell.cell_type == "code"
            for output in cell.outputs
            if output.output_type == "stream" and output.name == "stdout"
        )
    else:
        script = [sys.executable, folder / "source" / "tutorial_marimo.py"]
        done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        printed = done.stdout
    assert_the_same(printed, "".join(code_blocks(TUTORIAL, "text")))
