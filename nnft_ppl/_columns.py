"""Numbers from a user's file, as NumPy, pandas, a spreadsheet or an editor writes them.

In: a .npy file, or a .csv with or without a line of names. Out: the numbers, with the
names where there are any.
"""

import codecs
import csv
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnft_ppl._errors import SpecError, meant, reason, shown

_LONGEST = 1 << 16
"""Characters in a line that is looked at by itself."""
_COMMENT = "#"


@dataclass(frozen=True, eq=False)
class Columns:
    """Numbers of a file.

    Attributes:
        values: As read: (row, column) of a .csv.
        names: Of the columns; empty where the file gives none.
    """

    values: np.ndarray
    names: tuple[str, ...]


def read_points(path: Path, where: str = "inputs") -> np.ndarray:
    """Numbers of a file, names of columns left out; see `read_columns`."""
    return read_columns(path, where).values


def read_columns(path: Path, where: str, chosen: Sequence[str] = ()) -> Columns:
    """Numbers of a file; of a .csv with a line of names the chosen columns.

    In a .csv `,`, `;`, tabs or spaces lie between the numbers, whichever the first line
    has; with `;` a number may have a decimal comma. A first column with an empty name,
    as pandas writes its index, is left out.

    Args:
        path: The file.
        where: The option or key that named it.
        chosen: Names of columns, in the order wanted; all when empty.

    Raises:
        SpecError: No such file, another suffix, no numbers in it; or a name is not in
            the file, or there are none.
    """
    if path.suffix not in (".npy", ".csv"):
        raise SpecError(f"`{where}`: {path.name!r} is neither .npy nor .csv")
    try:
        text = _Text.of(path) if path.suffix == ".csv" else None
        names = () if text is None else text.names()
        if not names and chosen:
            raise SpecError(
                f"{path.name!r} has no line of names to choose "
                f"{', '.join(map(shown, chosen))} from; expected a .csv whose first "
                "line names its columns"
            )
        if text is None:
            return Columns(_load_npy(path), ())
        taken = _chosen(names, chosen, path.name)
        return Columns(text.numbers(names, taken), taken)
    except SpecError as error:
        raise SpecError(f"`{where}`: {error.args[0]}") from error
    except Exception as error:  # of damaged bytes NumPy raises many kinds
        raise SpecError(
            f"`{where}`: cannot read {path.name!r}: {reason(error)}"
        ) from error


def _load_npy(path: Path) -> np.ndarray:
    """The array: nothing is unpickled, and memory taken for what is there alone."""
    return np.array(np.lib.format.open_memmap(path, mode="r"))


def _chosen(
    names: tuple[str, ...], chosen: Sequence[str], file: str
) -> tuple[str, ...]:
    """The columns to take: those chosen, else all that have a name."""
    named = [name for name in names if name]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise SpecError(
            f"{file!r} names {shown(twice[0])} twice; give every column a name of its "
            "own"
        )
    for name in chosen:
        if name not in named:
            hint = meant(name, named)
            raise SpecError(
                f"{file!r} has no column {shown(name)}{hint}; it has "
                f"{', '.join(map(shown, named[:20]))}"
            )
    return tuple(chosen) or tuple(named)


@dataclass(frozen=True)
class _Text:
    """A .csv file.

    Attributes:
        path: Where it is.
        encoding: UTF-8, or what the mark at its start says.
        separator: Between its cells; `None` for spaces.
        head: Its first line that is neither empty nor a comment, empty without one.
        skipped: Lines up to this one, itself included.
    """

    path: Path
    encoding: str
    separator: str | None
    head: str
    skipped: int

    @classmethod
    def of(cls, path: Path) -> "_Text":
        """Look at the first line."""
        with path.open("rb") as file:
            mark = file.read(2)
        utf_16 = mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        encoding, head, skipped = "utf-16" if utf_16 else "utf-8-sig", "", 0
        with path.open(encoding=encoding) as lines:
            while not head and (line := lines.readline(_LONGEST)):
                skipped += 1
                head = line.partition(_COMMENT)[0].strip("\r\n")
                head = head if head.strip() else ""
        separator = next((s for s in (";", "\t", ",") if s in head), None)
        if separator is None and len(head.split()) == 1:
            separator = ","  # of one column
        return cls(path, encoding, separator, head, skipped)

    def names(self) -> tuple[str, ...]:
        """Cells of the first line, unless they are numbers.

        Raises:
            SpecError: Some are, some are not; or a name is missing.
        """
        cells = self._cells(self.head)
        are_numbers = [self._is_number(cell) for cell in cells]
        if not any(cells) or all(are_numbers):
            return ()
        if any(are_numbers) or not all(cells[1:]):
            odd = are_numbers.index(False) if any(are_numbers) else cells.index("", 1)
            found = f"{shown(cells[odd])} is no number" if cells[odd] else "is empty"
            raise SpecError(
                f"{self.path.name!r}, line {self.skipped}, column {odd + 1}: {found}; "
                "expected numbers alone, or a name for every column"
            )
        return tuple(cells)

    def numbers(self, names: Sequence[str], taken: Sequence[str]) -> np.ndarray:
        """(row, column) of the columns taken; of all where there are no names."""
        columns = [names.index(name) for name in taken] if names else None
        try:
            with self.path.open(encoding=self.encoding) as file:
                lines = file if self.separator != ";" else _with_points(file)
                with warnings.catch_warnings():
                    # What NumPy warns of, an empty file, is refused further on.
                    warnings.simplefilter("ignore")
                    return np.loadtxt(
                        lines,
                        delimiter=self.separator,
                        comments=_COMMENT,
                        quotechar='"',
                        ndmin=2,
                        skiprows=self.skipped if names else 0,
                        usecols=columns,
                    )
        except ValueError as error:
            raise SpecError(self._why_not(bool(names), columns, error)) from error

    def _why_not(
        self, has_names: bool, columns: Sequence[int] | None, error: ValueError
    ) -> str:
        """The first line that is no row of numbers, in the file's own count."""
        length = None
        with self.path.open(encoding=self.encoding) as file:
            for number, line in enumerate(file, 1):
                content = line[:_LONGEST].partition(_COMMENT)[0]
                if not content.strip() or (has_names and number <= self.skipped):
                    continue
                cells = self._cells(content)
                length = len(cells) if length is None else length
                if len(cells) != length:
                    return (
                        f"{self.path.name!r}, line {number}: numbers found are "
                        f"{len(cells)}, in the first line {length}; give every line "
                        "as many"
                    )
                for i in range(length) if columns is None else columns:
                    if i < length and not self._is_number(cells[i]):
                        found = shown(cells[i]) if cells[i] else "nothing"
                        return (
                            f"{self.path.name!r}, line {number}, column {i + 1}: "
                            f"found {found}; expected a number"
                        )
        return f"cannot read {self.path.name!r}: {reason(error)}"

    def _cells(self, line: str) -> list[str]:
        """What lies between the separators."""
        if self.separator is None:
            return line.split()
        reader = csv.reader([line.strip("\r\n")], delimiter=self.separator)
        return [cell.strip() for cell in next(reader, [])]

    def _is_number(self, cell: str) -> bool:
        try:
            float(cell.replace(",", ".") if self.separator == ";" else cell)
        except ValueError:
            return False
        return "_" not in cell  # Python reads 1_0, NumPy does not


def _with_points(lines: Iterator[str]) -> Iterator[str]:
    """Lines whose numbers have a decimal point."""
    return (line.replace(",", ".") for line in lines)
