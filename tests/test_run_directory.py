"""A run directory reuses what its study wrote and loses nothing of anybody's."""

import contextlib
import itertools
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnft_ppl import NnftError, SpecError, StorageError
from nnft_ppl import _files as files
from nnft_ppl.study import directory as directories
from nnft_ppl.study.directory import FIT, FIT_DATA, opened
from nnft_ppl.study.manifest import Manifest

RECORD = {"ensemble": {"seed": 3}, "inputs": [[0.5]], "eft": None}
VERSIONS = {"nnft_ppl": "1.0"}


@pytest.fixture(autouse=True)
def not_to_the_disk(monkeypatch):
    """No power is cut here, and waiting for the disk takes longest."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


class Made:
    """What saves itself."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def save(self, path: Path) -> None:
        path.write_bytes(self.data)


def run(
    path: Path,
    *,
    record=RECORD,
    versions=VERSIONS,
    rerun: bool = False,
    data: bytes = b"data",
    fit: bytes = b"fit",
    until: int = 9,
) -> list[str]:
    """A study of three files; what it said, and what it made."""
    said: list[str] = []
    with opened(path, said.append) as directory:
        keep = directory.check(record, versions) and not rerun
        directory.claim("text", keep=keep)
        for name, made in ((FIT_DATA, data), (FIT, fit)):
            if not directory.has(name):
                checkpoint = directory.begin(name)
                if until == 0:
                    checkpoint.write_bytes(b"sums")
                    return said
                said.append(f"made {name}")
                directory.save(name, Made(made))
                directory.end(name)
            until -= 1
        directory.put("report.html", fit + b"'s page")
    return said


def held(path: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(path)): p.read_bytes()
        for p in sorted(path.rglob("*"))
        if p.is_file() and p.name != "manifest.json"
    }


MADE = [f"made {FIT_DATA}", f"made {FIT}"]
WHOLE = {FIT_DATA: b"data", FIT: b"fit", "report.html": b"fit's page"}


def results(path: Path) -> dict[str, bytes]:
    return {n: b for n, b in held(path).items() if n not in ("run.json", "study.toml")}


def test_what_the_study_wrote_is_reused(tmp_path: Path):
    assert run(tmp_path / "run") == MADE
    assert results(tmp_path / "run") == WHOLE
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    assert run(tmp_path / "run") == []
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before


