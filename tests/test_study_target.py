"""A study whose measurements stop when they are good enough, wherever it runs."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from cli.commands import document, run
from distributed import LocalCluster

import nnft_ppl as nnft
from nnft_ppl.ensemble import device_sizes
from nnft_ppl.ensemble.device_sizes import CPU
from nnft_ppl.report.reproduce import python_lines
from nnft_ppl.study import read_study, run_study

BLOCK = 1024
MOST = 200 * BLOCK
TARGET = 0.02
X = [-1.0, 0.3, 1.0]
STUDY = f"""
[network]
architecture = "erf-net"
widths = [5, 20]
bias_std = 1.0

[inputs]
points = {X}

[ensemble]
num_draws = {MOST}
target_error = {TARGET}
plain_draws = 2000
seed = 5

[eft]
width = 10
operators = ["lambda_0"]
cutoffs = [10]
sampler = "conjugate"
num_samples = 100
num_chains = 2
"""
KEYS = jax.random.split(jax.random.key(5), 3)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(device_sizes, "CPU", replace(CPU, block_draws=BLOCK))


@pytest.fixture
def no_page(monkeypatch):
    """The page takes longest."""
    monkeypatch.setattr("nnft_ppl.study.run.write_page", lambda *_, **__: None)


def study_in(folder, text=STUDY):
    file = folder / "study.toml"
    file.write_text(text)
    return read_study(file, directory=folder / "run")


def saved(folder, name):
    return nnft.load(folder / "run" / "correlators" / f"{name}.nc")


def assert_same_bits(one, two):
    assert one.num_draws == two.num_draws
    for order in (2, 4, 6):
        np.testing.assert_array_equal(one.connected(order), two.connected(order))
        np.testing.assert_array_equal(one.covariance(order), two.covariance(order))


def error_of_g4c(found):
    """In natural units; the output bias is no part of the field that is summed."""
    std = np.sqrt(np.diag(found.network.kernel(found.x)) - 1.0)
    size = np.prod(std[found.entries(4)], axis=1)
    value, error = found.connected(4) / size, found.connected_error(4) / size
    return np.sqrt(np.mean(error**2) / np.mean(value**2))


@pytest.mark.slow
def test_measurements_stop_where_the_library_would_stop(tmp_path):
    said = []
    finished = run_study(study_in(tmp_path), say=said.append)
    reached = {}
    for place, width, key in (
        ("width_5_conditional", 5, jax.random.fold_in(KEYS[0], 5)),
        ("width_20_conditional", 20, jax.random.fold_in(KEYS[0], 20)),
        ("fit_data", 10, KEYS[1]),
    ):
        found = saved(tmp_path, place)
        assert BLOCK < found.num_draws < MOST
        assert error_of_g4c(found) <= TARGET
        error = 100 * error_of_g4c(found)
        reached[width] = f"{error:#.2g}"
        assert f"G4c to {error:.2g} % after {found.num_draws:,} networks" in said
        network = nnft.network("erf-net", width=width, input_dim=1, bias_std=1.0)
        assert_same_bits(
            found,
            nnft.measure_correlators(
                network,
                X,
                (2, 4, 6),
                num_draws=MOST,
                key=key,
                target_error=TARGET,
            ),
        )
    assert saved(tmp_path, "width_5_moments").num_draws == 2000

    page = finished.report.read_text(encoding="utf-8")
    numbers = [saved(tmp_path, f"width_{w}_conditional").num_draws for w in (5, 20)]
    assert numbers[0] != numbers[1]
    assert (
        f"{numbers[0]:,} at width 5, {numbers[1]:,} at width 20 (conditional); "
        "2,000 (moments)"
    ) in page
    text = page.replace("\u00a0", " ")
    assert (
        f"{reached[5]} % at width 5, {reached[20]} % at width 20, "
        f"{reached[10]} % in the data of the fit; target 2.0 %"
    ) in text
    # The lines of Python that it prints measure the same.
    names = {}
    exec(python_lines(finished.results), names)  # our own text
    assert_same_bits(names["correlators"], saved(tmp_path, "fit_data"))


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_it_ends_as_if_never_interrupted_wherever_it_goes_on(tmp_path):
    for name in ("whole", "ended"):
        (tmp_path / name).mkdir()
    whole, ended = tmp_path / "whole", tmp_path / "ended"
    run_study(study_in(whole))
    told = []

    def stop(progress):
        told.append(progress)
        if len(told) in (3, 20):
            raise KeyboardInterrupt

    for options in ({}, {"devices": 1}, {"memory": 1 << 20}):
        try:
            run_study(study_in(ended), progress=stop, **options)
        except KeyboardInterrupt:
            continue
        break
    assert len(told) > 20
    for name in ("width_5_conditional", "width_20_conditional", "fit_data"):
        assert_same_bits(saved(whole, name), saved(ended, name))
    fits = [nnft.load(folder / "run" / "fit.nc") for folder in (whole, ended)]
    np.testing.assert_array_equal(fits[0].dimensionless, fits[1].dimensionless)


@pytest.mark.slow
def test_a_target_that_is_missed_is_said_to_be(tmp_path):
    said = []
    text = STUDY.replace(f"num_draws = {MOST}", "num_draws = 2000")
    finished = run_study(study_in(tmp_path, text), say=said.append)
    error = 100 * error_of_g4c(saved(tmp_path, "fit_data"))
    assert f"G4c to {error:.2g} % after 2,000 networks, the most allowed" in said
    text = finished.report.read_text(encoding="utf-8").replace("\u00a0", " ")
    assert f"{error:#.2g} % in the data of the fit (missed); target" in text
    assert "2,000 (conditional); 2,000 (moments)" in text


def test_a_study_without_a_target_is_the_study_it_was(tmp_path):
    study = study_in(tmp_path, STUDY.replace("target_error", "# "))
    assert study.ensemble.target_error is None
    assert "target_error" not in study.record()["ensemble"]
    assert study_in(tmp_path).record()["ensemble"]["target_error"] == TARGET


@pytest.mark.parametrize("bad", ["0", "-0.1", "inf", "nan", "true", '"1 %"'])
def test_a_bad_target_is_refused_by_its_key(tmp_path, bad):
    text = STUDY.replace(f"target_error = {TARGET}", f"target_error = {bad}")
    with pytest.raises(
        nnft.SpecError, match=r"`ensemble\.target_error` is .*a number > 0"
    ):
        study_in(tmp_path, text)


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_a_cluster_may_do_the_work(tmp_path):
    text = STUDY.replace("widths = [5, 20]", "widths = [5]").replace("plain", "# ")
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as workers:
        run_study(study_in(tmp_path, text), scheduler=workers.scheduler_address)
    found = saved(tmp_path, "width_5_conditional")
    (tmp_path / "here").mkdir()
    run_study(study_in(tmp_path / "here", text))
    assert_same_bits(found, saved(tmp_path / "here", "width_5_conditional"))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--devices", "99", "`--devices` is 99"),
        ("--devices", "0,99", "there is no device 99"),
        ("--memory", "5kB", "`--memory` is 5000"),
        ("--memory", "much", "`--memory much` is no size"),
        ("--scheduler", "nowhere", "no Dask scheduler answers at 'nowhere'"),
    ],
)
def test_a_machine_that_is_not_there_is_refused_first(tmp_path, option, value, message):
    study_in(tmp_path)
    result = run("study", tmp_path / "study.toml", option, value, code=2)
    assert message in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"study.toml"}


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
def test_events_tell_steps_and_progress(tmp_path, monkeypatch):
    monkeypatch.setattr("nnft_ppl.cli.studies._finish", print_nothing)
    study_in(tmp_path)
    arguments = ("study", tmp_path / "study.toml", "-o", tmp_path / "run")
    result = run(*arguments, "--json", "--devices", "1", "--memory", "50MB")
    events = [json.loads(line) for line in result.stderr.splitlines()]
    assert {event["event"] for event in events} == {"step", "progress"}
    steps = [event["message"] for event in events if event["event"] == "step"]
    assert steps[0] == (
        f"width 5, G4c to 2 % by at most {MOST:,} networks, conditional"
    )
    ends = [e["num_draws"] for e in events if e.get("num_draws") == e.get("total", 0)]
    assert len(ends) >= 5  # two estimators at two widths, and the data of the fit
    quiet = run(*arguments, "--rerun").stderr
    assert quiet.splitlines() == steps  # no terminal, no bar


@pytest.mark.slow
@pytest.mark.usefixtures("no_page")
@pytest.mark.filterwarnings("always:.*is damaged")
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_damaged_checkpoint_is_told_in_a_line(tmp_path, monkeypatch, form):
    monkeypatch.setattr("nnft_ppl.cli.studies._finish", print_nothing)
    study = study_in(tmp_path)

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(study, progress=stop)
    (sums,) = (tmp_path / "run" / "correlators").glob("*.sums")
    sums.write_bytes(sums.read_bytes()[:-100])
    arguments = ("study", tmp_path / "study.toml", "-o", tmp_path / "run", *form)
    (line,) = (x for x in run(*arguments).stderr.splitlines() if "damaged" in x)
    if form:
        assert json.loads(line)["event"] == "warning"
    else:
        assert line.startswith(f"warning: `{sums}` is damaged (")
        assert line.endswith("; starting anew")


def print_nothing(*_):
    """In place of the checks of a fit that was not loaded."""


def test_samples_tell_events(tmp_path):
    arguments = ("sample", "erf-net", "--width", 5, "--num-draws", 3000)
    found, events = document(*arguments, "-o", tmp_path / "s.nc")
    assert found["num_draws"] == 3000
    assert events[-1]["event"] == "progress"
    assert events[-1]["num_draws"] == events[-1]["total"] == 3000
    assert run(*arguments, "-o", tmp_path / "t.nc").stderr == ""
