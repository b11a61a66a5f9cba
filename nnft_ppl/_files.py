"""Files that are whole or absent, sealed against damage, with one writer at a time.

Bytes are made in memory and written under a temporary name, flushed to the disk and
renamed. A sealed file ends in the SHA-256 of what precedes, so that any changed byte
is found before a parser sees it; netCDF and zip readers pass over what follows their
own end.
"""

import glob
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import SoftFileLock, Timeout

from nnft_ppl._errors import SpecError, StorageError

_SEAL = b"\nnnft_ppl sha256 "
_NAMED_SECONDS = 0.5
_SEAL_SIZE = len(_SEAL) + 2 * hashlib.sha256().digest_size + 1


def digest(data: bytes | memoryview) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sealed(data: bytes | memoryview) -> bytes:
    """The data and their seal."""
    return b"".join((data, _seal(data)))  # one copy: ensembles are large


def _seal(data: bytes | memoryview) -> bytes:
    return _SEAL + digest(data).encode() + b"\n"


def unsealed(data: bytes) -> bytes | None:
    """What was sealed, or `None` where there is no seal or it is of other data."""
    body = data[:-_SEAL_SIZE]
    return body if data.endswith(_seal(body)) else None


def has_seal(data: bytes) -> bool:
    """Whether there is a seal, whatever it is of."""
    return _SEAL in data


def replace(path: Path, data: bytes, *, keeping: Path | None = None) -> None:
    """Make a file hold `data`, in one step: afterwards it is the old or the new one.

    Args:
        path: Of the file.
        data: All of it.
        keeping: Where the old one goes, if it is to be kept. A process that is killed
            on the way may leave it there and no file at `path`.

    Raises:
        StorageError: It cannot be written: a full disk, a folder without permission.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if keeping is not None and path.exists():
            path.replace(keeping)
        temporary.replace(path)
    except OSError as error:
        raise StorageError(
            f"`{path}` cannot be written ({error.strerror or error}); make room, or "
            "choose another place"
        ) from error
    finally:
        with suppress(OSError):  # the error above tells more
            temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Have the new name survive a power cut, where the system can promise that."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_half_written(path: Path) -> None:
    """Remove what killed writers of this file left; only its one writer calls this."""
    for file in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        file.unlink(missing_ok=True)


@contextmanager
def one_writer(path: Path) -> Iterator[None]:
    """Within, no other process works on `path`, a file or a folder that is to be made.

    A process that is killed leaves its lock, which the next one on its host finds
    stale and takes.

    Raises:
        SpecError: Another process works on it; it is named.
        StorageError: The folder that `path` is in takes no file.
    """
    # Long enough for another, which has just made its lock, to write its name into it.
    lock = SoftFileLock(
        path.with_name(f".{path.name}.lock"), timeout=_NAMED_SECONDS, poll_interval=0.05
    )
    try:
        lock.acquire()
    except Timeout:
        raise SpecError(
            f"`{path}` is being written by process {lock.pid or 'unknown'}; let it "
            "finish, or choose another place. If there is no such process, on this "
            f"host or another, remove `{lock.lock_file}`"
        ) from None
    except OSError as error:
        raise StorageError(
            f"`{path}` cannot be written ({error.strerror or error}); choose another "
            "place"
        ) from error
    try:
        yield
    finally:
        lock.release()
