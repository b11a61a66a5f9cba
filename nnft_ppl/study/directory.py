"""The run directory: whose it is, and files that are whole, the study's own, or absent.

- study.toml: the study file as run
- run.json: the study resolved (inputs from files included), versions, seed
- correlators/: one netCDF file per width and estimator, and the data of the fit
- fit.nc: posterior draws
- comparison.json: the comparison of actions, when asked for
- posteriors/: one netCDF file per width, and methods compared, where there are data
- trained/: one netCDF file per width, and what they say together, with training
- figures/: the figures as PNG
- report.html: the page
- manifest.json: the digests of all these, and of what each was made from

Files that the study did not write are kept: one that has the name of one to be written
is renamed.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace as changed
from pathlib import Path, PurePath
from typing import Any, Protocol

from nnft_ppl._checkpoint import next_stage, previous, remove_checkpoint
from nnft_ppl._errors import SpecError, StorageError
from nnft_ppl._files import digest, one_writer, remove_half_written, replace
from nnft_ppl.study.manifest import Entry, Manifest, as_json

SCHEMA = 1

RUN = "run.json"
TEXT = "study.toml"
FIT_DATA = "correlators/fit_data.nc"
FIT = "fit.nc"
COMPARISON = "comparison.json"
METHODS = "posteriors/methods.nc"
BY_WIDTH = "trained/by_width.nc"
REPORT = "report.html"
_MADE_FROM = {FIT: FIT_DATA, COMPARISON: FIT_DATA}
_UNFINISHED = ".unfinished"
_LONGEST_NAME = 200
"""Bytes in the name of a folder: most systems take 255, with room for a lock's."""

type Say = Callable[[str], None]


class Saved(Protocol):
    """What saves itself in a file."""

    def save(self, path: Path) -> None:
        """Write it."""


def silent(message: str) -> None:
    """Say nothing."""


