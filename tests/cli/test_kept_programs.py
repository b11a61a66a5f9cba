"""Compiled programs between commands: taken again, to the same bits, and bounded."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from cli.commands import run

import nnft_ppl as nnft
from nnft_ppl.cli import kept_programs, main
from nnft_ppl.cli.kept_programs import (
    keeping_none,
    keeping_programs,
    tidy,
    what_is_kept,
    why_unusable,
)

SAMPLE = ("sample", "erf-net", "--width", 5, "--num-draws", 50, "-o")
COUNTED = """
import json, sys
from collections import Counter
import jax
from nnft_ppl.cli import main
events = Counter()
jax.monitoring.register_event_listener(lambda name, **_: events.update([name]))
main(sys.argv[1:], standalone_mode=False)
print(json.dumps(events))
"""
"""A command that tells what JAX's cache did."""


def begin(cache, *arguments):
    """A process of its own, with its user's caches in this folder."""
    return subprocess.Popen(
        [sys.executable, "-c", COUNTED, *map(str, arguments)],
        env={
            **os.environ,
            "XDG_CACHE_HOME": str(cache),
            "JAX_ENABLE_COMPILATION_CACHE": "true",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def hits_and_misses(process):
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    events = json.loads(out.splitlines()[-1])
    return [
        events.get(f"/jax/compilation_cache/cache_{name}", 0)
        for name in ("hits", "misses")
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME names the folder")
def test_the_second_run_compiles_nothing_and_gives_the_same_bits(tmp_path):
    """Two at once begin with nothing; a third finds half a program among the others."""
    output = [tmp_path / f"{number}.nc" for number in range(4)]
    together = [begin(tmp_path, *SAMPLE, path) for path in output[:2]]
    (_, first), (_, second) = map(hits_and_misses, together)
    folder = tmp_path / "nnft_ppl" / "programs"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    kept = sorted(folder.glob("*-cache"))
    assert first + second >= len(kept) > 1
    kept[0].write_bytes(kept[0].read_bytes()[:100])
    hits, misses = hits_and_misses(begin(tmp_path, *SAMPLE, output[2]))
    assert (hits, misses) == (len(kept) - 1, 1)
    run(*SAMPLE, output[3], "--no-cache")
    values = [nnft.load(path).values for path in output]
    for found in values[1:]:
        np.testing.assert_array_equal(found, values[0])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The user's, while JAX has been told of none."""
    found = tmp_path / "user" / "programs"
    monkeypatch.setattr(kept_programs, "programs_folder", lambda: found)
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield found
    jax.config.update("jax_compilation_cache_dir", before)


def settings():
    return (
        jax.config.jax_compilation_cache_dir,
        jax.config.jax_persistent_cache_min_entry_size_bytes,
    )


def test_settings_hold_within_a_command_and_are_as_before_after_it(folder):
    before = settings()
    with keeping_programs():
        assert settings() == (str(folder), -1)
    assert settings() == before == (None, 0)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_the_user_chose_is_left_as_it_is(folder, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    with keeping_programs():
        assert settings() == (str(tmp_path), 0)
        assert what_is_kept()["folder"] == str(tmp_path)
    assert not folder.exists()
    with keeping_none():
        assert settings() == (None, 0)
    assert settings() == (str(tmp_path), 0)


def test_where_nothing_can_be_kept_the_work_is_done_all_the_same(folder):
    folder.parent.write_text("no folder")
    with keeping_programs():
        assert settings() == (None, 0)
        found = what_is_kept()
    assert found["unused"].startswith("it cannot be made: ")
    assert found["bytes"] is None


@pytest.mark.skipif(os.name != "posix", reason="modes and owners")
def test_programs_that_others_may_have_put_there_are_not_run(tmp_path, monkeypatch):
    assert why_unusable(tmp_path) is None
    tmp_path.chmod(0o770)
    assert why_unusable(tmp_path) == "others may write there; chmod 700 it"
    tmp_path.chmod(0o700)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert why_unusable(tmp_path) == "it cannot be written"
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    assert why_unusable(tmp_path) == "it belongs to another user"


def test_what_was_used_last_stays_within_the_bound(tmp_path):
    inner = tmp_path / "of_xla"
    inner.mkdir()
    for number, path in enumerate([tmp_path / "a", inner / "b", tmp_path / "c"]):
        path.write_bytes(bytes(100))
        os.utime(path, (number, number))
    (tmp_path / "empty").touch()
    os.utime(tmp_path / "a", (5, 0))  # written first, and read last
    tidy(tmp_path, max_bytes=250)
    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["a", "c"]


@pytest.mark.parametrize("leaving", [SystemExit, KeyboardInterrupt])
def test_a_command_that_added_something_tidies_however_it_ends(folder, leaving):
    def command():
        with keeping_programs():
            (folder / "empty-cache").touch()
            raise leaving

    with pytest.raises(leaving):
        command()
    assert list(folder.iterdir()) == []


def test_the_doctor_says_how_much_is_kept(folder):
    with keeping_programs():
        (folder / "x-cache").write_bytes(bytes(100))
        assert what_is_kept() == {
            "folder": str(folder),
            "unused": None,
            "bytes": 100,
            "most_bytes": kept_programs.MAX_BYTES,
        }
    assert what_is_kept()["unused"] == "--no-cache"


def test_every_command_that_compiles_can_do_without():
    without = {
        name
        for name, command in main.commands.items()
        if not any("--no-cache" in parameter.opts for parameter in command.params)
    }
    assert without == {"architectures", "new-plugin"}


def test_only_commands_keep_programs():
    """A program that imports the library has settings of its own."""
    package = Path(nnft.__file__).parent
    files = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "compilation_cache" in path.read_text(encoding="utf-8")
    }
    assert files == {"cli/kept_programs.py"}
