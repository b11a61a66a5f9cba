"""The page: self-contained, well-formed, with everything a reader needs."""

import ast
import base64
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import pytest
from report_page import Page
from toy_study import TOY

import nnft_ppl as nnft
from nnft_ppl._latex import plain_text
from nnft_ppl.diagnostics.answers import QUESTIONS
from nnft_ppl.eft.mesh.regions import Region, Setting, box_region
from nnft_ppl.report.action import action_fields
from nnft_ppl.report.headline import write_opening
from nnft_ppl.report.leads import cutoff_sentence, write_leads
from nnft_ppl.report.numbers import cutoff_text, exponent_text, symbol_html
from nnft_ppl.report.page import render_report
from nnft_ppl.report.reproduce import python_lines
from nnft_ppl.report.tables import comparison_rows
from nnft_ppl.study import StudyRun, read_study, run_study

FIGURES = ("deviation", "couplings", "prediction")


@pytest.fixture(scope="module")
def run(toy_run: StudyRun) -> StudyRun:
    return toy_run


@pytest.fixture(scope="module")
def source(run: StudyRun) -> str:
    return run.report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def test_page_needs_nothing_from_outside(page: Page, source: str):
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    for tag, name, value in page.attributes:
        if name in ("src", "srcset", "data", "poster"):
            assert value.startswith("data:"), (tag, name)
        if name == "href":  # references alone, which nothing is loaded from
            assert tag == "a"
    for banned in ("@import", "url(", str(Path.home())):
        assert banned not in source


def test_sections_come_in_order(page: Page):
    assert page.headings == [
        "The effective action of relu-net",
        "The action describes this network: it fits within sampling noise",
        "What network?",
        "Is it near its Gaussian process?",
        "Which action?",
        "How well does it describe the network?",
        "How do the couplings run?",
        "What is predicted?",
        "Can it be trusted?",
        "How to repeat it",
        "Conventions",
        "References",
    ]


def test_the_action_is_an_equation_with_the_diagrams_that_the_fit_sums(
    page: Page, run: StudyRun
):
    action = run.results.fit.action
    labels = [
        value
        for tag, name, value in page.attributes
        if (tag, name) == ("span", "aria-label")
    ]
    (vertex,) = nnft.diagrams(action, 4)
    measure, *others = labels
    assert measure == plain_text(action.measure.integral("y"))
    assert others == [plain_text(action.latex()), plain_text(vertex.latex)]
    assert page.tags.count("svg") == page.tags.count("desc") == 1
    assert action.conventions in page.text
    assert "Connected 4-point function, first order" in page.text


def test_trees_are_drawn_beside_a_sextic_coupling_and_long_lists_are_cut():
    quartic = ("lambda_0", "lambda_nl")
    fields = action_fields(nnft.Action([*quartic, "kappa"]))
    *_, trees = fields["diagrams"]
    assert trees["title"].endswith("second order")
    assert len(trees["figures"]) == 3  # two of one operator, and a mixed one
    assert [g["num_more"] for g in fields["diagrams"]] == [0, 0, 0]
    own = [
        nnft.Operator(name=f"o{i}", symbol=f"o_{{{i}}}", fields=(0,) * 4)
        for i in range(13)
    ]
    (group,) = action_fields(nnft.Action(own))["diagrams"]
    assert (len(group["figures"]), group["num_more"]) == (12, 1)


def test_figures_are_embedded_and_described(page: Page, run: StudyRun):
    images = [
        value for tag, name, value in page.attributes if (tag, name) == ("img", "src")
    ]
    files = ("deviation", "couplings", "prediction")
    for image, name in zip(images, files, strict=True):
        data = base64.b64decode(image.removeprefix("data:image/png;base64,"))
        assert data == (run.directory / "figures" / f"{name}.png").read_bytes()
    alternatives = [
        v for tag, name, v in page.attributes if (tag, name) == ("img", "alt")
    ]
    assert all(len(text) > 40 for text in alternatives)
    assert page.tags.count("figcaption") == 3


def test_verdict_gives_numbers(page: Page):
    for part in (
        "relu-net at width 20 on 2 inputs, at 3 cutoffs from Λ = 10 to 1000",
        "At Λ = 100, λ 0 = (−6.",
        "(theory: −5.000)",
        "The 6-point function predicted with these couplings differs",
        "checks passed.",
    ):
        assert part in page.text


