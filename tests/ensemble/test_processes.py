"""Two processes do everything here in one go; each test looks at a part of it."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import two_processes
from two_processes import BLOCK, arrays, measure

from nnft_ppl.ensemble.processes import from_first


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("two-processes")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    both = [
        subprocess.Popen(
            [sys.executable, two_processes.__file__, str(rank), str(port), str(place)],
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        output = [process.communicate(timeout=120)[0] for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, -9], output
    return place


def told(folder: Path, rank: int) -> dict:
    return json.loads((folder / f"told-{rank}.json").read_text())


def found(folder: Path, name: str) -> list[np.ndarray]:
    """What both found, after seeing that it is the same."""
    both = []
    for rank in (0, 1):
        with np.load(folder / f"{name}-{rank}.npz") as file:
            both.append([file[key] for key in file.files])
    for one, other in zip(*both, strict=True):
        np.testing.assert_array_equal(one, other)
    return both[0]


@pytest.mark.slow_but("target-8388608-options1")
@pytest.mark.parametrize(
    ("name", "num_draws", "options"),
    [
        ("odd", 7 * BLOCK + 1000, {}),
        ("target", 64 * BLOCK, {"target_error": 0.0028}),
        ("resumed", 256 * BLOCK, {}),
    ],
)
def test_two_processes_give_what_one_gives(
    folder: Path, name: str, num_draws: int, options: dict
):
    alone = arrays(measure(num_draws, **options))
    for one, other in zip(found(folder, name), alone, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_interruption_of_one_ends_both_at_the_same_network(folder: Path):
    number = int(found(folder, "stopped")[0])
    assert 4 * BLOCK <= number < 256 * BLOCK
    for rank in (0, 1):
        message = rf"SamplingInterrupted: interrupted after {number:,} networks; the "
        assert re.match(message, told(folder, rank)["stopped"])


def test_the_first_process_alone_writes_the_checkpoint(folder: Path):
    assert (folder / "sums-0").exists()
    assert not (folder / "sums-1").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("different", r"SpecError: the 2 processes .* were given different work; call"),
        (
            "scheduler",
            r"SpecError: `scheduler` is 'tcp.* in 2 processes .*; use one or",
        ),
        ("foreign", r"SpecError: checkpoint .*sums-0` is of other work: its key is"),
    ],
)
def test_both_refuse(folder: Path, name: str, expected: str):
    for rank in (0, 1):
        assert re.match(expected, told(folder, rank)[name])


def test_results_of_any_kind_are_exchanged_in_order(folder: Path):
    expected = [[start + 1e-12, 0, start] for start in range(9)]
    for rank in (0, 1):
        assert told(folder, rank)["doubled"] == expected


def test_an_error_in_one_ends_both(folder: Path):
    assert told(folder, 1)["failed"] == "MemoryError: too small"
    assert re.match(r"NnftError: processes \[1\] failed", told(folder, 0)["failed"])


def test_a_killed_process_is_noticed_by_the_other(folder: Path):
    assert re.match(r"NnftError: another process .* is lost", told(folder, 0)["killed"])
    assert "killed" not in told(folder, 1)


def test_one_process_has_nothing_to_share():
    assert from_first(lambda: 5) == 5
