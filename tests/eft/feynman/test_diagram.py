import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl import Action, Operator
from nnft_ppl.eft.feynman.layout import picture
from nnft_ppl.eft.feynman.picture import Shape, Style

SVG = "{http://www.w3.org/2000/svg}"
SPLIT = Operator(
    name="split",
    symbol=r"\lambda_<",  # a sign that must be escaped
    fields=(0, 0, 1, 1),
    derivatives=(0, 1, 0, 1),
    weight=lambda y, z: np.ones(y.shape[:-1]),
)
CASES = [
    (["lambda_0"], 4, 1, "renormalised"),
    (["lambda_nl", "kappa"], 6, 1, "renormalised"),
    (["quadratic_squared"], 4, 1, "renormalised"),
    (["gradient"], 2, 1, "bare"),
    ([SPLIT], 2, 1, "bare"),
    (["lambda_0"], 2, 3, "bare"),
    (["lambda_0", "lambda_nl2"], 6, 2, "renormalised"),
]


@pytest.fixture(params=CASES, ids=range(len(CASES)))
def found(request):
    operators, num_points, order, scheme = request.param
    return nnft.diagrams(Action(operators, scheme=scheme), num_points, order)


def test_formulas_of_the_first_and_second_order_are_the_theory_s():
    (vertex,) = nnft.diagrams(Action(["lambda_2"]), 4)
    assert vertex.latex == (
        r"-24\,\lambda_2\,\int_{[-\Lambda,\Lambda]^d} d^dy\,|y|^2\,"
        r"\prod_{i=1}^{4}K(x_i,y)"
    )
    (split,) = nnft.diagrams(Action(["lambda_nl"], measure="ball"), 4)
    assert repr(split) == (
        "FeynmanDiagram(−8 λ_NL ∫_{|y|≤Λ} dᵈy ∫_{|y′|≤Λ} dᵈy′ "
        "K(x_1,y) K(x_2,y) K(x_3,y′) K(x_4,y′) + (2 permutations))"
    )
    (forms,) = nnft.diagrams(Action(["quadratic_squared"]), 4)
    assert forms.latex == (
        r"-2\,\lambda_{S^2}\,K(x_{1},x_{2})\,K(x_{3},x_{4})"
        r"\;+\;(2\,\text{permutations})"
    )
    tree = nnft.diagrams(Action(["lambda_0"]), 6, 2)[0]
    assert tree.latex.startswith(r"576\,{\lambda_0}^{2}\,\int")
    assert r"\prod_{i=4}^{6}K(x_i,y_{2})\,K(y_{1},y_{2})" in tree.latex


def test_derivatives_say_at_which_point_and_a_prime_which_argument():
    texts = [d.latex for d in nnft.diagrams(Action(["gradient"], scheme="bare"), 2)]
    assert r"\partial_a\partial'_aK(y,y)" in texts[0]
    assert r"\partial^{y}_aK(x_{2},y)\,\partial'_aK(y,y)" in texts[1]
    assert r"\partial^{y}_aK(x_{1},y)\,\partial^{y}_aK(x_{2},y)\,K(y,y)" in texts[2]


def test_a_weight_without_symbol_is_w_of_its_points():
    (one, *_) = nnft.diagrams(Action([SPLIT]), 4)
    assert "w(y,y')" in one.latex


def test_a_drawing_is_one_self_contained_svg_that_says_what_it_is(found):
    for diagram in found:
        source = diagram.to_svg()
        root = ET.fromstring(source)
        assert root.tag == f"{SVG}svg"
        assert root.attrib["role"] == "img"
        assert root.find(f"{SVG}title").text.startswith("Feynman diagram")
        assert root.find(f"{SVG}desc").text
        assert "currentColor" in source
        assert "href" not in source
        assert "<script" not in source
        left, top, width, height = map(float, root.attrib["viewBox"].split())
        assert width < 420  # as wide as a small screen
        for text in root.iter(f"{SVG}text"):
            assert left <= float(text.attrib["x"]) <= left + width
            assert top <= float(text.attrib["y"]) <= top + height


def test_every_line_point_and_leg_is_drawn(found):
    for diagram in found:
        drawn = picture(diagram.operators, diagram.lines)
        styles = [curve.style for curve in drawn.curves]
        assert styles.count(Style.PROPAGATOR) == len(diagram.lines)
        shapes = [mark.shape for mark in drawn.marks]
        assert shapes.count(Shape.EXTERNAL) == diagram.num_points
        assert shapes.count(Shape.POINT) == sum(o.num_points for o in diagram.operators)
        assert shapes.count(Shape.FORM) == sum(
            o.quadratic_forms for o in diagram.operators
        )
        bars = sum(sum(curve.bars) for curve in drawn.curves)
        assert bars == sum(node.label for line in diagram.lines for node in line)


def test_marks_and_labels_do_not_cover_one_another(found):
    for diagram in found:
        drawn = picture(diagram.operators, diagram.lines)
        places = [mark.position for mark in drawn.marks]
        places += [label.position for label in drawn.labels]
        gaps = [abs(a - b) for i, a in enumerate(places) for b in places[i + 1 :]]
        assert min(gaps) > 10


@pytest.mark.parametrize("name", ["lambda_0", "lambda_nl2", "quadratic_squared"])
def test_no_line_crosses_a_symbol_however_wide(name):
    for diagram in nnft.diagrams(Action([name]), 4):
        drawn = picture(diagram.operators, diagram.lines)
        for label in drawn.labels:
            letters = len(re.findall(r"\\[A-Za-z]+|[A-Za-z0-9]", label.latex))
            for curve in drawn.curves:
                for t in np.linspace(0, 1, 41):
                    away = curve.at(t) - label.position
                    assert abs(away.real) > 4.8 * letters or abs(away.imag) > 5


def test_tikz_has_a_draw_for_every_curve_and_balanced_braces(found):
    for diagram in found:
        source = diagram.to_tikz()
        drawn = picture(diagram.operators, diagram.lines)
        assert source.startswith(r"\begin{tikzpicture}")
        assert source.endswith(r"\end{tikzpicture}")
        assert source.count("controls") == len(drawn.curves)
        assert source.count(r"\node at") == len(drawn.labels)
        assert source.count("{") == source.count("}")
        for line in source.splitlines()[1:-1]:
            assert line.endswith(";")
        assert not re.search(r"nan|inf|e-|j", source.replace("tikzpicture", ""))


def test_drawing_twice_gives_the_same():
    one, other = (nnft.diagrams(Action(["lambda_nl"]), 6, 2) for _ in range(2))
    assert [d.to_svg() for d in one] == [d.to_svg() for d in other]


def test_a_list_shows_each_diagram_in_a_notebook_and_a_line_each_elsewhere(found):
    page = ET.fromstring(found._repr_html_())
    assert len(list(page.iter("figure"))) == len(found)
    formulas = [e for e in page.iter("span") if e.attrib.get("role") == "math"]
    assert len(formulas) == len(found)
    lines = repr(found).splitlines()
    assert len(lines) == 1 + len(found)
    assert lines[0].startswith(f"{len(found)} diagram")
