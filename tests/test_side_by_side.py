"""Runs side by side: tables from the fits themselves, and one page that is whole."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from report_page import Page
from toy_study import TOY

import nnft_ppl as nnft
from nnft_ppl.cli import main
from nnft_ppl.report import Compared, Results, draw_comparison, render_comparison
from nnft_ppl.report.overlays import falloffs
from nnft_ppl.study import compare_runs, read_study, run_study, side_by_side
from nnft_ppl.study.side_by_side import Comparison

OTHER = (
    TOY.replace("width = 20", "width = 30")
    .replace("seed = 5", "seed = 6")
    .replace("[10, 100, 1000]", "[100, 1000, 2000]")
)
"""Another width and seed; two cutoffs in common."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory, toy_run, toy_run_alone) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    for name, found in (("first", toy_run), ("alone", toy_run_alone)):
        shutil.copytree(found.directory, folder / name)
    (folder / "second.toml").write_text(OTHER)
    run_study(read_study(folder / "second.toml", directory=folder / "second"))
    return [folder / name for name in ("first", "second", "alone")]


@pytest.fixture(scope="module")
def comparison(folders: list[Path], tmp_path_factory) -> Comparison:
    return compare_runs(folders, tmp_path_factory.mktemp("page") / "c.html")


@pytest.fixture(scope="module")
def compared(comparison: Comparison) -> Compared:
    return comparison.compared


def command(*arguments: object, code: int = 0):
    found = CliRunner().invoke(main, ["report", *map(str, arguments)])
    assert found.exit_code == code, found.output
    return found


def test_couplings_differ_by_what_their_draws_do(compared, folders):
    fits = [nnft.load(folder / "fit.nc") for folder in folders[:2]]
    table = compared.couplings
    assert list(table["cutoff"]) == [10.0, 100.0, 100.0, 1000.0, 1000.0, 2000.0]
    (row,) = table[(table["cutoff"] == 100) & (table["run"] == "second")].to_dict(
        "records"
    )
    draws = [fit.at(100.0)["posterior"]["coupling"].to_numpy() for fit in fits]
    mean = [np.mean(one) for one in draws]
    error = np.hypot(*(np.std(one, ddof=1) for one in draws))
    # ArviZ divides by the number of draws, or by one less.
    near = {"rel": 1 / draws[0].size, "abs": 0}
    assert row["difference"] == pytest.approx(mean[1] - mean[0], rel=1e-9, abs=0)
    assert row["difference_sd"] == pytest.approx(error, **near)
    assert row["significance"] == pytest.approx((mean[1] - mean[0]) / error, **near)
    # A cutoff that one run has alone, and the first run itself, are compared with none.
    alone = table[table["cutoff"].isin([10.0, 2000.0]) | (table["run"] == "first")]
    assert alone["significance"].isna().all()


def test_every_run_is_in_the_tables_that_it_has_something_for(compared):
    assert list(compared.networks["run"]) == ["first", "second", "alone"]
    assert set(compared.deviations["run"]) == {"first", "second", "alone"}
    assert list(compared.verdicts["run"]) == ["first", "second"]
    assert list(compared.verdicts["data"]) == [1, 2]


def test_evidence_is_compared_of_the_same_data_alone(compared):
    twice = {
        "a": compared.runs["first"],
        "b": replace(compared.runs["first"], name="b"),
        "c": compared.runs["second"],
    }
    assert list(Compared(twice).verdicts["data"]) == [1, 1, 2]


def test_page_is_whole_and_needs_nothing_from_outside(comparison):
    source = comparison.report.read_text(encoding="utf-8")
    page = Page(source)
    assert page.headings[2:] == [
        "What networks?",
        "Are they near their Gaussian process?",
        "How well do their actions describe them?",
        "How do their couplings compare?",
        "What does the evidence prefer?",
        "How to repeat it",
    ]
    assert not {"script", "link"} & set(page.tags)
    assert page.tags.count("img") == 2 + 2
    for text in ("first", "second", "alone", "are of different data"):
        assert text in page.text


def ball(found: Results) -> Results:
    """The same run, as if its operator were integrated over a ball."""
    action = nnft.Action(["lambda_0"], measure="ball")
    return replace(found, fit=replace(found.fit, action=action))


def test_couplings_of_another_measure_are_not_compared(compared):
    first = compared.runs["first"]
    mixed = Compared({"box": first, "ball": ball(first), "again": first})
    assert mixed.units == {"box": 1, "ball": 2, "again": 1}
    table = mixed.couplings
    assert list(table["units"]) == [1] * 6 + [2] * 3
    repeated = table["run"] == "again"
    assert (table["significance"][repeated] == 0).all()
    assert table["significance"][~repeated].isna().all()
    two, one, *_ = [o for o in draw_comparison(mixed) if "against" in o.title][1:]
    assert "box, again" in two.title
    assert "(ball)" in one.caption
    for overlay in (two, one):
        assert "another measure, scheme or input dimension" in overlay.caption


def test_figures_say_what_makes_couplings_differ(compared):
    first, second = compared.runs["first"], compared.runs["second"]
    same = Compared({"a": first, "b": second})
    (caption,) = [o.caption for o in draw_comparison(same) if "<sub>" in o.title]
    assert "different kernels" not in caption
    hp = replace(second.network.hyperparameters, weight_std=2.0)
    net = replace(second.network, hyperparameters=hp)
    corr = replace(second.fit.correlators, network=net)
    wider = replace(second, fit=replace(second.fit, correlators=corr))
    other = draw_comparison(Compared({"a": first, "b": wider}))
    (caption,) = [o.caption for o in other if "<sub>" in o.title]
    assert "different kernels" in caption


def test_runs_of_one_width_each_are_one_falloff(compared):
    alone = compared.runs["alone"]
    exact = [c for c in alone.correlators if c.is_exact]
    single = {str(c.network.width): replace(alone, correlators=(c,)) for c in exact}
    laws = falloffs(Compared({**single, "both": alone}))
    assert list(laws) == ["3, 30", "both"]
    for law in laws.values():
        assert law.exponent == pytest.approx(-1, abs=1e-6)
    assert falloffs(Compared({"3": single["3"]})) == {}


def test_names_are_escaped(compared):
    hostile = "<script>alert(1)</script>"
    found = Compared({hostile: compared.runs["first"], "b": compared.runs["second"]})
    page = Page(render_comparison(found, draw_comparison(found)))
    assert "script" not in page.tags
    assert hostile in page.text


def test_command_puts_runs_side_by_side(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(side_by_side, "draw_comparison", lambda compared: [])
    page = tmp_path / "c.html"
    before = (folders[0] / "report.html").read_bytes()
    shown = command(*folders, "-o", page, "--json")
    document = json.loads(shown.stdout)
    assert page.is_file()
    assert [row["run"] for row in document["networks"]] == ["first", "second", "alone"]
    assert document["couplings"][0]["significance"] is None
    assert (folders[0] / "report.html").read_bytes() == before
    assert "give --force" in command(*folders, "-o", page, code=2).stderr
    assert f"Report: {page}" in command(*folders, "-o", page, "--force").stdout


def test_what_cannot_be_put_side_by_side_is_refused(folders, tmp_path):
    page = tmp_path / "c.html"
    refused = command(folders[0], folders[0], "-o", page, code=2)
    assert "not two different run directories" in refused.stderr
    refused = command(folders[0], tmp_path / "none", "-o", page, code=2)
    assert "holds no study" in refused.stderr
    refused = command(folders[0], "-o", page, code=2)
    assert "for several run directories" in refused.stderr
    assert not page.exists()
