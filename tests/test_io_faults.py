"""Each call to the system and each allocation on the way to a file fails once.

In the manner of SQLite's I/O error tests: the first one fails, then the second, … until
the work gets through without meeting the fault.
"""

import io
import itertools
import sys
import warnings
from dataclasses import replace
from types import ModuleType

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl import _checkpoint, _files, store
from nnft_ppl._checkpoint import CheckpointWarning, load_checkpoint, save_checkpoint
from nnft_ppl.ensemble import device_sizes, saving
from nnft_ppl.ensemble.device_sizes import CPU

X = [0.2, 0.6, 1.0]
OURS = {_checkpoint.__file__, _files.__file__, store.__file__}
SYSTEM_CALLS = {
    "close",
    "flush",
    "fsync",
    "mkdir",
    "open",
    "read",
    "readall",
    "replace",
    "scandir",
    "unlink",
    "write",
}


def is_system_call(frame, event, called):
    """Of a function of ours, or through pathlib on its behalf."""
    if event != "c_call" or called.__name__ not in SYSTEM_CALLS:
        return False
    if not isinstance(
        called.__self__, ModuleType | io.FileIO | io.BufferedReader | io.BufferedWriter
    ):
        return False  # a file in memory
    for _ in range(4):
        if frame is None or frame.f_code.co_filename in OURS:
            return frame is not None
        frame = frame.f_back
    return False


def is_allocation(frame, event, _):
    """Any call by a function of ours, or of one: all of them need memory."""
    return event in ("call", "c_call") and frame.f_code.co_filename in OURS


FAULTS = {
    "system": (is_system_call, OSError(28, "No space left on device")),
    "memory": (is_allocation, MemoryError()),
}
ERRORS = (nnft.StorageError, MemoryError)


def outcomes(fault, work):
    """What the work raises, or `None`, as its 1st, 2nd, … call fails."""
    fails, error = FAULTS[fault]
    for number in itertools.count(1):
        left = number

        def strike(frame, event, called):
            nonlocal left
            if fails(frame, event, called):
                left -= 1
                if left == 0:
                    raise error  # and Python sets no profile then

        raised = None
        sys.setprofile(strike)
        try:
            work()
        except Exception as caught:
            raised = caught
        finally:
            sys.setprofile(None)
        if left > 0:
            assert raised is None
            assert number > 2
            return
        yield raised


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("fault", FAULTS)
def test_saving_leaves_the_old_file_or_the_new_one(fault, tmp_path):
    net = nnft.network("relu-net", width=4, input_dim=1)
    path = tmp_path / "c.nc"
    nnft.exact_correlators(net, X, 2).save(path)
    old = path.read_bytes()
    thing = nnft.exact_correlators(net, [0.3, 0.5], 2)
    thing.save(path)
    new = path.read_bytes()
    path.write_bytes(old)
    failed = 0
    for raised in outcomes(fault, lambda: thing.save(path)):
        assert raised is None or isinstance(raised, ERRORS)
        assert path.read_bytes() in ([old, new] if raised else [new])
        assert names(tmp_path) == ["c.nc"]
        thing.save(path)
        assert path.read_bytes() == new
        path.write_bytes(old)
        failed += raised is not None
    assert failed >= 5


@pytest.mark.parametrize("fault", FAULTS)
def test_loading_fails_without_a_word_of_damage(fault, tmp_path):
    net = nnft.network("relu-net", width=4, input_dim=1)
    thing = nnft.exact_correlators(net, X, 2)
    thing.save(tmp_path / "c.nc")
    for raised in outcomes(fault, lambda: nnft.load(tmp_path / "c.nc")):
        assert raised is None or isinstance(raised, ERRORS)
    assert nnft.load(tmp_path / "c.nc").data.equals(thing.data)


def done(path):
    return load_checkpoint(path, {}).record["done"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(fault, tmp_path):
    path = tmp_path / "sums"

    def save(number):
        save_checkpoint(path, {"done": number}, {"a": np.arange(3.0)})

    save(1)
    save(2)
    for raised in outcomes(fault, lambda: save(3)):
        assert raised is None or isinstance(raised, ERRORS)
        assert done(path) in ([2, 3] if raised else [3])
        assert set(names(tmp_path)) <= {"sums", "sums.previous"}
        save(3)
        assert done(path) == 3
        save(1)
        save(2)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_checkpoint_that_cannot_be_read_is_not_set_aside(fault, tmp_path):
    path = tmp_path / "sums"
    save_checkpoint(path, {"done": 2}, {"a": np.arange(3.0)})
    for raised in outcomes(fault, lambda: load_checkpoint(path, {})):
        assert raised is None or isinstance(raised, (nnft.SpecError, MemoryError))
        assert names(tmp_path) == ["sums"]
        assert done(path) == 2


@pytest.mark.parametrize(
    "fault", ["system", pytest.param("memory", marks=pytest.mark.slow)]
)
def test_a_measurement_outlives_every_fault_of_its_checkpoint(
    fault, tmp_path, monkeypatch
):
    """It warns and goes on, and what it leaves is gone on with to the same bits."""
    monkeypatch.setattr(device_sizes, "CPU", replace(CPU, block_draws=256))
    monkeypatch.setattr(saving, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(saving, "SAVING_SHARE", 1e9)
    net = nnft.network("relu-net", width=4, input_dim=1)
    place = tmp_path / "sums"

    def measure(num_draws, checkpoint=place):
        return nnft.measure_correlators(
            net, X, 2, num_draws=num_draws, key=jax.random.key(0), checkpoint=checkpoint
        )

    whole = [measure(number, None).connected(2) for number in (512, 768)]
    found = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for raised in outcomes(fault, lambda: found.append(measure(512))):
            told = {warning.category for warning in caught}
            assert told <= {CheckpointWarning}
            if raised is None:
                np.testing.assert_array_equal(found.pop().connected(2), whole[0])
            else:  # whether there is something to go on from is not known
                assert isinstance(raised, (nnft.SpecError, MemoryError))
            np.testing.assert_array_equal(measure(768).connected(2), whole[1])
            assert set(names(tmp_path)) <= {"sums", "sums.previous"}
            for path in tmp_path.iterdir():
                path.unlink()
    assert any("could not be saved" in str(warning.message) for warning in caught)
