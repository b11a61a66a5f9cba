"""Inputs in a study file: a list of them, or a file beside it, some of its columns."""

from pathlib import Path
from typing import Any

from nnft_ppl._columns import read_columns
from nnft_ppl._errors import SpecError
from nnft_ppl.study import _tables as kinds
from nnft_ppl.study._tables import Table

KEYS = ("points", "file", "columns")


def read_inputs(table: Table, folder: Path) -> tuple[str, Any] | None:
    """Path of the key that gives inputs, and what it gives, as it stands; or `None`.

    Args:
        table: As found, some of whose keys are `KEYS`.
        folder: Where relative files are looked for.

    Raises:
        SpecError: Points and a file are both given, columns without a file, or the file
            cannot be read.
    """
    points = table.take("points", kinds.ANYTHING, None)
    file = table.take("file", kinds.TEXT, None)
    columns = table.take("columns", kinds.Many(kinds.TEXT), ())
    if points is not None and file is not None:
        raise SpecError(
            f"`{table.path('points')}` and `{table.path('file')}` are both given; "
            "expected one of them"
        )
    if file is not None:
        where = table.path("file")
        return where, read_columns(folder / file, where, columns).values
    if columns:
        raise SpecError(
            f"`{table.path('columns')}` is of a file, and `{table.path('file')}` is "
            "not given; leave it out"
        )
    return None if points is None else (table.path("points"), points)
