"""The state of long work on disk: named arrays and a JSON record, two generations.

A checkpoint is one uncompressed .npz with a seal; nothing is unpickled. It is written
in one step and the one before it is kept, so that a process killed at any moment and a
disk that damages one file both leave a good state to go on from. Versions up to 0.2
wrote no seal; there the CRC-32 checksums of zip stand for it.
"""

import io
import json
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnft_ppl._errors import SpecError, shown
from nnft_ppl._files import remove_half_written, replace, sealed, unsealed

_RECORD = "record"


class _DamagedError(Exception):
    """A checkpoint is not as it was written."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What was saved.

    Attributes:
        record: JSON values: whose state it is and how far the work has come.
        arrays: Name -> array.
    """

    record: dict[str, Any]
    arrays: dict[str, np.ndarray]


class CheckpointWarning(UserWarning):
    """A checkpoint is damaged and an earlier one, or none, is used instead.

    Or one could not be written.
    """


def check_checkpoint_path(path: str | Path) -> Path:
    """Where a checkpoint can be written.

    Raises:
        SpecError: It is a folder, or is in none.
    """
    if not isinstance(path, (str, Path)) or not str(path):
        raise SpecError(f"`checkpoint` is {path!r}; expected the path of a file")
    found = Path(path)
    if found.is_dir():
        raise SpecError(f"`checkpoint` {str(path)!r} is a folder; name a file in it")
    if not found.parent.is_dir():
        raise SpecError(
            f"`checkpoint` {str(path)!r} cannot be written: {str(found.parent)!r} is "
            "no folder"
        )
    return found


def previous(path: Path) -> Path:
    """Where the generation before the newest lies."""
    return path.with_name(f"{path.name}.previous")


def next_stage(path: Path) -> Path:
    """Where work that goes on in another way, once the first has ended, saves that."""
    return path.with_name(f"{path.name}.next")


def aside_of(path: Path) -> Path:
    """Where a file that holds no state, damaged or another's, is kept."""
    return path.with_name(f"{path.name}.damaged")


