"""Formulas where there is no TeX."""

import xml.etree.ElementTree as ET

import pytest

from nnft_ppl._latex import formula_html, plain_text, tspans


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\lambda_0", "λ_0"),
        (r"\lambda_{NL}", "λ_NL"),
        (r"\lambda_{NL,2}", "λ_{NL,2}"),
        (r"\lambda_{S^2}", "λ_{S²}"),
        (r"\lambda_{\nabla}", "λ_∇"),
        (r"\kappa", "κ"),
        (r"-24\,\lambda_0^{2}", "−24 λ_0²"),
        (r"\int_{[-\Lambda,\Lambda]^d} d^dy'\,|y-y'|^2", "∫_{[−Λ,Λ]ᵈ} dᵈy′ |y−y′|²"),
        (r"S = S_{\mathrm{GP}} + g f^{10}", "S = S_GP + gf¹⁰"),
        (r"\tfrac{1}{2} e^{-y^2/2\Lambda^2}", "½e^(−y²/2Λ²)"),
        (r"\frac{3}{8}", "(3/8)"),
        (r"\mathcal{L}_{\rm x}", "L_rmx"),  # unknown: by its name
        ("a_", "a_"),
        ("{a", "a"),
    ],
)
def test_a_formula_reads_in_one_line(latex, text):
    assert plain_text(latex) == text


@pytest.mark.parametrize(
    "latex", [r"\lambda_{NL}^2", r"\frac{1}{n}\sum_{y\in D}", "a<b&c"]
)
def test_every_form_is_well_formed_and_says_the_same(latex):
    root = ET.fromstring(formula_html(latex))
    assert root.attrib["role"] == "math"
    assert root.attrib["aria-label"] == plain_text(latex)
    words = ET.fromstring(f"<text>{tspans(latex)}</text>")
    assert "".join(words.itertext())


def test_scripts_come_back_to_the_line():
    words = ET.fromstring(f"<text>{tspans('x_{1}^2')}</text>")
    size = {"70%": 0.7, None: 1.0}
    shifts = [
        float(part.attrib["dy"].removesuffix("em")) * size[part.attrib.get("font-size")]
        for part in words
    ]
    assert sum(shifts) == pytest.approx(0)


def test_a_line_may_break_at_spaces_and_plus_signs_outside_of_groups():
    pieces = ET.fromstring(formula_html(r"a\,b_{c\,d} + e"))
    assert ["".join(piece.itertext()) for piece in pieces] == ["a", "bc d", "+ e"]


def test_html_has_scripts_below_and_above_and_upright_words():
    source = formula_html(r"x_1^2 S_{\mathrm{GP}} y' \sum_{i=1}")
    source = source.replace(' style="line-height:0"', "")
    assert "<i>x</i><sub>1</sub><sup>2</sup><i>S</i><sub>GP</sub><i>y</i>′" in source
    assert "<sub><i>i</i>=1</sub>" in source
