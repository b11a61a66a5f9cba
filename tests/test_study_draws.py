"""A study of draws in a file: `ensemble.file`."""

import re

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.report import Compared, comparison_headline, render_comparison
from nnft_ppl.study import read_study, run_study
from nnft_ppl.study.directory import opened
from nnft_ppl.study.draws_file import correlators_of_file
from nnft_ppl.study.finished import load_results

X = np.array([[0.5], [1.0]])
NET = nnft.network("erf-net", width=5, input_dim=1)

NETWORK = """
[network]
architecture = "erf-net"
width = 5
"""
DRAWS = """
[inputs]
points = [0.5, 1.0]
[ensemble]
file = "draws.npy"
"""
EFT = """
[eft]
operators = ["lambda_0"]
cutoffs = [10]
sampler = "conjugate"
num_samples = 500
num_chains = 2
"""
EMPIRICAL = """measure = "empirical"
measure_file = "x.csv"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = nnft.sample_ensemble(NET, X, 4000, key=jax.random.key(0)).values
    np.save("draws.npy", values[:, :, 0] + 1.5)
    np.save("chains.npy", values[:, :, 0].reshape(2, 2000, 2))
    (tmp_path / "x.csv").write_text("0.5\n1.0\n")
    return tmp_path


def read(folder, text):
    path = folder / "own.toml"
    path.write_text(text)
    return read_study(path)


def test_draws_take_the_place_of_networks(folder):
    study = read(folder, NETWORK + DRAWS + EFT)
    assert (study.widths, study.ensemble.num_draws) == ((5,), 4000)
    found = correlators_of_file(study.ensemble, study.network, study.points)
    assert found.connected(1) == pytest.approx([1.5, 1.5], abs=0.05)
    assert found.network.kernel([3.0]) == NET.kernel([3.0])
    alone = read(folder, DRAWS + EFT + EMPIRICAL)
    inputs = read(folder, DRAWS + EFT + 'measure = "empirical"\n')
    assert inputs.eft.action.measure == alone.eft.action.measure
    own = correlators_of_file(alone.ensemble, alone.network, alone.points)
    assert not own.network.has_kernel
    np.testing.assert_array_equal(own.connected(4), found.connected(4))
    text = DRAWS.replace("draws.npy", "chains.npy") + "chains = true\n"
    chains = read(folder, text)
    assert correlators_of_file(chains.ensemble, chains.network, X).autocorrelation


def test_a_changed_file_is_another_study(folder):
    before = read(folder, NETWORK + DRAWS).record()
    assert "digest" in before["ensemble"]
    assert before == read(folder, NETWORK + DRAWS).record()
    np.save("draws.npy", np.load("draws.npy") + 1.0)
    assert read(folder, NETWORK + DRAWS).record() != before


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (DRAWS + "num_draws = 5\n", "`ensemble.num_draws` is of networks that are"),
        (DRAWS + "plain_draws = 5\n", "`ensemble.plain_draws` is of networks"),
        (NETWORK.replace("h = 5", "hs = [5, 6]") + DRAWS, "give `network.width`"),
        (DRAWS.replace("draws.npy", "none.npy"), "cannot read 'none.npy'"),
        (DRAWS.replace("1.0]", "1.0, 2.0]"), "`ensemble.file`: `values` have shape"),
        (DRAWS.replace("points = [0.5, 1.0]", ""), "draws need the inputs they are at"),
        (NETWORK + DRAWS + EFT + "points = [0.5]\n", "`eft.points` is given, but with"),
        (NETWORK + DRAWS + EFT + 'data = "exact"\n', "`eft.data` is given, but with"),
        (DRAWS + "chains = 1\n", "expected true or false"),
        (DRAWS + EFT, r"`eft.measure` is Box\(\); of draws without"),
        (
            DRAWS.replace("[0.5, 1.0]", "[0.5, 1.5]") + EFT + EMPIRICAL,
            r"`eft.measure` is Empirical\(.*over these inputs",
        ),
        (
            NETWORK + DRAWS.replace('file = "draws.npy"', "chains = true"),
            "is not given",
        ),
    ],
)
def test_what_does_not_go_with_draws_is_refused(folder, text, match):
    with pytest.raises(nnft.SpecError, match=match):
        read(folder, text)


@pytest.mark.slow_but("with_network")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(NETWORK + DRAWS + EFT, id="with_network"),
        pytest.param(DRAWS + EFT + EMPIRICAL, id="alone"),
        pytest.param(DRAWS, id="approach"),
    ],
)
def test_the_whole_study_runs_and_tells_how_to_repeat_it(folder, text):
    run = run_study(read(folder, text))
    assert run.report.exists()
    page = run.report.read_text(encoding="utf-8")
    assert "4,000" in page
    told = re.sub(r"<style>.*?</style>|<pre>.*?</pre>|<[^>]*>", "", page, flags=re.S)
    top = told.split("Are f and −f")[0]
    assert not re.search("at width|this network|the network", top)
    if EFT not in text:
        return
    assert "correlators_from_draws" in page
    assert "describes these draws" in told
    fit = nnft.load(run.directory / "fit.nc")
    assert fit.correlators.num_draws == 4000
    assert not fit.correlators.connected(1).any()  # less its mean
    with opened(run.directory) as directory:
        found = load_results(directory)
    beside = Compared({"one": found, "two": found})
    told = render_comparison(beside, [])
    assert "describes the draws in" in comparison_headline(beside)
    assert not re.search(r"\(width|at width \d|the network", told)
    assert "<td>draws" in told or "draws</td>" in told