def save_checkpoint(
    path: Path, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write a new generation, in one step; the one before is kept beside it.

    Args:
        path: Where; its folder exists.
        record: JSON values.
        arrays: Of numbers, strings or booleans; no array of the name "record".

    Raises:
        StorageError: It cannot be written; the generations there were are left.
    """
    members = {name: np.asarray(array) for name, array in arrays.items()}
    said = {"record": dict(record), "arrays": _shapes(members), "sealed": True}
    members[_RECORD] = np.array(json.dumps(said, sort_keys=True))
    data = io.BytesIO()
    # Not np.savez, which takes no array of the name "file".
    with zipfile.ZipFile(data, "w") as archive:
        for name, array in members.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            # Not by name alone: the time of day would be in the bytes.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getbuffer())
    with suppress(OSError):  # writing tells more
        remove_half_written(path)
    replace(path, sealed(data.getvalue()), keeping=previous(path))


def warn_unsaved(what: str, path: Path | None, failure: OSError | MemoryError) -> None:
    """Say that a state is in memory alone; long work does not end for that."""
    warnings.warn(
        f"{what} could not be saved to `{path}`: {str(failure) or 'out of memory'}",
        CheckpointWarning,
        stacklevel=3,
    )


def load_checkpoint(path: Path, whose: Mapping[str, Any]) -> Checkpoint | None:
    """The newest undamaged state, or `None` where there is none.

    Damaged files are set aside, so that what is written next replaces nothing.

    Args:
        path: As given to `save_checkpoint`.
        whose: Part of the record that must be equal: what the work is about.

    Warns:
        CheckpointWarning: A file is damaged; it is named, and so is what is used.

    Raises:
        SpecError: The checkpoint is of other work, and what differs is named; or it
            cannot be read, whatever is in it.
    """
    place, found, damaged = _newest(path)
    if found is not None:
        expected = json.loads(json.dumps(dict(whose)))
        for name, value in expected.items():
            if found.record.get(name) != value:
                where, its, ours = _difference(name, found.record.get(name), value)
                raise SpecError(
                    f"checkpoint `{place}` is of other work: its {where} is {its}, "
                    f"expected {ours}; move it away or choose another place"
                )
    if damaged:
        told = []
        for file, error in damaged.items():
            aside = aside_of(file)
            file.replace(aside)
            told.append(f"`{file}` is damaged ({error}) and kept as `{aside.name}`")
        instead = (
            "starting anew"
            if found is None
            else f"going on from `{place}`, the one before it"
        )
        warnings.warn(f"{'; '.join(told)}; {instead}", CheckpointWarning, stacklevel=2)
    return found


def _difference(name: str, its: Any, ours: Any) -> tuple[str, str, str]:
    """Where two JSON values of a name differ, and what they are there, in short."""
    if isinstance(its, dict) and isinstance(ours, dict):
        for key in ours | its:
            if its.get(key) != ours.get(key):
                return _difference(f"{name}.{key}", its.get(key), ours.get(key))
    return name, _start(its), _start(ours)


def _start(value: Any) -> str:
    text = shown(value)
    return text if len(text) <= 40 else f"{text[:32]} …"


def saved_record(path: Path) -> dict[str, Any] | None:
    """The record of the newest undamaged state, for a look; `None` without one.

    Raises:
        SpecError: A file cannot be read.
    """
    found = _newest(path)[1]
    return None if found is None else found.record


def holds_state(path: Path) -> bool:
    """Whether a file is a whole checkpoint."""
    try:
        _parse(path.read_bytes())
    except (_DamagedError, OSError):
        return False
    return True


def _newest(path: Path) -> tuple[Path, Checkpoint | None, dict[Path, Exception]]:
    """Where the newest undamaged state is, what it is, and newer files' damage."""
    damaged: dict[Path, Exception] = {}
    for candidate in (path, previous(path)):
        try:
            data = candidate.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SpecError(
                f"checkpoint `{candidate}` cannot be read ({error.strerror or error}); "
                "see to it, or choose another place"
            ) from error
        try:
            return candidate, _parse(data), damaged
        except _DamagedError as error:
            damaged[candidate] = error
    return path, None, damaged


def remove_checkpoint(path: Path) -> None:
    """Remove all of both stages, and what killed processes left half-written."""
    for place in (path, next_stage(path)):
        place.unlink(missing_ok=True)
        remove_leftovers(place)


def remove_leftovers(path: Path) -> None:
    """Remove the generation before the newest, and what was left half-written."""
    previous(path).unlink(missing_ok=True)
    remove_half_written(path)


def _shapes(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What a file has to hold, as JSON."""
    return {
        name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()
    }


def _parse(data: bytes) -> Checkpoint:
    """All of one file.

    Raises:
        _DamagedError: It is not as it was written.
    """
    body = unsealed(data)
    try:
        found, is_sealed = _members(data if body is None else body)
    except Exception as error:  # a wrong byte may raise anything, MemoryError too
        if body is not None and isinstance(error, MemoryError):
            raise
        raise _DamagedError(" ".join(str(error).split())) from error
    if is_sealed and body is None:
        raise _DamagedError("its seal is broken")
    return found


def _members(data: bytes) -> tuple[Checkpoint, bool]:
    """What an archive holds, and whether it was written with a seal.

    np.load checks the CRC of each member that it reads to its end. Without a seal a
    wrong byte may hide a member or make it seem shorter, hence the list of them.
    """
    if not data.startswith(b"PK"):  # or NumPy takes it for a pickle
        raise ValueError("it is no archive")
    with np.load(io.BytesIO(data), allow_pickle=False) as members:
        arrays = {name: np.asarray(members[name]) for name in members.files}
    said = json.loads(str(arrays.pop(_RECORD)))
    if not isinstance(said["record"], dict) or said["arrays"] != _shapes(arrays):
        raise ValueError("its arrays are not those that were written")
    return Checkpoint(said["record"], arrays), said.get("sealed", False)