class RunDirectory:
    """A directory that holds one study and no other; made by `opened`."""

    def __init__(self, path: Path, say: Say) -> None:
        """Read which files the study wrote."""
        self.path = path
        self._say = say
        self._manifest = Manifest(path)
        self._run: Mapping[str, Any] = {}

    def check(self, record: dict[str, Any], versions: Mapping[str, str]) -> bool:
        """Whether finished results of this very study may be reused.

        Raises:
            SpecError: The directory holds another study, or something else.
        """
        self._run = {"schema": SCHEMA, "versions": dict(versions), "study": record}
        if not self.path.is_dir() or not any(self.path.iterdir()):
            return False
        entries, run = self._manifest.entries, self.path / RUN
        if RUN in entries and not run.exists():
            # Killed before its first file was there; or somebody took it away.
            if len(entries) == 1 or entries[RUN].recipe == self._recipe(RUN):
                return True
        found = self._read_run()
        if found["study"] != record:
            if RUN in entries and self._digest(RUN) != entries[RUN].sha256:
                raise SpecError(
                    f"`{run}` is not what the study wrote, or no longer; move it away "
                    "and run this again"
                )
            different = [k for k in record if record[k] != found["study"].get(k)]
            raise SpecError(
                f"`output.directory`: {str(self.path)!r} holds another study (it "
                f"differs in {different or 'its tables'}); choose another directory "
                "or remove that one"
            )
        return bool(found["versions"] == versions)

    def claim(self, text: str, *, keep: bool) -> None:
        """Make it the directory of the study checked; results stay only with `keep`."""
        _make_folder(self.path)
        if not keep:
            self._remove_results()
        self.put(RUN, as_json(self._run))
        self.put(TEXT, text)

    def _remove_results(self) -> None:
        """Remove what the study wrote and nobody changed since."""
        entries = self._manifest.entries
        for name, entry in entries.items():
            if entry.checkpoint:
                remove_checkpoint(self.checkpoint(name))
            if name not in (RUN, TEXT) and self._is_own(name, self._digest(name)):
                (self.path / name).unlink()
        kept = {name: entries[name] for name in (RUN, TEXT) if name in entries}
        if entries != kept:
            self._manifest.write(kept)

    def recall(self) -> Mapping[str, Any]:
        """What `claim` wrote into run.json.

        Raises:
            SpecError: There is no readable run.json of this schema, or another one.
        """
        run = self._read_run()
        if not self._manifest.entries:
            raise SpecError(
                f"{str(self.path)!r} has no {self._manifest.path.name}, which earlier "
                "versions did not write; run `nnft study` on its study file again"
            )
        self.own(RUN)
        self._run = run
        return run

    def _read_run(self) -> dict[str, Any]:
        path = self.path / RUN
        try:
            found: dict[str, Any] = json.loads(path.read_bytes())
            schema = found["schema"]
            if not all(isinstance(found[k], dict) for k in ("study", "versions")):
                raise TypeError
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise SpecError(
                f"{str(self.path)!r} holds no study: {path.name} cannot be read "
                f"({why}); choose an empty or new directory, or one "
                "that `nnft study` made"
            ) from error
        if schema != SCHEMA:
            raise SpecError(
                f"{str(path)!r} has schema {schema!r:.20}; this version reads {SCHEMA}"
            )
        return found

    def has(self, name: str) -> bool:
        """Whether a file is there, whole and made from what it would be made from now.

        Else its place is free, or has a file of the study's that may be replaced.
        """
        path = self.path / name
        remove_half_written(path)
        if self.is_finished(name):
            self.end(name)
            return True
        found = self._digest(name)
        if not self._is_of_now(name) and self._is_own(name, found):
            self._say(f"{name} is of other data or of another version: made anew")
        if found is not None and not self._is_own(name, found):
            self._set_aside(path, "made anew")
        return False

    def is_finished(self, name: str) -> bool:
        """Whether `has` will find the file; nothing is changed."""
        found = self._digest(name)
        if found is None or not self._is_of_now(name):
            return False
        return found == self._manifest.entries[name].sha256

    def _is_of_now(self, name: str) -> bool:
        """Whether what was made would be made from the same now."""
        entry = self._manifest.entries.get(name)
        return entry is not None and entry.recipe == self._recipe(name)

    def begin(self, name: str) -> Path:
        """The checkpoint of a file that is about to be made, if it is of that file."""
        place, entry = self.checkpoint(name), self._manifest.entries.get(name)
        _make_folder(place.parent)
        remove_half_written(place)
        recipe, found = self._recipe(name), self._digest(name)
        if entry is None or not entry.checkpoint:
            stages = (place, next_stage(place))
            for file in (*stages, *map(previous, stages)):
                if file.exists():
                    self._set_aside(file, "not gone on from")
        elif entry.recipe != recipe:
            remove_checkpoint(place)
        self._manifest.note(name, Entry(recipe, None, found, checkpoint=True))
        return place

    def end(self, name: str) -> None:
        """Remove the checkpoint of a file that has been made."""
        entry = self._manifest.entries[name]
        if entry.checkpoint:
            remove_checkpoint(self.checkpoint(name))
            self._manifest.note(name, changed(entry, checkpoint=False))

    def save(self, name: str, made: Saved) -> None:
        """Write what saves itself."""
        folder = self.path / _UNFINISHED
        try:
            folder.mkdir(exist_ok=True)
            made.save(folder / Path(name).name)
            data = (folder / Path(name).name).read_bytes()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self.put(name, data)

    def put(self, name: str, content: str | bytes) -> Path:
        """Write one file, in one step."""
        path, data = self.path / name, content
        if isinstance(data, str):
            data = data.encode()
        remove_half_written(path)
        found, new = self._digest(name), digest(data)
        entry = self._manifest.entries.get(name, Entry(""))
        if found not in (None, new) and not self._is_own(name, found):
            self._set_aside(path, "written anew")
            found = None
        _make_folder(path.parent)
        replaces = None if found == new else found
        self._manifest.note(
            name, Entry(self._recipe(name), new, replaces, checkpoint=entry.checkpoint)
        )
        if found != new:
            replace(path, data)
        return path

    def own(self, name: str) -> Path:
        """A file as the study wrote it, of what it was to be made from.

        Raises:
            SpecError: It is not there, it is not finished, or it is another one.
        """
        path, entry = self.path / name, self._manifest.entries.get(name)
        found = self._digest(name)
        if entry is None or entry.sha256 is None or found is None:
            raise SpecError(
                f"the study in {str(self.path)!r} is not finished; run `nnft study` on "
                f"its study file again, it goes on where it stopped ({name} is missing)"
            )
        if found != entry.sha256 or (
            name != RUN and entry.recipe != self._recipe(name)
        ):
            raise SpecError(
                f"`{path}` is not what the study wrote, or no longer; run `nnft study` "
                "on its study file again, which makes it anew"
            )
        return path

    def lists(self, name: str) -> bool:
        """Whether the study wrote a file of this name."""
        return name in self._manifest.entries

    def checkpoint(self, name: str) -> Path:
        """Where long work keeps its state until its file is saved."""
        path = self.path / name
        kind = "checkpoint" if name == FIT else "sums"
        return path.with_name(f"{path.name}.{kind}")

    def _recipe(self, name: str) -> str:
        """Digest of all that decides a file: study, versions, what it is made from."""
        source = self._manifest.entries.get(_MADE_FROM.get(name, ""), Entry(""))
        recipe = {**self._run, "name": name, "made from": source.sha256}
        return digest(as_json(recipe).encode())

    def _is_own(self, name: str, found: str | None) -> bool:
        """Whether bytes of this digest, at this name, are the study's."""
        entry = self._manifest.entries.get(name)
        return (
            found is not None
            and entry is not None
            and found in (entry.sha256, entry.replaces)
        )

    def _digest(self, name: str) -> str | None:
        """Of what is at this name, `None` where nothing is."""
        path = self.path / name
        try:
            return digest(path.read_bytes())
        except FileNotFoundError:
            return "a broken link" if path.is_symlink() else None
        except IsADirectoryError:
            return "a folder"
        except NotADirectoryError:
            raise SpecError(
                f"`{path.parent}` is a file; expected a folder: move it away"
            ) from None
        except OSError as error:
            raise StorageError(
                f"`{path}` cannot be read ({error.strerror or error}); see to it"
            ) from error

    def _set_aside(self, path: Path, instead: str) -> None:
        """Rename a file that the study did not write."""
        place, number = path.with_name(f"{path.name}.other"), 1
        while place.exists() or place.is_symlink():
            number += 1
            place = path.with_name(f"{path.name}.other{number}")
        path.replace(place)
        self._say(
            f"{path.relative_to(self.path)} is not what this study wrote: kept as "
            f"{place.name}, {instead}"
        )