def test_a_moved_study_is_the_same_study(tmp_path: Path):
    run(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    assert run(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("other", [b"foreign", b"fiu"], ids=["foreign", "flipped"])
def test_a_file_that_is_not_the_studys_is_kept_and_said(tmp_path: Path, other: bytes):
    place = tmp_path / "run"
    run(place)
    (place / FIT).write_bytes(other)
    (place / "fit.nc.other").write_bytes(b"mine")
    assert run(place) == [
        "fit.nc is not what this study wrote: kept as fit.nc.other2, made anew",
        f"made {FIT}",
    ]
    kept = {"fit.nc.other": b"mine", "fit.nc.other2": other}
    assert results(place) == WHOLE | kept


def test_whatever_is_in_the_way_is_moved(tmp_path: Path):
    place = tmp_path / "run"
    run(place)
    (place / FIT).unlink()
    (place / FIT).mkdir()
    (place / FIT / "notes").write_text("mine")
    (place / "report.html").unlink()
    (place / "report.html").symlink_to("nowhere")
    said = run(place)
    assert said[0].startswith("fit.nc is not what this study wrote: kept as")
    assert said[-1].startswith("report.html is not what this study wrote: kept as")
    assert results(place) == WHOLE | {"fit.nc.other/notes": b"mine"}
    assert (place / "report.html.other").readlink() == Path("nowhere")


def test_what_is_made_from_other_data_is_made_anew(tmp_path: Path):
    place = tmp_path / "run"
    run(place)
    (place / FIT_DATA).unlink()
    assert run(place, data=b"other data", fit=b"other fit") == [
        f"made {FIT_DATA}",
        "fit.nc is of other data or of another version: made anew",
        f"made {FIT}",
    ]
    assert results(place)[FIT] == b"other fit"
    assert "fit.nc.other" not in results(place)


@pytest.mark.parametrize(
    "how", [{"rerun": True}, {"versions": {"nnft_ppl": "2.0"}}], ids=["rerun", "newer"]
)
def test_what_is_deleted_is_what_the_study_wrote_and_nobody_changed(tmp_path, how):
    place = tmp_path / "run"
    run(place)
    mine = {
        "mine/a.nc": b"x",
        "notes.html": b"y",
        "a.nc": b"z",
        "correlators/my.sums": b"s",
        "correlators/fit_data.nc.sums": b"of mine",
    }
    for name, data in mine.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(data)
    (place / "report.html").write_bytes(b"commented by me")
    with opened(place) as directory:
        directory.check(RECORD, VERSIONS)
        directory.claim("text", keep=False)
    assert results(place) == mine | {"report.html": b"commented by me"}
    said = run(place, **how)
    assert [line for line in said if "made " in line and line in MADE] == MADE
    mine["correlators/fit_data.nc.sums.other"] = mine.pop(
        "correlators/fit_data.nc.sums"
    )
    assert results(place) == WHOLE | mine | {"report.html.other": b"commented by me"}


def test_a_directory_of_an_earlier_version_is_kept_beside(tmp_path: Path):
    place = tmp_path / "run"
    run(place, data=b"old data", fit=b"old fit")
    (place / "manifest.json").unlink()
    with opened(place) as directory, pytest.raises(SpecError, match="has no manifest"):
        directory.recall()
    said = run(place)
    assert [line for line in said if line in MADE] == MADE
    assert results(place) == WHOLE | {
        f"{FIT_DATA}.other": b"old data",
        f"{FIT}.other": b"old fit",
        "report.html.other": b"old fit's page",
    }


def test_its_own_checkpoint_is_gone_on_from_and_no_other(tmp_path: Path):
    place, sums = tmp_path / "run", "correlators/fit_data.nc.sums"
    run(place, until=0)
    with opened(place) as directory:
        directory.check(RECORD, VERSIONS)
        assert not directory.has(FIT_DATA)
        assert directory.begin(FIT_DATA).read_bytes() == b"sums"
    run(place, until=0, rerun=True)
    run(place)
    assert results(place) == WHOLE
    (place / FIT_DATA).unlink()
    (place / sums).write_bytes(b"mine")
    assert run(place)[0] == (
        f"{sums} is not what this study wrote: kept as fit_data.nc.sums.other, not "
        "gone on from"
    )
    assert results(place) == WHOLE | {f"{sums}.other": b"mine"}


class Killed(BaseException):
    """Stands for a process that ends: no `except Exception` sees it."""


@contextlib.contextmanager
def killed_at(moment: int, monkeypatch):
    """Within, a process that dies at a step of its work on disk, and does no more."""
    steps = 0

    def step(work, path, *arguments, **options):
        nonlocal steps
        if ".lock" not in path.name:  # it has tests of its own
            steps += 1
            if steps >= moment:
                raise Killed
        return work(path, *arguments, **options)

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "mkdir", "write_bytes"):
            patch.setattr(Path, name, _method(step, getattr(Path, name)))
        patch.setattr(shutil, "rmtree", partial(step, shutil.rmtree))
        yield


def _method(step, work):
    return lambda *arguments, **options: step(work, *arguments, **options)


HOWS = {
    "first": {},
    "again": {},
    "rerun": {"rerun": True},
    "newer": {"versions": {"nnft_ppl": "2.0"}},
    "other fit": {"fit": b"another fit"},
}


@pytest.mark.parametrize("how", HOWS)
def test_killed_at_any_moment_nothing_is_lost_and_nothing_left(
    tmp_path, monkeypatch, how
):
    expected, options = dict(WHOLE), HOWS[how]
    if how == "other fit":
        expected |= {FIT: b"another fit", "report.html": b"another fit's page"}
    for moment in itertools.count(1):
        place = tmp_path / f"{moment}"
        if how != "first":
            run(place)
        if how == "other fit":
            (place / FIT).unlink()
        try:
            with killed_at(moment, monkeypatch):
                run(place, **options)
            break
        except Killed:
            pass
        said = run(place, **{k: v for k, v in options.items() if k != "rerun"})
        assert not [line for line in said if "not what" in line]
        assert results(place) == expected
        assert not [p for p in place.rglob(".*")]
    assert moment > (1 if how == "again" else 20)


def test_what_killed_versions_left_half_written_is_removed(tmp_path: Path):
    place = tmp_path / "run"
    run(place)
    left = [".fit.nc.4711.tmp", "correlators/.fit_data.nc.sums.4711.tmp"]
    for name in (*left, "manifest.json"):
        path = place / name
        path.with_name(f".{path.name.lstrip('.')}.ab.tmp").write_bytes(b"half")
        if name in left:
            path.write_bytes(b"half")
    (place / ".unfinished").mkdir()
    (place / ".unfinished" / "fit.nc").write_bytes(b"half")
    run(place, rerun=True)
    assert results(place) == WHOLE


def test_a_failed_write_leaves_what_there_was(tmp_path: Path, monkeypatch):
    place = tmp_path / "run"
    run(place)
    whole = results(place)

    def full(path, data):
        if path.name == "report.html":
            raise StorageError(f"`{path}` cannot be written (No space left)")
        files.replace(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(directories, "replace", full)
        with opened(place) as directory:
            directory.check(RECORD, VERSIONS)
            directory.claim("text", keep=True)
            with pytest.raises(StorageError, match="No space left"):
                directory.put("report.html", b"a newer page")
    assert results(place) == whole
    assert run(place) == []
    assert results(place) == whole


def test_two_at_once_are_refused(tmp_path: Path):
    place = tmp_path / "run"
    link = tmp_path / "link"
    run(place)
    link.symlink_to(place)
    with opened(place):
        for name in (place, link, place / "correlators" / ".."):
            with (
                pytest.raises(SpecError, match="is being written by process"),
                opened(name),
            ):
                pass
    with pytest.raises(SpecError, match="is no place for a study"), opened(Path("/")):
        pass


def test_only_intact_files_are_read_back(tmp_path: Path):
    place = tmp_path / "run"
    run(place)
    (place / FIT).write_bytes(b"flt")
    (place / FIT_DATA).unlink()
    with opened(place) as directory:
        directory.recall()
        assert directory.own("report.html").read_bytes() == b"fit's page"
        with pytest.raises(SpecError, match=r"fit\.nc` is not what the study wrote"):
            directory.own(FIT)
        with pytest.raises(SpecError, match=r"stopped \(correlators/fit_data.nc is m"):
            directory.own(FIT_DATA)


def test_a_taken_away_run_json_is_written_again_for_this_study_alone(tmp_path: Path):
    place = tmp_path / "run"
    run(place)
    (place / "run.json").unlink()
    with pytest.raises(SpecError, match=r"holds no study: run\.json cannot be read"):
        run(place, record={**RECORD, "inputs": [[0.7]]})
    assert run(place) == []
    assert json.loads((place / "run.json").read_text())["study"] == RECORD


def test_nothing_outside_is_ever_listed(tmp_path: Path):
    place = tmp_path / "run"
    run(place)
    manifest = Manifest(place)
    (tmp_path / "mine").write_bytes(b"fit")
    manifest.write({**manifest.entries, "../mine": manifest.entries[FIT]})
    with pytest.raises(SpecError, match=r"manifest\.json`.*is damaged"):
        run(place, rerun=True)
    assert (tmp_path / "mine").exists()


def damages(data: bytes):
    """Flipped bits, cuts, and junk in the place of a JSON file."""
    size = len(data)
    deep = st.sampled_from([b"[" * 10**5, b'{"a":' * 10**5, b"1" * 5000, b"NaN", b""])
    flip = st.tuples(st.integers(0, size - 1), st.integers(0, 7)).map(
        lambda at: data[: at[0]] + bytes([data[at[0]] ^ 1 << at[1]]) + data[at[0] + 1 :]
    )
    cut = st.integers(0, size - 1).map(lambda end: data[:end])
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    )
    try:
        keys = sorted(json.loads(data))
    except ValueError:
        keys = ["a"]
    tables = st.fixed_dictionaries({}, optional=dict.fromkeys(keys, values))

    def replaced(changes):
        found = json.loads(data) if data.startswith(b"{") else {}
        return json.dumps({**found, **changes}).encode()

    junk = values.map(lambda value: json.dumps(value).encode())
    return flip | cut | deep | junk | st.binary(max_size=50) | tables.map(replaced)


def refusal(work: Callable[[Path], object], place: Path) -> str | None:
    """In one line of less than 300 characters, or `None`."""
    try:
        work(place)
    except NnftError as error:
        said = str(error).replace(str(place), "run")
    else:
        return None
    assert "\n" not in said
    assert len(said) < 300
    return said


def _read_back(place: Path) -> None:
    with opened(place) as directory:
        assert directory.recall()["study"] == RECORD
        for name, data in WHOLE.items():
            assert directory.own(name).read_bytes() == data
        assert directory.own("study.toml").read_bytes() == b"text"


NAMES = ("run.json", "manifest.json", "study.toml", FIT)


def check_damage(place: Path, name: str, damaged: bytes) -> None:
    original = (place / name).read_bytes()
    if damaged == original:
        return
    (place / name).write_bytes(damaged)
    reading, running = refusal(_read_back, place), refusal(run, place)
    assert reading is not None, damaged[:200]
    if name in ("study.toml", FIT):
        assert running is None
    if running is None:
        # Made good, and what was there is kept.
        assert held(place).pop(f"{name}.other") == damaged
        (place / f"{name}.other").unlink()
    else:
        assert (place / name).read_bytes() == damaged
        (place / name).write_bytes(original)
    assert results(place) == WHOLE


@pytest.mark.parametrize(
    "examples",
    [pytest.param(25), pytest.param(500, marks=pytest.mark.slow)],
    ids=["some", "many"],
)
@pytest.mark.parametrize("name", NAMES)
def test_no_damage_is_silent_and_none_a_traceback(tmp_path: Path, name, examples):
    place = tmp_path / "run"
    run(place)

    @settings(max_examples=examples)
    @given(damaged=damages((place / name).read_bytes()))
    def check(damaged):
        check_damage(place, name, damaged)

    check()


@pytest.mark.parametrize("name", [*NAMES, "correlators", "manifest.json"])
def test_a_folder_for_a_file_and_a_file_for_a_folder(tmp_path: Path, name: str):
    place = tmp_path / "run"
    run(place)
    (place / name).rename(tmp_path / "away")
    if name == "correlators":
        (place / name).write_text("a file")
    else:
        (place / name).mkdir()
    reading, running = refusal(_read_back, place), refusal(run, place)
    assert reading is not None
    if name in ("study.toml", FIT):
        assert running is None
        assert (place / f"{name}.other").is_dir()
    else:
        assert running is not None
