"""Damaged files are refused: never read as another result, never a traceback.

Files with a seal without exception. In those that earlier versions wrote without one
some damage cannot be noticed; there the process survives, and errors are ours.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
from cli.commands import run
from release_files import KINDS, NEWEST, SUMS, file_of

import nnft_ppl as nnft
from nnft_ppl._checkpoint import CheckpointWarning, load_checkpoint

FEW, MANY = 60, 300
"""Damages a kind of file; the second is 2100 in all."""


def flipped(data, rng):
    """One bit."""
    changed = bytearray(data)
    changed[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return bytes(changed)


def flipped_in_the_record(data, rng):
    """One bit of the JSON that says what the arrays are."""
    start = max(data.find(b'{"'), data.find(b'{\0\0\0"'))  # NumPy's texts are wide
    changed = bytearray(data)
    changed[start + rng.integers(min(500, len(data) - start))] ^= 1 << rng.integers(8)
    return bytes(changed)


def _run(data, rng):
    """Where a run of bytes begins and ends."""
    first = rng.integers(len(data))
    return first, min(len(data), first + int(2 ** rng.uniform(0, 12)))


def overwritten(data, rng):
    """A run of bytes by random ones."""
    first, last = _run(data, rng)
    return data[:first] + rng.bytes(last - first) + data[last:]


def zeroed(data, rng):
    """A run of bytes, as of a sector that was never written."""
    first, last = _run(data, rng)
    return data[:first] + bytes(last - first) + data[last:]


def cut(data, rng):
    """The end is missing."""
    return data[: rng.integers(len(data))]


def lengthened(data, rng):
    """Something follows the end."""
    return data + rng.bytes(1 + rng.integers(4096))


def missing(data, rng):
    """A run of bytes is left out."""
    first, last = _run(data, rng)
    return data[:first] + data[last:]


def swapped(data, rng):
    """Two blocks in each other's place."""
    size = int(2 ** rng.uniform(0, 9))
    a, b = sorted(size * rng.choice(len(data) // size, 2, replace=False))
    return (
        data[:a] + data[b : b + size] + data[a + size : b] + data[a : a + size]
    ) + data[b + size :]


DAMAGES = (
    flipped,
    flipped_in_the_record,
    overwritten,
    zeroed,
    cut,
    lengthened,
    missing,
    swapped,
)


def damaged(data, number):
    """Every kind of damage in turn, and always a change."""
    rng = np.random.default_rng([14, number])
    while (changed := DAMAGES[number % len(DAMAGES)](data, rng)) == data:
        pass
    return changed


def refuses(path):
    """Require that the file is refused, and in one line."""
    with pytest.raises(nnft.SpecError) as caught:
        nnft.load(path)
    assert path.name in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 300 + len(str(path))


def sets_aside(path):
    """Require that a damaged checkpoint is named and not used."""
    with pytest.warns(CheckpointWarning, match=r"is damaged.*kept as.*starting anew"):
        assert load_checkpoint(path, {}) is None
    assert not path.exists()


@pytest.mark.parametrize(
    "numbers",
    [range(FEW), pytest.param(range(FEW, MANY), marks=pytest.mark.slow)],
    ids=["few", "many"],
)
@pytest.mark.parametrize("name", [*(f"{kind}.nc" for kind in KINDS), SUMS])
def test_no_damage_to_a_sealed_file_goes_unnoticed(name, numbers, tmp_path):
    good = file_of(NEWEST, name)
    for number in numbers:
        (tmp_path / name).write_bytes(damaged(good, number))
        (sets_aside if name == SUMS else refuses)(tmp_path / name)


LOADS = """
import collections, json, sys, warnings
import nnft_ppl as nnft

warnings.simplefilter("ignore")
outcomes = []
for path in sys.argv[1:]:
    try:
        nnft.load(path)
    except nnft.NnftError as error:
        outcomes.append(str(error))
    else:
        outcomes.append(None)
print(json.dumps(outcomes))
"""


@pytest.mark.parametrize(
    "numbers",
    [range(1), pytest.param(range(1, 12), marks=pytest.mark.slow)],
    ids=["few", "many"],
)
def test_damage_to_a_file_of_an_earlier_version_ends_no_process(numbers, tmp_path):
    """HDF5 crashes and hangs on some; another process finds that out."""
    paths = []
    for kind in KINDS:
        good = file_of("0.2.0", f"{kind}.nc")
        for number in numbers:
            paths.append(tmp_path / f"{kind}{number}.nc")
            paths[-1].write_bytes(damaged(good, number + len(paths)))
    done = subprocess.run(
        [sys.executable, "-c", LOADS, *paths], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    refusals = [said for said in outcomes if said is not None]
    assert len(refusals) > len(outcomes) / 3
    assert all(len(said.splitlines()) == 1 for said in refusals)


@pytest.mark.parametrize(
    "command",
    [
        ("fit", "FILE", "--operator", "lambda_0", "--cutoff", 10, "-o", "OUT"),
        ("diagnose", "FILE"),
        ("correlators", "relu-net", "--width", 20, "--extend", "2x", "-o", "FILE"),
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("damage", [flipped, cut, zeroed], ids=lambda d: d.__name__)
@pytest.mark.parametrize("release", [NEWEST, "0.2.0"])
def test_commands_refuse_damaged_files_in_one_line(command, damage, release, tmp_path):
    path = tmp_path / "damaged.nc"
    good = file_of(release, "measured.nc")
    # Whoever wrote no seal notices what HDF5 does.
    place = good if release == NEWEST else good[:64]
    path.write_bytes(damage(place, np.random.default_rng(1)) + good[len(place) :])
    places = {"FILE": path, "OUT": tmp_path / "out.nc"}
    said = run(*(places.get(word, word) for word in command), code=2).stderr
    assert len(said.splitlines()) == 1
    assert "damaged" in said
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
