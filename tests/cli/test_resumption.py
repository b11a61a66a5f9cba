"""What a command's files mean, one process at a time, and what killed ones leave."""

import subprocess
import sys
import time
from contextlib import suppress

import jax
import pytest
from cli.commands import run
from toy_study import TOY

import nnft_ppl as nnft
from nnft_ppl._checkpoint import previous
from nnft_ppl._files import one_writer
from nnft_ppl.cli.resumption import Files

NETWORK = ("erf-net", "--width", 3, "--points", "-1,0.4")
MEASURE = ("correlators", *NETWORK, "--num-draws", 2000)


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path / "out.nc")


def held(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize(
    "command",
    [
        MEASURE,
        (*MEASURE[:-2], "--exact"),
        ("sample", *NETWORK),
        ("fit", "data.nc", "--operator", "lambda_0", "--cutoff", 10),
    ],
    ids=["measured", "exact", "sample", "fit"],
)
def test_a_second_command_on_one_output_is_refused(tmp_path, command):
    output = tmp_path / "out.nc"
    with one_writer(output):
        said = run(*command, "-o", output, code=2).stderr
        forced = run(*command, "--force", "-o", output, code=2).stderr
    assert said == forced
    assert len(said.splitlines()) == 1
    assert f"`{output}` is being written by process " in said
    assert held(tmp_path) == {}


def test_a_second_study_in_one_directory_is_refused(tmp_path):
    study = tmp_path / "toy.toml"
    study.write_text(TOY)
    (tmp_path / "run").mkdir()
    with one_writer(tmp_path / "run"):
        for command in (("study", study, "-o"), ("report",)):
            said = run(*command, tmp_path / "run", code=2).stderr
            assert "run` is being written by process " in said
    assert list((tmp_path / "run").iterdir()) == []


def test_what_killed_commands_left_is_removed_and_nothing_else(files, tmp_path):
    left = (".out.nc.4711.tmp", ".out.nc.sums.0f.tmp", ".out.partial.nc.3.tmp")
    mine = ("out.nc.tmp", ".other.nc.4711.tmp", "out.nc.sums.mine")
    for name in (*left, *mine):
        (tmp_path / name).touch()
    run(*MEASURE, "-o", files.output)
    assert set(held(tmp_path)) == {"out.nc", "out.nc.sums", *mine}


class Killed(BaseException):
    """Stands for SIGKILL."""


def test_killed_before_new_work_is_saved_the_old_is_all_there(
    files, tmp_path, monkeypatch
):
    """--force: what there was comes back, unless new sums took its place."""
    run(*MEASURE, "-o", files.output)
    previous(files.sums).write_bytes(files.sums.read_bytes())
    before = held(tmp_path)

    def killed():
        raise Killed

    with monkeypatch.context() as patch:
        # A killed process puts nothing back either.
        patch.setattr(Files, "_settle", lambda self: None)
        with suppress(Killed), files.begun_anew() as remove_old:
            remove_old()
            assert not files.sums.exists()
            killed()
    assert files.output.read_bytes() == before["out.nc"]
    assert "exists; give --force" in run(*MEASURE, "-o", files.output, code=2).stderr
    assert held(tmp_path) == before

    with monkeypatch.context() as patch:
        patch.setattr(Files, "_settle", lambda self: None)
        patch.setattr(Files, "_remove_old", lambda self: None)
        with suppress(Killed), files.begun_anew():
            files.sums.write_bytes(before["out.nc.sums"])
            killed()
    run(*MEASURE, "-o", files.output)  # the new sums count, the old ones are gone
    assert set(held(tmp_path)) == {"out.nc", "out.nc.sums"}


def test_the_place_of_partial_correlators_may_be_taken(files):
    network = nnft.network("erf-net", width=3, input_dim=1)
    key = jax.random.key(0)
    ours, other = (
        nnft.measure_correlators(network, x, num_draws=2000, key=key)
        for x in ([-1.0, 0.4], [-1.0, 0.5])
    )
    other.save(files.partial)
    before = files.partial.read_bytes()
    assert files.save_partial(ours) is None
    files.finish(ours)
    assert files.partial.read_bytes() == before
    files.partial.unlink()
    for _ in range(2):
        assert files.save_partial(ours) == files.partial
    files.finish(ours)
    assert not files.partial.exists()


def test_what_is_no_sums_is_kept_when_work_is_begun_anew(files, tmp_path):
    files.sums.write_bytes(b"sums of somebody else")
    run(*MEASURE, "--force", "-o", files.output)
    assert sorted(held(tmp_path)) == ["out.nc", "out.nc.sums", "out.nc.sums.damaged"]
    aside = tmp_path / "out.nc.sums.damaged"
    assert aside.read_bytes() == b"sums of somebody else"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["correlators", "fit", "study"])
def test_of_two_at_once_exactly_one_wins(command, tmp_path):
    data, output = tmp_path / "data.nc", tmp_path / "out.nc"
    arguments = {
        "correlators": ("correlators", *NETWORK, "--num-draws", 10**6, "-o", output),
        "fit": ("fit", data, "--operator", "lambda_0", "--cutoff", 10, "-o", output),
        "study": ("study", tmp_path / "toy.toml", "-o", tmp_path / "run"),
    }[command]
    (tmp_path / "toy.toml").write_text(TOY)
    if command == "fit":
        run("correlators", *NETWORK, "--exact", "-o", data)
    program = "from nnft_ppl.cli import main; main()"
    two = [
        subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    begun = time.monotonic()
    first = None
    while first is None and time.monotonic() - begun < 300:
        first = next((p for p in two if p.poll() is not None), None)
        time.sleep(0.01)
    (other,) = (p for p in two if p is not first)
    assert first.returncode == 2
    assert f"is being written by process {other.pid}" in first.communicate()[1]
    other.communicate(timeout=300)
    assert other.returncode == 0
    found = nnft.load(tmp_path / "run" / "fit.nc" if command == "study" else output)
    if command == "correlators":
        assert found.num_draws == 10**6
    assert not [p for p in tmp_path.rglob(".*")]
