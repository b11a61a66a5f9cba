"""The page in headless Chromium: phone, screen, keyboard, paper.

Without a Chromium these tests are skipped and say so; tests/test_report_access.py looks
at the page's source, everywhere.
"""

from pathlib import Path

import pypdf
import pytest
from chromium import WHY_NOT, find_chromium, measure, print_page
from toy_study import TOY

from nnft_ppl.study import StudyRun, compare_runs, read_study, run_study

PROGRAM = find_chromium()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_NOT)

MANY = TOY.replace(
    "cutoffs = [10, 100, 1000]",
    f"cutoffs = {[round(10 * 1.4**i, 1) for i in range(20)]}",
)
"""With tables longer than a screen and than half a page."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory, toy_run_alone: StudyRun) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("browser")
    (folder / "toy.toml").write_text(MANY)
    run_study(read_study(folder / "toy.toml", directory=folder / "toy"))
    alone = toy_run_alone.directory
    compare_runs([folder / "toy", alone], folder / "compared.html")
    return {
        "toy": (folder / "toy" / "report.html").read_text(encoding="utf-8"),
        "alone": toy_run_alone.report.read_text(encoding="utf-8"),
        "compared": (folder / "compared.html").read_text(encoding="utf-8"),
    }


def ask(folder: Path, page: str, width: int, script: str):
    assert PROGRAM is not None
    return measure(PROGRAM, folder, page, width, script)


@pytest.mark.parametrize("name", ["toy", "alone", "compared"])
@pytest.mark.parametrize("width", [400, 1200])
def test_the_page_itself_never_scrolls_sideways(pages, name, width, tmp_path):
    found = ask(
        tmp_path,
        pages[name],
        width,
        "const root = document.documentElement;"
        "return [root.scrollWidth, root.clientWidth];",
    )
    assert found == [width, width]


def test_nothing_hides_below_the_edge_of_a_box(pages, tmp_path):
    """At 1200 px every table is seen whole, its last row too."""
    found = ask(
        tmp_path,
        pages["toy"],
        1200,
        "return [...document.querySelectorAll('.scroll')].map(box =>"
        " [box.scrollHeight - box.clientHeight, box.scrollWidth - box.clientWidth]);",
    )
    assert len(found) == 5
    assert all(below <= 0 and aside <= 0 for below, aside in found)


def test_figures_are_legible_on_a_phone(pages, tmp_path):
    """Labels of 10 pt at the size drawn are at least 9 pixels high at 400."""
    found = ask(
        tmp_path,
        pages["toy"],
        400,
        "return [...document.querySelectorAll('img')].map(image =>"
        " [image.clientWidth, image.naturalWidth]);",
    )
    assert len(found) == 3
    for shown, natural in found:
        pixels = 10 / 72 * 300  # of a label in the file, at 300 dots an inch
        assert pixels * shown / natural >= 9


def test_the_keyboard_reaches_the_answer_and_every_box(pages, tmp_path):
    found = ask(
        tmp_path,
        pages["toy"],
        400,
        "const inside = window.getComputedStyle;"
        "const skip = document.querySelector('.skip'); skip.focus();"
        "const shown = skip.getBoundingClientRect().top >= 0;"
        "const first = document.querySelector('a, [tabindex=\"0\"], button') === skip;"
        "const wide = [...document.querySelectorAll('*')].filter(e => "
        "  ['auto', 'scroll'].includes(inside(e).overflowX)"
        "  && e.scrollWidth > e.clientWidth);"
        "const seen = wide.map(e => { e.focus();"
        "  return document.activeElement === e"
        "    && inside(e).outlineStyle !== 'none'; });"
        "return {shown, first, wide: wide.length, seen: seen.every(Boolean),"
        "  target: !!document.querySelector(skip.getAttribute('href'))};",
    )
    assert found["wide"] >= 5  # tables and figures do scroll at 400 px
    assert found == {
        "shown": True,
        "first": True,
        "wide": found["wide"],
        "seen": True,
        "target": True,
    }


@pytest.mark.parametrize("size", ["A4", "Letter"])
def test_paper_has_no_half_empty_page_and_cuts_no_table(pages, size, tmp_path):
    assert PROGRAM is not None
    page = pages["toy"]
    for number, fill in enumerate(filled(print_page(PROGRAM, tmp_path, page, size)), 1):
        assert fill > 0.5, f"page {number} is filled to {fill:.0%}"
    # The rules of paper on a screen as wide as the paper inside its margins.
    millimetres = {"A4": 210, "Letter": 216}[size] - 2 * 15
    found = ask(
        tmp_path,
        page.replace("@media print", "@media all"),
        round(millimetres / 25.4 * 96),
        "const edge = document.documentElement.clientWidth;"
        "return [...document.querySelectorAll('table, img, pre')].filter(e =>"
        " e.getBoundingClientRect().right > edge + 1"
        " || e.scrollWidth > e.clientWidth + 1"
        ").map(e => e.outerHTML.slice(0, 80));",
    )
    assert found == []


def filled(place: Path) -> list[float]:
    """How far down each page but the last has text or a figure, as a share of it."""
    shares = []
    for page in pypdf.PdfReader(place).pages[:-1]:
        height, low = float(page.mediabox.height), []

        def of_text(text, now, matrix, *_, low=low):
            if text.strip():
                low.append(now[1] * matrix[5] + now[3] * matrix[5] + now[5])

        def of_image(operator, _, now, matrix, low=low):
            if operator == b"Do":
                low.append(min(now[5], now[3] + now[5]))

        page.extract_text(visitor_text=of_text, visitor_operand_before=of_image)
        assert low, "a page is empty"
        shares.append(1 - min(low) / height)
    return shares
