"""A study with [data]: posteriors of every width, methods compared, on one page."""

from pathlib import Path

import numpy as np
import pytest
from report_page import Page
from sklearn.datasets import load_diabetes

import nnft_ppl as nnft
from nnft_ppl._checkpoint import next_stage
from nnft_ppl.bayes import weighting
from nnft_ppl.bayes.comparison import EXACT, FIRST, GAUSSIAN, THEORY
from nnft_ppl.study import read_study, rebuild_report, run_study
from nnft_ppl.study.directory import posterior_of
from nnft_ppl.study.spec import data_key

ALONE = """
[network]
architecture = "relu-net"
input_dim = 2
widths = [50, 20]

[ensemble]
num_draws = 2000
seed = 3

[data]
inputs = "data.csv"
input_columns = ["age", "size"]
targets = "data.csv"
target_column = "price"
held_out = 0.25
standardise = true
noise_std = 0.5
width = 20
num_samples = 50
"""

BESIDE = """
[network]
architecture = "relu-net"
width = 20

[inputs]
points = [0.5, 1.0]

[ensemble]
num_draws = 1000

[eft]
operators = ["lambda_0"]
cutoffs = [10]
data = "exact"
sampler = "conjugate"
num_samples = 200

[data]
inputs = "x.npy"
targets = "y.npy"
new_inputs = "x.npy"
new_targets = "y.npy"
noise_std = 0.3
num_samples = 50
"""


def write_data(folder: Path) -> None:
    rng = np.random.default_rng(0)
    age, size = 40 + 9 * rng.normal(size=16), 2 + rng.normal(size=16)
    price = 100 + 3 * age - 8 * size + rng.normal(size=16)
    rows = np.column_stack([price, age, size])
    head = "price,age,size"
    np.savetxt(folder / "data.csv", rows, delimiter=",", header=head, comments="")
    np.save(folder / "x.npy", [0.3, 0.6, 1.1])
    np.save(folder / "y.npy", [0.2, -0.4, 0.9])


def read(folder: Path, text: str):
    write_data(folder)
    (folder / "mine.toml").write_text(text)
    return read_study(folder / "mine.toml", directory=folder / "run")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return run_study(read(tmp_path_factory.mktemp("alone"), ALONE))


@pytest.fixture(scope="module")
def page(alone) -> Page:
    return Page(alone.report.read_text(encoding="utf-8"))


def test_data_alone_need_no_correlators(alone, page: Page):
    names = {p.name for p in alone.directory.rglob("*") if p.is_file()}
    assert {"width_20.nc", "width_50.nc", "methods.nc", "predictive.png"} <= names
    assert not (alone.directory / "correlators").exists()
    assert page.headings == [
        "relu-net given data",
        alone.headline,
        "What network?",
        "What is predicted given data?",
        "How to repeat it",
        "Conventions",
        "References",
    ]
    assert alone.headline.startswith("At width 20 the Gaussian process ")
    assert alone.passed


def test_posteriors_are_those_of_the_library(alone):
    study = read_study(alone.directory.parent / "mine.toml")
    data = study.data.data
    assert (data.x.shape, data.x_new.shape) == ((12, 2), (4, 2))
    saved = nnft.load(alone.directory / "posteriors" / "width_50.nc")
    again = nnft.posterior(
        study.network.with_width(50),
        data.x,
        data.y,
        data.x_new,
        noise_std=0.5,
        num_draws=2000,
        num_samples=50,
        key=data_key(3),
    )
    np.testing.assert_array_equal(saved.mean, again.mean)
    curve = alone.results.data.curve
    assert curve.table["log_evidence"][50] == again.log_evidence


def test_the_page_says_what_standardising_did(alone, page: Page):
    standard = alone.results.data.standard
    assert "every column of inputs and targets to mean 0" in page.text
    assert f"{standard.input_mean[0]:.2f}" in page.text
    assert "12 targets price: age, size" in page.text
    assert "4 of 16 rows, drawn by the seed 3" in page.text
    own = 0.5 * standard.target_std[0]
    assert (
        f"0.5 standard deviations of the targets, {own:.1f} of their own" in page.text
    )


def test_the_page_has_the_table_of_methods(alone, page: Page):
    results = alone.results.data
    assert list(results.table.index) == [GAUSSIAN, FIRST, EXACT]
    assert results.comparison.message in page.text
    for value in results.table["rmse"]:
        assert f"{value:.4f}" in page.text


def test_finished_posteriors_are_reused(alone):
    said: list[str] = []
    before = alone.report.read_bytes()
    run_study(read(alone.directory.parent, ALONE), say=said.append)
    assert "posterior at width 20, 12 data: reused width_20.nc" in said
    assert "methods compared at width 20: reused methods.nc" in said
    alone.report.unlink()
    assert rebuild_report(alone.directory).report.read_bytes() == before


def test_a_fit_serves_as_the_effective_theory(tmp_path: Path):
    run = run_study(read(tmp_path, BESIDE))
    assert THEORY in run.results.data.table.index
    assert run.results.checks[-1].name == "posterior"
    page = Page(run.report.read_text(encoding="utf-8"))
    predicted = page.headings.index("What is predicted?")
    assert page.headings[predicted + 1] == "What is predicted given data?"
    assert run.results.data.headline in page.text


