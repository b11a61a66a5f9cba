"""What a page's source says of who can read it: contrast, alt texts, order."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

import nnft_ppl.report
from nnft_ppl.study import StudyRun

STYLE = (Path(nnft_ppl.report.__file__).parent / "style.css").read_text()
PAIRS = [
    (ink, paper)
    for ink in ("ink", "muted", "good", "bad", "link")
    for paper in ("paper", "wash")
]
"""Text and what it may stand on."""
AA = 4.5
"""WCAG 2.2, 1.4.3, for text of usual size."""


@pytest.fixture(scope="module")
def source(toy_run: StudyRun) -> str:
    return toy_run.report.read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Tags with their attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, WCAG 2.2."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


def palettes() -> list[dict[str, str]]:
    """Light, dark and paper: every `:root` of the style."""
    return [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", rules))
        for rules in re.findall(r":root \{([^}]*)\}", STYLE)
    ]


@pytest.mark.parametrize(("ink", "paper"), PAIRS)
def test_text_has_the_contrast_of_wcag_aa(ink: str, paper: str):
    assert len(palettes()) == 3
    for colours in palettes():
        assert contrast(colours[ink], colours[paper]) >= AA, colours


def test_no_colour_is_outside_the_palettes():
    """Else the test of contrast would not see it."""
    rules = re.sub(r":root \{[^}]*\}", "", STYLE)
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b", rules)) == {"#ffffff"}
    assert rules.count("#ffffff") == 1  # behind figures, which are drawn on white


def test_headings_are_in_order_and_there_is_one_title(source: str):
    levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", source)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_language_and_scale_are_told(source: str):
    assert '<html lang="en">' in source
    assert 'content="width=device-width, initial-scale=1"' in source


def test_every_figure_is_described_with_its_numbers(source: str):
    images = [a for tag, a in Elements(source).found if tag == "img"]
    assert len(images) == 3
    for attributes in images:
        assert len(re.findall(r"[0-9]+(?:\.[0-9]+)?", attributes["alt"] or "")) >= 4
    deviation, couplings, prediction = (str(a["alt"]) for a in images)
    assert "of the 4-point function" in deviation
    assert "at width 3 and" in deviation
    assert re.search(r"lambda_0 is \(−.*theory −5\.000", couplings)
    assert "that of the Gaussian process by" in prediction


def test_what_may_scroll_can_be_focused_and_has_a_name(source: str):
    boxes = [
        a
        for _, a in Elements(source).found
        if {"scroll", "shown"} & set((a.get("class") or "").split())
    ]
    assert len(boxes) == 5 + 3
    for attributes in boxes:
        assert attributes["tabindex"] == "0"
        assert attributes["aria-label"]
        assert attributes["role"] in ("region", "group")
    code = [a for tag, a in Elements(source).found if tag == "pre"]
    assert all(a.get("tabindex") == "0" for a in code)


def test_the_first_link_leads_to_the_answer(source: str):
    elements = Elements(source).found
    (tag, link) = next((t, a) for t, a in elements if t == "a")
    assert (tag, link["class"], link["href"]) == ("a", "skip", "#answer")
    assert sum(a.get("id") == "answer" for _, a in elements) == 1
