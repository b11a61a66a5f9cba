"""A study from its file to its page, at toy size."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from toy_study import TOY

import nnft_ppl as nnft
from nnft_ppl import store
from nnft_ppl.study import StudyRun, read_study, rebuild_report, run_study


def toy(folder: Path, text: str = TOY):
    path = folder / "toy.toml"
    path.write_text(text)
    return read_study(path, directory=folder / "run")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> StudyRun:
    return run_study(toy(tmp_path_factory.mktemp("study")))


def files(directory: Path) -> set[str]:
    return {str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file()}


def test_run_directory_holds_everything_and_nothing_temporary(finished: StudyRun):
    widths = {
        f"correlators/width_{width}_{estimator}.nc"
        for width in (3, 30)
        for estimator in ("conditional", "moments", "exact")
    }
    assert files(finished.directory) == widths | {
        "correlators/fit_data.nc",
        "comparison.json",
        "figures/couplings.png",
        "figures/deviation.png",
        "figures/prediction.png",
        "fit.nc",
        "manifest.json",
        "report.html",
        "run.json",
        "study.toml",
    }


def test_study_file_versions_and_seed_are_kept(finished: StudyRun):
    assert (finished.directory / "study.toml").read_text() == TOY
    run = json.loads((finished.directory / "run.json").read_text())
    assert run["versions"]["nnft_ppl"] == nnft.__version__
    assert run["study"]["ensemble"]["seed"] == 5
    assert run["study"]["inputs"]["points"] == [[0.5], [1.0]]


def test_saved_results_are_those_of_the_library(finished: StudyRun):
    """The three lines that the report prints give the same couplings, to the bit."""
    _, sample_key, fit_key = jax.random.split(jax.random.key(5), 3)
    net = nnft.network("relu-net", width=20, input_dim=1)
    correlators = nnft.measure_correlators(
        net, [0.5, 1.0], orders=(2, 4, 6), num_draws=5000, key=sample_key
    )
    fit = nnft.fit_couplings(
        correlators,
        nnft.Action(["lambda_0"]),
        cutoffs=[10.0, 100.0, 1000.0],
        key=fit_key,
        sampler="conjugate",
        num_samples=500,
        num_chains=2,
    )
    saved = nnft.load(finished.directory / "fit.nc")
    np.testing.assert_array_equal(saved.dimensionless, fit.dimensionless)


def test_coupling_is_the_known_one(finished: StudyRun):
    """λ_0 = −12.5/(N Λ⁵) for this network (theory.md §4)."""
    for row in finished.results.summary.to_dict("records"):
        expected = -12.5 / 20 / row["cutoff"] ** 5
        assert abs(row["mean"] - expected) < 4 * row["sd"]  # seed 5


def test_network_of_a_width_is_the_same_for_every_estimator(finished: StudyRun):
    """Both routes see the same networks: their 2-pt functions are correlated."""
    by_route = {(c.network.width, c.estimator): c for c in finished.results.correlators}
    assert set(by_route) == {
        (w, e) for w in (3, 30) for e in ("conditional", "moments", "exact")
    }
    assert by_route[3, "conditional"].num_draws == 5000
    assert by_route[3, "moments"].num_draws == 1000


def test_report_says_what_was_found(finished: StudyRun):
    assert finished.passed
    assert finished.headline.startswith("The action describes this network: ")
    page = finished.report.read_text(encoding="utf-8")
    assert finished.headline in page
    assert "lambda_0 + lambda_2" in page


def test_second_run_reuses_finished_results(finished: StudyRun):
    said: list[str] = []
    before = (finished.directory / "fit.nc").stat().st_mtime_ns
    again = run_study(toy(finished.directory.parent), say=said.append)
    assert (finished.directory / "fit.nc").stat().st_mtime_ns == before
    assert "width 3, 5,000 networks, conditional: reused width_3_conditional.nc" in said
    assert sum("reused" in line for line in said) == len(said) - 1
    assert again.headline == finished.headline


def test_interrupted_run_goes_on_where_it_stopped(finished: StudyRun):
    before = finished.results.fit.dimensionless
    (finished.directory / "fit.nc").unlink()
    with pytest.raises(nnft.SpecError, match="is not finished; run `nnft study`"):
        rebuild_report(finished.directory)
    said: list[str] = []
    again = run_study(toy(finished.directory.parent), say=said.append)
    assert "fit of lambda_0 at 3 cutoffs, conjugate" in said
    np.testing.assert_array_equal(again.results.fit.dimensionless, before)


@pytest.mark.slow
def test_page_can_be_made_again_from_the_files(finished: StudyRun):
    before = finished.report.read_bytes()
    finished.report.unlink()
    assert rebuild_report(finished.directory).report.read_bytes() == before


@pytest.mark.slow
def test_results_of_another_version_are_not_reused(finished: StudyRun, monkeypatch):
    (finished.directory / "mine.nc").write_text("years of work")
    other = {**store.versions(), "nnft_ppl": "99.0"}
    with monkeypatch.context() as patch:
        patch.setattr(store, "versions", lambda: other)
        run_study(toy(finished.directory.parent))
    said: list[str] = []
    run_study(toy(finished.directory.parent), say=said.append)
    assert not any("reused" in line for line in said)
    run = json.loads((finished.directory / "run.json").read_text())
    assert run["versions"]["nnft_ppl"] == nnft.__version__
    assert (finished.directory / "mine.nc").read_text() == "years of work"
    (finished.directory / "mine.nc").unlink()


def test_another_fit_is_not_taken_for_this_one(finished: StudyRun):
    """Of other cutoffs: a good file, of the right name."""
    place, before = finished.directory / "fit.nc", finished.results.fit
    other = nnft.fit_couplings(
        before.correlators,
        before.action,
        [30.0],
        key=jax.random.key(0),
        sampler="conjugate",
        num_samples=100,
    )
    place.unlink()
    other.save(place)
    with pytest.raises(nnft.SpecError, match=r"fit\.nc` is not what the study wrote"):
        rebuild_report(finished.directory)
    said: list[str] = []
    again = run_study(toy(finished.directory.parent), say=said.append)
    assert (
        "fit.nc is not what this study wrote: kept as fit.nc.other, made anew" in said
    )
    assert again.results.fit.cutoffs == before.cutoffs
    aside = finished.directory / "fit.nc.other"
    assert nnft.load(aside).cutoffs == (30.0,)
    aside.unlink()


def test_a_damaged_comparison_is_not_read(finished: StudyRun):
    place = finished.directory / "comparison.json"
    good = place.read_bytes()
    place.write_bytes(good.replace(b"0", b"1", 1))
    with pytest.raises(nnft.SpecError, match=r"comparison\.json` is not what the stud"):
        rebuild_report(finished.directory)
    place.write_bytes(good)


def test_directory_of_another_study_is_refused(finished: StudyRun):
    other = toy(finished.directory.parent, TOY.replace("seed = 5", "seed = 6"))
    with pytest.raises(
        nnft.SpecError, match=r"holds another study \(it differs in \['ensemble'\]\)"
    ):
        run_study(other)


def test_directory_with_other_things_is_refused(tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    with pytest.raises(
        nnft.SpecError, match=r"holds no study: run\.json cannot be read"
    ):
        run_study(toy(tmp_path))
    assert files(tmp_path / "run") == {"thesis.txt"}


def test_directory_that_is_a_file_is_refused(tmp_path: Path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(nnft.SpecError, match="is a file; expected a folder"):
        run_study(toy(tmp_path))


def test_divergent_integral_is_refused_before_anything_is_made(tmp_path: Path):
    study = toy(tmp_path, TOY.replace("[10, 100, 1000]", "[10, 100, inf]"))
    with pytest.raises(nnft.NnftError, match="inf"):
        run_study(study)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_study_may_use_exact_correlators(tmp_path: Path):
    text = TOY.replace("[eft]", '[eft]\ndata = "exact"').replace("candidates", "# ")
    run = run_study(toy(tmp_path, text))
    assert run.results.fit.correlators.is_exact
    assert run.results.adequacy["discrepancy_upper"].max() < 1e-6
    assert "exact correlators, no sampling" in run.report.read_text(encoding="utf-8")


@pytest.mark.slow
def test_action_that_fails_is_said_to_fail(tmp_path: Path):
    """Wide inputs of both signs with a bias: 18 % misfit and more (theory.md §4)."""
    text = (
        TOY.replace("points = [0.5, 1.0]", "points = [-1.0, 0.1, 1.0]")
        .replace("widths = [3, 30]", "width = 3\nbias_std = 1.0")
        .replace("[10, 100, 1000]", "[10]")
        .replace("[eft]", '[eft]\ndata = "exact"')
    )
    run = run_study(toy(tmp_path, text))
    assert not run.passed
    assert run.headline.startswith("The action does not describe this network: it is")
    page = run.report.read_text(encoding="utf-8")
    assert "does not describe" in page
    assert "checks failed" in page
