"""The state of long work on disk: named arrays and a JSON record, two generations.

A checkpoint is one uncompressed .npz, whose members carry CRC-32 checksums and are
listed in the record; nothing is unpickled. It is written under a temporary name,
flushed and renamed, and the one before it is kept, so that a process killed at any
moment and a disk that damages one file both leave a good state to go on from.
"""

import glob
import io
import json
import os
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnft_ppl._errors import SpecError

_RECORD = "record"
_DAMAGE = (
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    MemoryError,
    RuntimeError,  # a flipped flag: "encrypted", or, NotImplementedError, "compressed"
    zipfile.BadZipFile,
)
"""What reading a file with a wrong byte may raise: every byte was tried."""


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

    Or the last one could not be written.
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


def save_checkpoint(
    path: Path, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write a new generation, in one step; the one before is kept beside it.

    Args:
        path: Where; its folder exists.
        record: JSON values.
        arrays: Of numbers, strings or booleans; no array of the name "record".
    """
    members = {name: np.asarray(array) for name, array in arrays.items()}
    text = json.dumps(
        {"record": dict(record), "arrays": _shapes(members)}, sort_keys=True
    )
    members[_RECORD] = np.array(text)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            # Not np.savez, which takes no array of the name "file".
            with zipfile.ZipFile(file, "w") as archive:
                for name, array in members.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            path.replace(previous(path))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
                raise SpecError(
                    f"checkpoint `{place}` is of other work: its {name} is "
                    f"{found.record.get(name)!r}, expected {value!r}; move it away or "
                    "choose another place"
                )
    if damaged:
        told = []
        for file, error in damaged.items():
            aside = file.with_name(f"{file.name}.damaged")
            file.replace(aside)
            told.append(f"`{file}` is damaged ({error}) and kept as `{aside.name}`")
        instead = (
            "starting anew"
            if found is None
            else f"going on from `{place}`, the one before it"
        )
        warnings.warn(f"{'; '.join(told)}; {instead}", CheckpointWarning, stacklevel=2)
    return found


def saved_record(path: Path) -> dict[str, Any] | None:
    """The record of the newest undamaged state, for a look; `None` without one.

    Raises:
        SpecError: A file cannot be read.
    """
    found = _newest(path)[1]
    return None if found is None else found.record


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
        except _DAMAGE as error:
            damaged[candidate] = error
    return path, None, damaged


def remove_checkpoint(path: Path) -> None:
    """Remove both generations, and what killed processes left half-written."""
    path.unlink(missing_ok=True)
    remove_leftovers(path)


def remove_leftovers(path: Path) -> None:
    """Remove the generation before the newest, and what was left half-written."""
    half_written = path.parent.glob(f".{glob.escape(path.name)}.*.tmp")
    for file in (previous(path), *half_written):
        file.unlink(missing_ok=True)


def _shapes(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What a file has to hold, as JSON."""
    return {
        name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()
    }


def _parse(data: bytes) -> Checkpoint:
    """All of one file; np.load checks the CRC of each member that it reads to its end.

    A wrong byte may also hide a member or make it seem shorter, hence the list.
    """
    if not data.startswith(b"PK"):  # or NumPy takes it for a pickle
        raise ValueError("it is no archive")
    with np.load(io.BytesIO(data), allow_pickle=False) as members:
        arrays = {name: np.asarray(members[name]) for name in members.files}
    found = json.loads(str(arrays.pop(_RECORD)))
    if found["arrays"] != _shapes(arrays):
        raise ValueError("its arrays are not those that were written")
    return Checkpoint(found["record"], arrays)
