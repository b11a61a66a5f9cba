"""A study with [training]: networks of every width trained on data, on one page."""

from pathlib import Path

import numpy as np
import pytest
from pandas.testing import assert_frame_equal
from report_page import Page

import nnft_ppl as nnft
from nnft_ppl.report import Compared, draw_comparison, render_comparison
from nnft_ppl.study import read_study, run_study
from nnft_ppl.study.forecast import forecast
from nnft_ppl.study.spec import training_key
from nnft_ppl.training.result import TrainedEnsemble

ALONE = """
[network]
architecture = "erf-net"
bias_std = 1.0
widths = [16, 4]

[ensemble]
num_draws = 400
seed = 3

[training]
inputs = [-1.0, 0.0, 1.0]
targets = [0.3, -0.4, 0.9]
new_inputs = [-0.5, 0.7]
method = "gradient_descent"
times = [0, 2, 20]
"""
FOLDER = Path(__file__).parent.parent / "examples"


def read(folder: Path, text: str):
    (folder / "mine.toml").write_text(text)
    return read_study(folder / "mine.toml", directory=folder / "run")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return run_study(read(tmp_path_factory.mktemp("alone"), ALONE))


@pytest.fixture(scope="module")
def page(alone) -> Page:
    return Page(alone.report.read_text(encoding="utf-8"))


def test_training_alone_needs_no_correlators(alone, page: Page):
    names = {p.name for p in alone.directory.rglob("*") if p.is_file()}
    assert {"width_4.nc", "width_16.nc", "by_width.nc", "training.png"} <= names
    assert not (alone.directory / "correlators").exists()
    assert page.headings == [
        "erf-net trained on data",
        alone.headline,
        "What network?",
        "What does training change?",
        "How to repeat it",
        "Conventions",
        "References",
    ]


def test_it_is_what_the_library_says(alone, page: Page):
    study = read_study(alone.directory.parent / "mine.toml")
    data = study.training.rows.data
    again = nnft.training_by_width(
        study.network,
        [4, 16],
        data.x,
        data.y,
        data.x_new,
        times=[0, 2, 20],
        num_draws=400,
        key=training_key(3),
        method="gradient_descent",
    )
    found = alone.results.training.by_width
    # Sums over the prior's networks are the same up to their rounding.
    assert_frame_equal(found.sizes, again.sizes, rtol=1e-6, atol=1e-9)
    assert found.couplings["natural"].equals(again.couplings["natural"])
    assert found.message == again.message
    saved = nnft.load(alone.directory / "trained" / "width_16.nc")
    assert isinstance(saved, TrainedEnsemble)
    assert saved.plan.learning_rate == again.learning_rate
    (row,) = again.table.query("quantity == 'mean' and time == 20 and width == 4")[
        ["value", "error"]
    ].to_numpy()
    assert f"{row[0]:.2f}" in page.text
    assert again.sentences[0].split(":")[0] in page.text
    assert "gradient descent, looked at after 0, 2, 20 steps" in page.text


def test_interrupted_it_goes_on_to_the_same_bits(alone, tmp_path: Path):
    told = []

    def interrupt(progress):
        told.append(progress)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(read(tmp_path, ALONE), progress=interrupt)
    said: list[str] = []
    costs = forecast(read(tmp_path, ALONE)).steps
    run = run_study(read(tmp_path, ALONE), say=said.append)
    finished = ["reused" in text for text in said if text.startswith("width ")]
    assert finished == [cost.is_finished for cost in costs]
    assert_frame_equal(
        run.results.training.by_width.sizes,
        alone.results.training.by_width.sizes,
        rtol=1e-6,
        atol=1e-9,
    )
    left = {p.name for p in (tmp_path / "run" / "trained").iterdir()}
    assert left == {"width_4.nc", "width_16.nc", "by_width.nc"}


@pytest.mark.slow
def test_it_stands_beside_the_approach(tmp_path: Path):
    text = ALONE.replace("400", "300") + "\n[inputs]\npoints = [0.2, 0.9]\n"
    run = run_study(read(tmp_path, text))
    headings = Page(run.report.read_text(encoding="utf-8")).headings
    near = headings.index("Is it near its Gaussian process?")
    assert headings[near + 1] == "What does training change?"
    assert [check.name for check in run.results.checks] == [
        "heavy_tails",
        "trained_tails",
    ]


def test_runs_that_train_stand_side_by_side(alone):
    compared = Compared({"a": alone.results, "b": alone.results})
    page = Page(render_comparison(compared, draw_comparison(compared)))
    assert "What does training change?" in page.headings
    assert page.text.count(alone.results.training.headline) == 2
    rows = compared.training
    assert list(dict.fromkeys(rows["run"])) == ["a", "b"]
    of_a = rows[rows["run"] == "a"].drop(columns="run")
    assert of_a.equals(alone.results.training.by_width.exponents)


BAD = {
    "[16, 4]": ("[16]", r"\[training\] compares widths, and there is 16 alone"),
    "[0.3, -0.4, 0.9]": ("[0.3, -0.4]", r"`training\.inputs`: .*2"),
    "[0.3,": ('["a",', r"`training\.targets` are no array of real numbers"),
    "[-0.5, 0.7]": ("[0.7, 0.7]", r"`training\.new_inputs`: .*more than once"),
    "[0, 2, 20]": ("[0, 2.5]", r"`training\.times`: .*whole numbers of steps"),
    "times = [0,": ("times = [0]#", r"`training\.times`: .*expected 0, before"),
    '"gradient_descent"': ('"adam"', r"`training\.method` is 'adam'; choose"),
    "method =": ("learning_rate = 9\nmethod =", r"`training\.learning_rate`: .*9\.0"),
    "method = ": ("temperature = 1\nmethod = ", r"`training\.temperature`: .*1\.0"),
    "times": ('operators = ["cubik"]\ntimes', r"`training\.operators`: .*cubic"),
    "inputs =": ("num_draws = 14\ninputs =", r"`training\.num_draws`: .*14"),
    "new_inputs = [-0.5, 0.7]": ("held_out = 3", r"`training\.held_out`: 3 of 3 rows"),
    "targets": ("target", r"unknown key `training\.target` \(did you mean"),
}


@pytest.mark.parametrize("old", BAD)
def test_bad_training_is_refused_before_any_work(tmp_path: Path, old: str):
    new, message = BAD[old]
    with pytest.raises(nnft.NnftError, match=message):
        read(tmp_path, ALONE.replace(old, new, 1))


def test_rows_held_out_may_be_counted(tmp_path: Path):
    text = ALONE.replace("new_inputs = [-0.5, 0.7]", "held_out = 1")
    rows = read(tmp_path, text).training.rows
    assert (rows.data.x.shape, rows.data.x_new.shape) == ((2, 1), (1, 1))
    assert rows.held_out == "1 of 3 rows, drawn by the seed 3"


@pytest.mark.parametrize("name", ["trained", "trained_erf", "trained_diabetes"])
def test_the_examples_are_read(name: str):
    study = read_study(FOLDER / f"{name}.toml")
    assert len(study.widths) >= 4
    assert np.isfinite(study.training.rows.data.y).all()