def test_every_section_begins_with_numbers(run: StudyRun, source: str):
    leads = write_leads(run.results)
    assert source.count('<p class="lead">') == len(leads) + 1  # and how to repeat it
    for name, sentences in leads.items():
        (first, *_) = sentences
        assert name == "action" or re.search(r"[0-9]", str(first)), name


def test_the_cutoff_that_stands_for_all_is_explained(run: StudyRun):
    said = str(cutoff_sentence(run.results))
    assert "it is Λ = 100, the middle one of the 3 fitted" in said
    assert "where 10 % is tolerated" in said
    assert "it describes the network at all 3 cutoffs" in said
    (named,) = [
        line for line in map(str, write_leads(run.results)["fit"]) if "named" in line
    ]
    upper = run.results.adequacy.set_index("cutoff")["discrepancy_upper"]
    worst = cutoff_text(float(upper.idxmax()))
    assert named.startswith(f"Λ = {worst} is named because")
    assert ("; at Λ = 100, which arXiv:2008.08601 quotes" in named) == (worst != "100")


def test_the_three_questions_are_answered_in_order(page: Page, run: StudyRun):
    places = [page.text.index(f"{question} ") for question in QUESTIONS]
    assert places == sorted(places)
    fits, misfit, better = run.results.answers.sentences
    assert fits.startswith("it fits within sampling noise (p = ")
    assert misfit.endswith("is left unexplained, 10 % is tolerated")
    assert better.startswith(("these data do not tell it apart", "it is the best of 2"))
    for answer in (fits, misfit, better):
        assert answer[1:] in page.text


def test_an_action_far_behind_is_not_shown_as_good(run: StudyRun):
    table = run.results.comparison.assign(behind=[0.0, 605.2], verdict="describes")
    best, far = comparison_rows(replace(run.results, comparison=table))
    assert (best["verdict"], best["good"]) == ("describes", True)
    assert (far["verdict"], far["good"]) == ("describes, but 605 nats behind", False)


def test_a_sign_that_the_data_leave_open_is_said_to_be(run: StudyRun):
    fit = run.results.fit
    around_zero = fit.dimensionless - fit.dimensionless.mean(axis=(0, 1))
    unknown = replace(run.results, fit=replace(fit, dimensionless=around_zero))
    said = "the data leave the sign of λ<sub>0</sub> open"
    assert any(said in sentence for sentence in write_opening(unknown).sentences)
    sentences = write_opening(run.results).sentences
    assert not any("leave the sign" in sentence for sentence in sentences)


def test_a_check_that_failed_takes_the_good_colour_away(run: StudyRun):
    assert write_opening(run.results).is_good
    failed = replace(run.results.checks[0], passed=False)
    opening = write_opening(replace(run.results, checks=(failed,)))
    assert not opening.is_good
    assert opening.headline.endswith(f"; checks failed: {failed.name}")


def test_the_tolerance_of_the_study_is_on_the_page(run: StudyRun):
    strict = replace(run.results, tolerance=1e-3)
    assert write_opening(strict).headline.endswith("where 0.10 % is tolerated")
    assert not write_opening(strict).is_good
    assert "diagnose(fit, tolerance=0.001)" in python_lines(strict)


def test_what_was_run_is_listed(page: Page):
    for part in (
        "one hidden layer, max(z, 0)",
        "input dimension 1, σ W = 1, σ b = 0",
        "3, 30",
        "0.5, 1",
        "5,000 (conditional); 1,000 (moments)",
        "closed form, 1000 independent draws",
        "Seed 5",
        "numpyro",
    ):
        assert part in page.text


def test_tables_hold_a_row_per_cutoff_and_per_action(run: StudyRun, source: str):
    # At three cutoffs, and the one candidate whose couplings can be told apart.
    assert source.count('<td class="pass">describes</td>') == 4
    assert source.count("<td>λ<sub>0</sub></td>") == 3
    assert "<code>lambda_0 + lambda_2</code>" in source
    for check in run.results.checks:
        assert f"<code>{check.name}</code>" in source


def test_sentences_are_separated(page: Page):
    """No full stop runs into the next sentence, except in numbers and names."""
    prose = re.sub(r"(?s)import jax.*?Conventions", "", page.text)
    assert not re.search(r"[a-z]\.[A-Z]", prose)


