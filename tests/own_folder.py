"""A folder that this process has for itself, and finds again in the next run."""

import itertools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout


@dataclass(frozen=True)
class OwnFolder:
    """A folder, and the lock that keeps others out until this process ends."""

    path: Path
    lock: FileLock


def own_folder(where: Path, *, max_bytes: int) -> OwnFolder:
    """The first folder below `where` that no other process holds.

    JAX writes its cache in place: two processes in one folder could read half a file.

    Args:
        where: Made if need be.
        max_bytes: A folder that has grown beyond is emptied.
    """
    where.mkdir(parents=True, exist_ok=True)
    for number in itertools.count():
        path = where / str(number)
        lock = FileLock(where / f"{number}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        path.mkdir(exist_ok=True)
        if sum(entry.stat().st_size for entry in os.scandir(path)) > max_bytes:
            shutil.rmtree(path)
            path.mkdir()
        return OwnFolder(path, lock)
    raise AssertionError("numbers end")
