"""Checkpoints come back equal or not at all, whatever happens to the files."""

import contextlib
import io
import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from nnft_ppl import SpecError
from nnft_ppl._checkpoint import (
    CheckpointWarning,
    _shapes,
    load_checkpoint,
    previous,
    remove_checkpoint,
    save_checkpoint,
    saved_record,
)
from nnft_ppl._files import sealed

WHOSE = {"action": ["lambda_0"], "cutoffs": (10.0, float("inf"))}
ARRAYS = {
    "0.z": np.arange(6.0).reshape(2, 3),
    "file": np.arange(4, dtype=np.uint32),
    "flag": np.array(True),
    "empty": np.zeros((0, 2)),
    "text": np.array(["λ", "Λ"]),
}


def save(path, done, arrays=ARRAYS):
    save_checkpoint(path, {**WHOSE, "done": done}, arrays)


def done(path, whose=WHOSE):
    found = load_checkpoint(path, whose)
    return None if found is None else found.record["done"]


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.nc.checkpoint"


def test_there_is_nothing_before_the_first(path):
    assert load_checkpoint(path, WHOSE) is None


def test_arrays_and_record_come_back_equal(path):
    save(path, 3)
    found = load_checkpoint(path, WHOSE)
    assert_equal(found.arrays, ARRAYS)
    assert found.record == {
        "action": ["lambda_0"],
        "cutoffs": [10.0, float("inf")],
        "done": 3,
    }


def test_the_newest_is_used_and_one_before_it_kept(path):
    for number in range(4):
        save(path, number)
    assert done(path) == 3
    assert done(previous(path)) == 2
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "fit.nc.checkpoint",
        "fit.nc.checkpoint.previous",
    ]


@pytest.mark.parametrize(
    ("whose", "message"),
    [
        ({"action": ["kappa"]}, r"its action is \['lambda_0'\], expected \['kappa'\]"),
        ({"seed": 3}, "its seed is None, expected 3"),
    ],
)
def test_a_checkpoint_of_other_work_is_refused(path, whose, message):
    save(path, 1)
    with pytest.raises(SpecError, match=message):
        load_checkpoint(path, {**WHOSE, **whose})
    assert done(path) == 1


def test_objects_are_not_pickled(path):
    save(path, 1)
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        save(path, 2, {"made": np.array([object()])})
    assert done(path) == 1
    assert [p.name for p in path.parent.iterdir()] == [path.name]