def test_python_in_the_page_is_ten_statements(run: StudyRun, page: Page):
    script = python_lines(run.results)
    assert " ".join(script.split()) in page.text
    assert len(ast.parse(script).body) <= 10


@dataclass(frozen=True)
class OwnBox(nnft.Measure):
    """A user's measure, which a script cannot write down."""

    name = "own-box"

    def region(self, setting: Setting) -> Region:
        return box_region(setting)


@pytest.mark.parametrize(
    "measure",
    [nnft.Ball(), nnft.GaussianCutoff(), nnft.Empirical([[1.0], [2.0]]), OwnBox()],
)
def test_python_in_the_page_knows_measure_and_scheme(
    run: StudyRun, measure, tmp_path: Path, monkeypatch
):
    action = nnft.Action(["lambda_0"], measure=measure, scheme="bare")
    fit = nnft.fit_couplings(
        run.results.fit.correlators,
        action,
        [10.0],
        key=jax.random.key(0),
        sampler="conjugate",
        num_samples=10,
    )
    fit.save(tmp_path / "fit.nc")  # where the data of an empirical measure are
    monkeypatch.chdir(tmp_path)
    script = python_lines(replace(run.results, fit=fit))
    (line,) = [
        part for part in ast.parse(script).body if ast.unparse(part).startswith("act")
    ]
    names = {"nnft": nnft}
    exec(ast.unparse(line), names)
    assert names["action"] == action


def test_markup_in_a_study_file_is_escaped(tmp_path: Path):
    text = "# <script>alert(1)</script>\n" + TOY.replace("plain_draws = 1000", "")
    (tmp_path / "toy.toml").write_text(text)
    study = read_study(tmp_path / "toy.toml", directory=tmp_path / "<b>run")
    page = Page(run_study(study).report.read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert "b" not in page.headings[0]
    assert "<script>alert(1)</script>" in page.text


HOSTILE = "</title><script>alert(1)</script>$"


def test_markup_in_every_name_of_a_plugin_is_escaped(run: StudyRun):
    """Names, symbols, descriptions, options, messages: all that others say."""
    results, fit = run.results, run.results.fit
    symbol = HOSTILE.rstrip("$")  # with dollar signs it is refused
    operator = replace(fit.action.operators[0], name=HOSTILE, symbol=symbol)
    net = results.network
    option = nnft.Option(default=HOSTILE, help="")
    network = replace(
        net,
        architecture=replace(
            net.architecture,
            name=HOSTILE,
            description=HOSTILE,
            options={HOSTILE: option},
        ),
        hyperparameters=replace(net.hyperparameters, options={HOSTILE: HOSTILE}),
    )
    measured = tuple(replace(c, network=network) for c in results.correlators)
    hostile = replace(
        results,
        name=HOSTILE,
        text=HOSTILE,
        correlators=measured,
        fit=replace(
            fit,
            action=nnft.Action([operator]),
            correlators=replace(fit.correlators, network=network),
        ),
        checks=tuple(replace(c, name=HOSTILE, message=HOSTILE) for c in results.checks),
    )
    page = Page(render_report(hostile, {n: b"" for n in FIGURES}))
    assert "script" not in page.tags
    assert page.tags.count("title") == 2  # of the page, and of the drawing
    assert HOSTILE in page.text


def test_exponents():
    assert exponent_text(-4.99999977) == "−5.000"
    assert exponent_text(-1.5e-4) == "0.000"


def test_cutoffs_as_text():
    assert [cutoff_text(c) for c in (7.0, 20.5, 1e5, 2e6, math.inf)] == [
        "7",
        "20.5",
        "10⁵",
        "2×10⁶",
        "∞",
    ]


@pytest.mark.parametrize(
    ("symbol", "html"),
    [
        (r"\lambda_0", "λ<sub>0</sub>"),
        (r"\lambda_{NL}", "λ<sub>NL</sub>"),
        (r"\kappa", "κ"),
        ("g", "g"),
        (r"\mathcal{O}^2", "<code>my_operator</code>"),
        ("<b>", "<code>my_operator</code>"),
    ],
)
def test_operator_symbols(symbol: str, html: str):
    assert symbol_html(symbol, "my_operator") == html
