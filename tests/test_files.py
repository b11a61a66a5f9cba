"""Writing files in one step, seals, and locks."""

import subprocess
import sys
import threading

import pytest

from nnft_ppl import SpecError, StorageError
from nnft_ppl._files import one_writer, remove_half_written, replace, sealed, unsealed

HOLDER = """
import sys, time
from pathlib import Path
from nnft_ppl._files import one_writer
with one_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_every_changed_bit_and_every_cut_breaks_the_seal():
    data = sealed(b"abc\n")
    assert unsealed(data) == b"abc\n"
    for place in range(len(data)):
        assert unsealed(data[:place]) is None
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            assert unsealed(bytes(changed)) is None
    assert unsealed(data + b"x") is None
    assert unsealed(sealed(b"")) == b""


def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    replace(tmp_path / "a", b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"a` cannot be written \(No space left"):
        replace(tmp_path / "a", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_what_was_left_half_written_of_this_file_is_removed(tmp_path):
    for name in (".a.nc.0f.tmp", ".a.nc.7.host.tmp", ".b.nc.0f.tmp", "a.nc.tmp"):
        (tmp_path / name).touch()
    remove_half_written(tmp_path / "a.nc")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".b.nc.0f.tmp", "a.nc.tmp"]


def test_a_name_is_no_pattern(tmp_path):
    for name in (".fit[1].nc.0f.tmp", ".fit1.nc.0f.tmp"):
        (tmp_path / name).touch()
    remove_half_written(tmp_path / "fit[1].nc")
    assert [p.name for p in tmp_path.iterdir()] == [".fit1.nc.0f.tmp"]


def test_a_second_writer_is_refused_until_the_first_ends_or_is_killed(tmp_path):
    path = tmp_path / "out.nc"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        named = rf"out\.nc` is being written by process {holder.pid};"
        with pytest.raises(SpecError, match=named), one_writer(path):
            pass
        with one_writer(tmp_path / "other.nc"):
            pass
        # Whoever has made its lock a moment ago has not yet written its name into it.
        young = tmp_path / ".young.nc.lock"
        young.touch()
        record = (tmp_path / ".out.nc.lock").read_bytes()
        threading.Timer(0.2, young.write_bytes, [record]).start()
        named = rf"young\.nc` is being written by process {holder.pid};"
        with pytest.raises(SpecError, match=named), one_writer(tmp_path / "young.nc"):
            pass
        young.unlink()
        holder.kill()
        holder.wait()
    with one_writer(path):
        pass
    assert list(tmp_path.iterdir()) == []
