"""Columns of numbers from a user's file, by the names in its first line.

In: a .npy file, or a .csv with or without a line of names. Out: the numbers, with the
names where there are any.
"""

import csv
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nnft_ppl._errors import SpecError, shown
from nnft_ppl._inputs import read_points

_LONGEST = 1 << 16
"""Characters in a line of names."""


@dataclass(frozen=True, eq=False)
class Columns:
    """Numbers of a file.

    Attributes:
        values: As read: (row, column) of a .csv.
        names: Of the columns; empty where the file gives none.
    """

    values: np.ndarray
    names: tuple[str, ...]


def read_columns(path: Path, where: str, chosen: Sequence[str] = ()) -> Columns:
    """Numbers of a file; of a .csv with a line of names the chosen columns.

    Args:
        path: The file.
        where: The option or key that named it.
        chosen: Names of columns, in the order wanted; all when empty.

    Raises:
        SpecError: As `read_points`; or a name is not in the file, or there are none.
    """
    names = _names(path) if path.suffix == ".csv" else ()
    if not names:
        if chosen:
            raise SpecError(
                f"`{where}`: {path.name!r} has no line of names to choose "
                f"{', '.join(map(shown, chosen))} from; expected a .csv whose first "
                "line names its columns"
            )
        return Columns(read_points(path, where), ())
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpecError(
            f"`{where}`: {path.name!r} names {shown(twice[0])} twice; give every "
            "column a name of its own"
        )
    for name in chosen:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise SpecError(
                f"`{where}`: {path.name!r} has no column {shown(name)}{hint}; it has "
                f"{', '.join(map(shown, names[:20]))}"
            )
    taken = tuple(chosen) or names
    try:
        with path.open(encoding="utf-8-sig") as file:
            values = np.loadtxt(
                file,
                delimiter=",",
                ndmin=2,
                skiprows=1,
                usecols=[names.index(name) for name in taken],
            )
    except Exception as error:  # of damaged bytes NumPy raises many kinds
        raise SpecError(f"`{where}`: cannot read {path.name!r}: {error}") from error
    return Columns(values, taken)


def _names(path: Path) -> tuple[str, ...]:
    """Cells of the first line where one of them is no number; else none."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline(_LONGEST)
        cells = [cell.strip() for cell in next(csv.reader([first]), [])]
    except (OSError, ValueError, csv.Error):  # said by whoever reads the numbers
        return ()
    if not cells or first.startswith("#") or all(map(_is_number, cells)):
        return ()
    return tuple(cells) if all(cells) else ()


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
