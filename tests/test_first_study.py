"""`nnft study --init` and `--dry-run`: a file to begin with, and what it will cost."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import nnft_ppl as nnft
from nnft_ppl.cli import main
from nnft_ppl.ensemble.progress import Progress
from nnft_ppl.study import forecast, read_study
from nnft_ppl.study.first_file import write_first_study

SMALL = """
[network]
architecture = "relu-net"
widths = [2, 3, 4, 8]
[inputs]
points = [0.5, 1.0]
[ensemble]
num_draws = 600
plain_draws = 500
[eft]
width = 3
operators = ["lambda_0"]
cutoffs = [10.0]
num_draws = 700
sampler = "conjugate"
"""


def run(*arguments: object, code: int = 0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.mark.parametrize("name", sorted(nnft.architectures()))
def test_the_first_file_of_every_architecture_is_a_study(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = read_study(write_first_study(name))
    assert found.network.name == name
    assert found.widths == (5, 10, 20, 50, 100)
    assert found.directory == Path("runs") / name
    if found.network.hyperparameters.input_shape == (1,):
        assert found.eft is not None
        assert found.eft.action.names == ("lambda_0",)
    # What stands behind "# " are keys at their defaults: they may all be there.
    text = Path(f"{name}.toml").read_text()
    lines = text.partition("# Networks of every width conditioned")[0].splitlines()
    others = ("file =", "target_error", "candidates")
    every = "\n".join(
        line[2:]
        if line.startswith("# ")
        and " = " in line
        and line[2:].partition(" ")[0] in {*KEYS, *found.network.options}
        and not line[2:].startswith(others)
        else line
        for line in lines
    )
    Path("every.toml").write_text(every)
    again = read_study("every.toml", directory=found.directory)
    assert again.record() == found.record()
    assert text.count("\n# ") > 10


KEYS = {
    *("seed", "estimator", "plain_draws", "scheme", "tolerance", "sampler"),
    *("num_warmup", "num_samples", "num_chains"),
}


def test_a_file_is_not_overwritten_and_a_name_is_checked(tmp_path: Path):
    place = tmp_path / "mine.toml"
    assert json.loads(run("study", "--init", "relu-net", place, "--json").stdout) == {
        "file": str(place)
    }
    before = place.read_bytes()
    refused = run("study", "--init", "relu-net", place, code=2)
    assert "exists, and is not overwritten" in refused.stderr
    assert place.read_bytes() == before
    refused = run("study", "--init", "relunet", tmp_path / "b.toml", code=2)
    assert "did you mean 'relu-net'?" in refused.stderr
    refused = run("study", "--init", "relu-net", tmp_path / "no" / "b.toml", code=2)
    assert "is no folder" in refused.stderr
    refused = run("study", "--init", "relu-net", tmp_path / "b.txt", code=2)
    assert "does not end in .toml" in refused.stderr
    assert "Missing argument 'FILE.toml'" in run("study", code=2).stderr


def test_a_dry_run_tells_what_is_to_do_and_writes_nothing(tmp_path: Path):
    place = tmp_path / "small.toml"
    place.write_text(SMALL)
    options = ("study", place, "-o", tmp_path / "run", "--dry-run")
    found = json.loads(run(*options, "--json").stdout)
    assert [step["num_draws"] for step in found["steps"]] == [600, 500] * 4 + [700, 0]
    assert found["num_draws"] == 4 * 1100 + 700
    assert found["memory_bytes"] > 10_000_000
    assert not any(step["is_finished"] for step in found["steps"])
    assert all(step["seconds"] > 0 for step in found["steps"])
    assert found["seconds"] == pytest.approx(sum(s["seconds"] for s in found["steps"]))
    assert list(tmp_path.iterdir()) == [place]
    refused = run(*options, "--scheduler", "tcp://h:1", code=2)
    assert "`--dry-run` tries this machine" in refused.stderr

    run("study", place, "-o", tmp_path / "run", code=1)  # too few networks
    before = {f: f.read_bytes() for f in (tmp_path / "run").rglob("*") if f.is_file()}
    text = run(*options).stdout
    assert text.count("finished") == 10
    assert "about < 1 s on this machine, 0 networks" in text
    after = {f: f.read_bytes() for f in (tmp_path / "run").rglob("*") if f.is_file()}
    assert after == before


def test_a_trial_stops_when_its_pace_is_steady_and_tells_the_whole(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(forecast.time, "perf_counter", lambda: clock[0])
    seen = []

    def work(monitor):
        clock[0] += 7.0  # of the compiler
        for number in range(10, 1000, 10):
            clock[0] += 0.3
            seen.append(number)
            monitor(Progress(number, 1000, 0.0, 0.0, None, 0))

    seconds = forecast._try(work)
    assert len(seen) < 8
    assert seconds(1000) == pytest.approx(7 + 1000 * 0.03)
    # What ends sooner took what it took.
    assert forecast._try(lambda monitor: work(lambda progress: None))(1) == (
        pytest.approx(7 + 99 * 0.3)
    )


def test_times_between_widths_lie_on_a_power_of_the_width():
    widths = [2, 3, 4, 50, 80, 1000]
    tried = {width: 0.1 * width**0.5 for width in forecast._some(widths)}
    assert sorted(tried) == [2, 50, 1000]
    for width in widths:
        assert forecast._at(width, tried) == pytest.approx(0.1 * np.sqrt(width))