def check_place(path: str, given: str) -> None:
    """A study file may come from anywhere: it names a folder below the current one.

    Raises:
        SpecError: It does not; the message begins with `path`.
    """
    place = PurePath(given)
    if (
        place.anchor
        or not place.parts
        or ".." in place.parts
        or given.startswith("~")
        or not given.isprintable()
        or any(len(part.encode()) > _LONGEST_NAME for part in place.parts)
    ):
        raise SpecError(
            f"`{path}` is {given!r:.80}; expected a folder below the current one, such "
            "as runs/mine; any other may be given on the command line, by --output"
        )


def correlators(width: int, estimator: str) -> str:
    """Name of the correlators of one width by one estimator."""
    return f"correlators/width_{width}_{estimator}.nc"


def posterior_of(width: int) -> str:
    """Name of the posterior of one width."""
    return f"posteriors/width_{width}.nc"


def trained_of(width: int) -> str:
    """Name of the trained networks of one width."""
    return f"trained/width_{width}.nc"


def figure(name: str) -> str:
    """Name of a figure."""
    return f"figures/{name}.png"


@contextmanager
def opened(path: Path, say: Say = silent) -> Iterator[RunDirectory]:
    """Within, no other process works in the directory.

    Raises:
        SpecError: Another process does, or it is a file, or its manifest is damaged.
    """
    if path.exists() and not path.is_dir():
        raise SpecError(
            f"`output.directory`: {str(path)!r} is a file; expected a folder"
        )
    # The lock lies beside the folder itself, by whatever name it is called.
    plain = path.name not in ("", "..") and not path.is_symlink()
    place = path if plain else path.resolve()
    if not place.name:
        raise SpecError(f"`output.directory`: {str(path)!r} is no place for a study")
    with one_writer(place):
        shutil.rmtree(path / _UNFINISHED, ignore_errors=True)
        remove_half_written(path / "manifest.json")
        yield RunDirectory(path, say)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"`{path}` cannot be made ({error.strerror or error}); choose another place"
        ) from error
