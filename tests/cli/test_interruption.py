"""Killed and ended at random moments, the same command goes on, to the same bits."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from cli.commands import run

import nnft_ppl as nnft

PROGRAM = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
if hasattr(os, "sched_setaffinity"):  # as slow on a large machine as on a small one
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
from nnft_ppl.cli import main
from nnft_ppl.ensemble import saving
from nnft_ppl.correlators.sampled import job
saving.SAVE_SECONDS = 0.02
sums = job.Job.sums

def slow_sums(*arguments):
    time.sleep(float(os.environ["SECONDS_A_BLOCK"]))
    return sums(*arguments)

job.Job.sums = slow_sums
main(sys.argv[1:])
"""
NUM_DRAWS = 5_000_000
"""Many blocks, and a last one that is none."""
POINTS = [-1.0, 0.3, 1.2]
COMMAND = ("correlators", "erf-net", "--width", "40", "--points=-1,0.3,1.2")


@pytest.fixture
def start(tmp_path):
    """Start a command in a process of its own, slow enough to be hit."""

    def command(*arguments, seconds_a_block=0.5):
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *COMMAND, *map(str, arguments)],
            env={
                **os.environ,
                "SECONDS_A_BLOCK": str(seconds_a_block),
                "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs"),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return command


def written(path):
    """When a file was written; 0 before, and between its two renames."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def end_after_a_save(process, sums, delay, sent):
    """Send a signal `delay` seconds after the sums are saved; whether it was hit."""
    before = written(sums)
    while written(sums) in (0, before):
        if process.poll() is not None:
            return False
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(sent)
    process.wait(timeout=60)
    return process.returncode != 0


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_as_if_never(start, tmp_path):
    output, delay = tmp_path / "out.nc", random.Random(7)
    sums = tmp_path / "out.nc.sums"
    arguments = ("--num-draws", NUM_DRAWS, "-o", output, "--json")
    reached, hits = [], {signal.SIGKILL: 0, signal.SIGTERM: 0}
    for sent in 2 * [signal.SIGKILL, signal.SIGTERM]:
        process = start(*arguments)
        hit = end_after_a_save(process, sums, delay.uniform(0, 0.1), sent)
        printed, said = process.communicate()
        events = [json.loads(line) for line in said.splitlines()]
        if reached:
            assert events[0]["event"] == "resumed"
            reached.append(events[0]["num_draws"])
        else:
            assert events[0]["event"] == "progress"
            reached.append(0)
        hits[sent] += hit
        assert printed == ""
        assert not output.exists()
        if sent == signal.SIGTERM:
            assert process.returncode == 130
            last = events[-1]
            assert last["event"] == "interrupted"
            assert last["checkpoint"] == str(sums)
            partial = nnft.load(last["partial"])
            assert partial.num_draws == last["num_draws"] >= reached[-1]
    assert hits == {signal.SIGKILL: 2, signal.SIGTERM: 2}
    assert reached == sorted(set(reached))  # every attempt came further
    process = start(*arguments, seconds_a_block=0)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    names = {path.name for path in tmp_path.iterdir()} - {"programs"}
    assert names == {"out.nc", "out.nc.sums"}
    network = nnft.network("erf-net", width=40, input_dim=1)
    whole = nnft.measure_correlators(
        network, POINTS, num_draws=NUM_DRAWS, key=jax.random.key(0)
    )
    found = nnft.load(output)
    assert found.num_draws == whole.num_draws
    for order in whole.orders:
        np.testing.assert_array_equal(found.connected(order), whole.connected(order))
    np.testing.assert_array_equal(found.joint_covariance, whole.joint_covariance)


@pytest.mark.slow
def test_ctrl_c_says_in_one_line_how_to_go_on(start, tmp_path):
    output, sums = tmp_path / "out.nc", tmp_path / "out.nc.sums"
    output.write_text("old")
    process = start("--num-draws", NUM_DRAWS, "-o", output, "--force")
    assert end_after_a_save(process, sums, 0, signal.SIGINT)
    printed, said = process.communicate()
    assert process.returncode == 130
    assert printed == ""
    (line,) = said.splitlines()
    partial = tmp_path / "out.partial.nc"
    assert line.startswith("nnft: interrupted after ")
    assert f"networks, their correlators in {partial}; the same command" in line
    assert line.endswith(f"without --force goes on from {sums}")
    assert f"{nnft.load(partial).num_draws:,} networks" in line
    # What it was to replace is gone, so that without --force it does go on.
    assert not output.exists()


@pytest.mark.slow
def test_an_extension_that_was_ended_goes_on(start, tmp_path):
    output, sums = tmp_path / "out.nc", tmp_path / "out.nc.sums"
    run(*COMMAND, "--num-draws", 200_000, "-o", output)
    arguments = ("--extend", "20x", "-o", output, "--json")
    process = start(*arguments)
    assert end_after_a_save(process, sums, 0.05, signal.SIGTERM)
    process.communicate()
    assert process.returncode == 130
    # What is finished stays until there is more.
    assert nnft.load(output).num_draws == 200_000
    process = start(*arguments, seconds_a_block=0)
    printed, said = process.communicate(timeout=120)
    events = [json.loads(line) for line in said.splitlines()]
    assert [event["event"] for event in events[:2]] == ["extending", "resumed"]
    assert events[1]["num_draws"] > 200_000
    assert json.loads(printed)["num_draws"] == 4_000_000
    names = {path.name for path in tmp_path.iterdir()} - {"programs"}
    assert names == {"out.nc", "out.nc.sums"}