@pytest.mark.slow
def test_a_fit_that_does_not_serve_is_left_out_and_said_so(tmp_path: Path):
    said: list[str] = []
    text = BESIDE.replace("[data]", "[data]\nwidth = 30")
    run = run_study(read(tmp_path, text), say=said.append)
    assert THEORY not in run.results.data.table.index
    assert any("no effective theory beside the posterior: `fit` is" in s for s in said)
    assert "is not among the methods: `fit` is of" in run.report.read_text("utf-8")


BAD = {
    "noise_std = 0.5": (
        "noise_std = 0",
        r"`data\.noise_std` is 0; expected a number > 0",
    ),
    "held_out = 0.25": ("held_out = 0.01", r"`data\.held_out`: 0\.01 of 16 rows is 0"),
    "width = 20\n": ("", r"`data\.width` is missing"),
    "standardise = true": ("standardise = 1", r"`data\.standardise` is 1; expected tr"),
    'target_column = "price"': (
        "",
        r"`data\.inputs` and `data\.targets` are one file; say which columns",
    ),
    '"price"': ('"prize"', r"`data\.targets`: .* no column 'prize' \(did you mean"),
    '"size"]': ("]", r"`data\.inputs`: inputs have shape \(12, 1\)"),
    "held_out = ": (
        "heldout = ",
        r"unknown key `data\.heldout` \(did you mean `data\.h",
    ),
    "num_samples": (
        'method = "nuts"\nnum_samples',
        r"`data\.method` is 'nuts'; choose",
    ),
    "[data]": (
        '[data]\nnew_inputs = "x.npy"',
        r"expected either `data\.held_out`",
    ),
    "num_draws = 2000": ("num_draws = 9", r"`data\.num_draws`: .*9"),
}


@pytest.mark.parametrize("old", BAD)
def test_bad_data_are_refused_before_any_work(tmp_path: Path, old: str):
    new, message = BAD[old]
    with pytest.raises(nnft.SpecError, match=message):
        read(tmp_path, ALONE.replace(old, new, 1))


def test_the_example_has_the_data_that_scikit_learn_ships():
    folder = Path(__file__).parent.parent / "examples"
    rows = np.loadtxt(folder / "diabetes.csv", delimiter=",", skiprows=1)
    shipped = load_diabetes(scaled=False)
    np.testing.assert_allclose(rows[:, :10], shipped.data, rtol=1e-15)
    np.testing.assert_array_equal(rows[:, 10], shipped.target)
    study = read_study(folder / "diabetes.toml")
    assert list(study.data.rows.names) == shipped.feature_names


@pytest.mark.slow
@pytest.mark.parametrize("name", ["posterior_1d", "diabetes"])
def test_the_examples_run_with_few_networks(tmp_path: Path, name: str):
    folder = Path(__file__).parent.parent / "examples"
    text = (folder / f"{name}.toml").read_text()
    for old, new in {
        "num_draws = 20_000": "num_draws = 1000",
        "num_draws = 2000": "num_draws = 200",
        "[2, 5, 10, 20, 50, 200]": "[50]",
        "[5, 20, 100, 300, 1000]": "[100]",
        "\nwidth = 20 ": "\nwidth = 100 ",
        "\nwidth = 20\n": "\nwidth = 50\n",
        "num_samples = 250": "",
    }.items():
        text = text.replace(old, new)
    text += '\nmethod = "weights"\nnum_samples = 20\n'
    for file in folder.glob("*.csv"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "few.toml").write_text(text)
    run = run_study(read_study(tmp_path / "few.toml", directory=tmp_path / "run"))
    assert run.report.stat().st_size > 10_000


def test_a_posterior_that_was_interrupted_goes_on_within_it(tmp_path, monkeypatch):
    write_data(tmp_path)
    (tmp_path / "mine.toml").write_text(ALONE.replace("[50, 20]", "[20]"))
    monkeypatch.setattr("nnft_ppl.study.run.write_page", lambda *_, **__: None)
    monkeypatch.setattr(weighting, "_BLOCK_DRAWS", 128)
    monkeypatch.setattr(weighting, "_FEW_BLOCKS", 64)
    studies = [
        read_study(tmp_path / "mine.toml", directory=tmp_path / folder)
        for folder in ("stopped", "whole")
    ]
    told: list[int] = []

    def stop(progress):
        told.append(progress.num_draws)
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(studies[0], progress=stop)
    place = studies[0].directory / f"{posterior_of(20)}.sums"
    assert place.exists()
    next_stage(place).write_bytes(b"")  # as if weights had failed before
    run_study(studies[0], progress=lambda progress: told.append(progress.num_draws))
    assert told[3] == told[2]  # what was saved, not the first block
    assert not [file for file in place.parent.iterdir() if ".sums" in file.name]
    run_study(studies[1])
    means = [nnft.load(s.directory / posterior_of(20)).mean for s in studies]
    np.testing.assert_array_equal(*means)
