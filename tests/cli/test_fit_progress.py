"""`--json` tells how far a fit has come, as it does of a measurement."""

import json

import jax
import pytest
from cli.commands import document, run

import nnft_ppl as nnft
from nnft_ppl.ensemble.progress import Pace

LENGTH = {"num_warmup": 30, "num_samples": 20, "num_chains": 2}
STEPS = 50
FIT = (
    *("--operator", "lambda_0", "--cutoff", 10),
    *("--num-warmup", 30, "--num-samples", 20, "--num-chains", 2),
)
STUDY = """
[network]
architecture = "erf-net"
widths = [3]

[inputs]
points = [0.5, 1.0]

[ensemble]
num_draws = 5000

[eft]
width = 5
data = "exact"
operators = ["lambda_0"]
cutoffs = [10]
num_warmup = 30
num_samples = 20
num_chains = 2
"""


@pytest.fixture
def correlators(tmp_path):
    network = nnft.network("erf-net", width=5, input_dim=1)
    nnft.exact_correlators(network, [0.5, 1.0], (2, 4)).save(tmp_path / "c.nc")
    return tmp_path / "c.nc"


def assert_tell_steps(events):
    """From some of the steps to all, in the shape of those of a measurement."""
    assert len(events) >= 2
    for event in events:
        assert set(event) == {
            *("event", "num_draws", "total", "steps_per_second", "seconds_left"),
            *("relative_error", "memory_bytes"),
        }
        assert event["event"] == "progress"
        assert event["total"] == STEPS
        assert event["steps_per_second"] > 0
        assert event["memory_bytes"] > 10_000_000
    done = [event["num_draws"] for event in events]
    assert 0 < done[0] < done[-1] == STEPS
    assert events[-1]["seconds_left"] == 0


@pytest.mark.slow
def test_a_fit_tells_its_steps(correlators, tmp_path):
    found, events = document("fit", correlators, *FIT, "-o", tmp_path / "fit.nc")
    assert found["output"] == str(tmp_path / "fit.nc")
    assert_tell_steps(events)
    assert run("fit", correlators, *FIT, "-o", tmp_path / "two.nc").stderr == ""


def test_a_function_is_told_of_the_steps(correlators):
    told = []
    nnft.fit_couplings(
        nnft.load(correlators),
        nnft.Action(["lambda_0"]),
        [10.0],
        key=jax.random.key(0),
        progress=told.append,
        **LENGTH,
    )
    assert [told[0].num_draws, told[-1].num_draws] == [4, STEPS]
    assert {(moment.unit, moment.total) for moment in told} == {("steps", STEPS)}


def test_an_interrupted_fit_tells_where_it_goes_on(correlators, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Pace, "at", stop)
    output = tmp_path / "fit.nc"
    result = run("fit", correlators, *FIT, "-o", output, "--json", code=130)
    (event,) = map(json.loads, result.stderr.splitlines())
    assert event["event"] == "interrupted"
    assert event["checkpoint"] == f"{output}.checkpoint"
    assert "NUTS stopped after 4 of 30 steps" in event["message"]
    monkeypatch.undo()
    _, events = document("fit", correlators, *FIT, "-o", output)
    assert events[-1]["num_draws"] == STEPS


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*(R-hat|converge|divergen|Pareto|ESS)")
def test_a_study_tells_the_steps_of_its_fit(tmp_path, monkeypatch):
    monkeypatch.setattr("nnft_ppl.study.run.write_page", lambda *_, **__: None)
    monkeypatch.setattr("nnft_ppl.cli.studies._finish", lambda *_: None)
    monkeypatch.setattr("nnft_ppl.cli.events._EVENT_SECONDS", 0.0)
    (tmp_path / "study.toml").write_text(STUDY)
    result = run(
        "study", tmp_path / "study.toml", "-o", tmp_path / "run", "--json", code=0
    )
    events = [json.loads(line) for line in result.stderr.splitlines()]
    steps = [event["event"] for event in events]
    begun = max(i for i, event in enumerate(steps) if event == "step")
    assert events[begun]["message"] == "fit of lambda_0 at 1 cutoffs, nuts"
    assert_tell_steps(events[begun + 1 :])
