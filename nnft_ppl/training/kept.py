"""Rows of many networks, in memory or in a file that grows; float32.

In: rows of a block of networks. Out: all of them as one array. A file is .npy, written
by plain writes, as a full disk would end a process that has mapped it.
"""

import zlib
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nnft_ppl._errors import SpecError, StorageError

_READ = 1 << 24


class InMemory:
    """Rows in memory."""

    def __init__(self, shape: tuple[int, ...], most: int) -> None:
        """Room for `most` rows of a shape."""
        self._rows, self._count = np.empty((most, *shape), np.float32), 0

    def add(self, rows: np.ndarray) -> None:
        """More of them."""
        stop = self._count + len(rows)
        self._rows[self._count : stop] = rows
        self._count = stop

    def so_far(self) -> np.ndarray:
        """(network, …)."""
        return self._rows[: self._count]

    def state(self) -> np.ndarray:
        """What a checkpoint holds of the rows so far: themselves."""
        return self.so_far()

    def restore(self, state: np.ndarray, first: int) -> None:
        """Go on from the first of those that a checkpoint is of."""
        self._count = 0
        self.add(state[:first])


class InFile:
    """Rows in a .npy file, which is whole after every block."""

    def __init__(self, shape: tuple[int, ...], path: Path) -> None:
        """Nothing is written before there are rows."""
        self._shape, self._path = shape, path
        self._at = (0, 0)  # rows and their checksum, which Ctrl-C finds in step

    def add(self, rows: np.ndarray) -> None:
        """More of them.

        Raises:
            StorageError: They cannot be written.
        """
        data = np.ascontiguousarray(rows, np.float32).tobytes()
        count, before = self._at
        try:
            with self._path.open("r+b" if count else "wb") as file:
                # Behind what there is first: the header tells of whole rows alone.
                file.seek(self._header(BytesIO(), count) + self._bytes(count))
                file.write(data)
                self._header(file, count + len(rows))
        except OSError as error:
            raise StorageError(
                f"cannot write draws to `{self._path}`: {error}"
            ) from error
        self._at = (count + len(rows), zlib.crc32(data, before))

    def so_far(self) -> np.ndarray:
        """(network, …), of which nothing is read before it is wanted."""
        found: np.ndarray = np.lib.format.open_memmap(self._path, mode="r")
        return found

    def state(self) -> np.ndarray:
        """What a checkpoint holds of the rows so far: their number and checksum."""
        return np.array(self._at, np.int64)

    def restore(self, state: np.ndarray, first: int) -> None:
        """Go on from the first of those that a checkpoint is of; the rest is cut off.

        Raises:
            SpecError: They are not there as they were.
        """
        count, checksum = state
        try:
            with self._path.open("r+b") as file:
                start = file.seek(self._header(BytesIO(), 0))
                kept = _checksum(file, self._bytes(first), 0)
                rest = self._bytes(int(count)) - self._bytes(first)
                is_whole = _checksum(file, rest, kept) == checksum
                if is_whole:
                    file.truncate(start + self._bytes(first))
                    self._header(file, first)
        except OSError as error:
            raise SpecError(
                f"the draws of the checkpoint are not in `{self._path}`: {error}"
            ) from error
        if not is_whole:
            raise SpecError(
                f"`{self._path}` does not hold the draws of the checkpoint; move the "
                "checkpoint away to begin anew"
            )
        self._at = (first, kept)

    def _bytes(self, count: int) -> int:
        return 4 * count * int(np.prod(self._shape))

    def _header(self, file: BinaryIO, count: int) -> int:
        """Write it, and say how long it is: as long whatever the number of rows."""
        file.seek(0)
        shape = (count, *self._shape)
        told = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, told)
        return file.tell()


def _checksum(file: BinaryIO, left: int, before: int) -> int:
    """CRC-32 of so many bytes that follow what has the one before."""
    while left and (data := file.read(min(_READ, left))):
        before, left = zlib.crc32(data, before), left - len(data)
    return before


type Kept = InMemory | InFile


def checked_file(draws: str | Path | None) -> Path | None:
    """Where draws are to be written.

    Raises:
        SpecError: It is no .npy in a folder that exists.
    """
    if draws is None:
        return None
    if not isinstance(draws, (str, Path)) or Path(draws).suffix != ".npy":
        raise SpecError(f"`draws` is {draws!r}; expected the path of a .npy file")
    found = Path(draws)
    if found.is_dir() or not found.parent.is_dir():
        raise SpecError(
            f"`draws` {str(found)!r} cannot be written: it is a folder, or in none"
        )
    return found