DAMAGES = {
    "truncated": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "empty": lambda _: b"",
    "something else": lambda _: b"not a checkpoint" * 100,
    "a byte of an array": lambda data: data.replace(
        np.float64(4.0).tobytes(), np.float64(5.0).tobytes(), 1
    ),
    "a byte of the record": lambda data: data.replace(b"d\0\0\0o", b"d\0\0\0x", 1),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_named_and_the_one_before_it_used(path, damage):
    save(path, 1)
    save(path, 2)
    data = path.read_bytes()
    path.write_bytes(damage(data))
    assert path.read_bytes() != data
    with pytest.warns(CheckpointWarning, match="checkpoint` is damaged .*previous`"):
        assert done(path) == 1


def test_with_both_damaged_the_work_starts_anew(path):
    save(path, 1)
    save(path, 2)
    for file in (path, previous(path)):
        file.write_bytes(file.read_bytes()[:200])
    with pytest.warns(CheckpointWarning, match="previous` is damaged.*starting anew"):
        assert done(path) is None


def test_no_flipped_byte_goes_unnoticed(path):
    save(path, 7, {"a": np.arange(5.0), "b": np.arange(4, dtype=np.uint32)})
    good = path.read_bytes()
    for place in range(0, len(good), 3):
        bad = bytearray(good)
        bad[place] ^= 0x80 >> place % 8
        path.write_bytes(bad)
        with pytest.warns(CheckpointWarning, match="is damaged"):
            assert load_checkpoint(path, WHOSE) is None


def test_no_flipped_byte_of_a_checkpoint_without_a_seal_changes_what_is_read(path):
    """Those of earlier versions, zip's own tables included."""
    arrays = {"a": np.arange(5.0), "b": np.arange(4, dtype=np.uint32).reshape(2, 2)}
    text = json.dumps({"record": {**WHOSE, "done": 7}, "arrays": _shapes(arrays)})
    data = io.BytesIO()
    np.savez(data, **arrays, record=np.array(text))
    good = data.getvalue()
    noticed = 0
    for place in range(0, len(good), 3):
        bad = bytearray(good)
        bad[place] ^= 0x80 >> place % 8
        path.write_bytes(bad)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = load_checkpoint(path, WHOSE)
        if found is None:
            assert [w.category for w in caught] == [CheckpointWarning]
            noticed += 1
        else:
            assert found.record["done"] == 7
            assert_equal(found.arrays, arrays)
    # What is left are dates, versions and attributes, which say nothing.
    assert noticed > 0.75 * len(good) / 3


def test_a_file_of_another_kind_is_no_checkpoint(path):
    for other in (b"HDF5", b"PK", b""):
        path.write_bytes(sealed(other))
        with pytest.warns(CheckpointWarning, match=r"is damaged \(.+\) and kept"):
            assert load_checkpoint(path, WHOSE) is None


def test_what_is_damaged_is_kept_beside(path):
    save(path, 1)
    save(path, 2)
    path.write_bytes(b"nothing")
    with pytest.warns(CheckpointWarning, match="kept as `fit.nc.checkpoint.damaged`"):
        assert done(path) == 1
    save(path, 3)
    assert done(path) == 3
    assert done(previous(path)) == 1  # the damaged one did not take its place
    assert path.with_name(f"{path.name}.damaged").read_bytes() == b"nothing"


def test_a_look_changes_nothing(path):
    assert saved_record(path) is None
    save(path, 1)
    save(path, 2)
    assert saved_record(path)["done"] == 2
    path.write_bytes(b"nothing")
    assert saved_record(path)["done"] == 1
    assert path.read_bytes() == b"nothing"


def test_a_file_that_cannot_be_read_is_not_taken_for_damaged(path, monkeypatch):
    """Too many open files, a disk that is away: the state in it may be good."""
    save(path, 1)

    def read_bytes(self):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read_bytes)
        with pytest.raises(SpecError, match=r"cannot be read \(Too many open files\)"):
            done(path)
    assert done(path) == 1


def test_nobody_is_advised_to_unpickle(path):
    save(path, 1)
    path.write_bytes(b"Q" + path.read_bytes()[1:])
    with pytest.warns(CheckpointWarning, match="it is no archive"):
        assert done(path) is None


class Killed(BaseException):
    """Stands for a process that ends: no `except Exception` sees it."""


@pytest.mark.parametrize("moment", [0, 1])
@pytest.mark.parametrize("before", ["killed", "done"])
def test_a_good_state_is_left_when_killed_at_a_rename(
    path, monkeypatch, moment, before
):
    save(path, 1)
    save(path, 2)
    renames = []
    replace = Path.replace

    def killed_replace(self, target):
        if before == "done":
            replace(self, target)
        renames.append(target)
        if len(renames) == moment + 1:
            raise Killed
        if before == "killed":
            replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed_replace)
        # A killed process removes no temporary file either.
        patch.setattr(Path, "unlink", lambda self, missing_ok: None)
        with contextlib.suppress(Killed):
            save(path, 3)
    assert len(renames) == moment + 1
    expected = 3 if (moment, before) == (1, "done") else 2
    assert done(path) == expected
    save(path, 4)
    assert done(path) == 4


def test_removing_takes_all_there_is_and_nothing_else(path):
    save(path, 1)
    save(path, 2)
    path.with_name(f".{path.name}.123.tmp").write_bytes(b"half")
    other = path.with_name("other.nc.checkpoint")
    save(other, 1)
    remove_checkpoint(path)
    assert list(path.parent.iterdir()) == [other]
    remove_checkpoint(path)


def test_equal_states_are_equal_bytes_whenever_they_are_written(tmp_path, monkeypatch):
    save(tmp_path / "now", 1)
    monkeypatch.setattr("time.time", lambda: 1e9)
    save(tmp_path / "then", 1)
    assert (tmp_path / "now").read_bytes() == (tmp_path / "then").read_bytes()
