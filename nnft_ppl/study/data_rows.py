"""Rows of data in a study file: those given to networks, and those they are asked for.

In: keys of [data] or [training], lists in the file itself or files beside it. Out: a
`DataSet` as the network sees it, and what its columns are called.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnft_ppl._arrays import real_numbers
from nnft_ppl._columns import Columns, read_columns
from nnft_ppl._errors import SpecError, shown
from nnft_ppl._network import Network
from nnft_ppl.bayes.data_set import DataSet, held_out_rows
from nnft_ppl.study import _tables as kinds
from nnft_ppl.study._tables import Table, at

KEYS = (
    "inputs",
    "input_columns",
    "targets",
    "target_column",
    "new_inputs",
    "new_targets",
    "held_out",
    "standardise",
)


@dataclass(frozen=True, eq=False)
class Rows:
    """Data, new inputs, and their names.

    Attributes:
        data: As the network sees them.
        names: Of the columns of inputs; empty where nothing names them.
        target: Name of the targets, or "".
        held_out: Where the new inputs are from, in words.
    """

    data: DataSet
    names: tuple[str, ...]
    target: str
    held_out: str

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        data, standard = self.data, self.data.standard
        return {
            "inputs": data.x.tolist(),
            "targets": data.y.tolist(),
            "new_inputs": data.x_new.tolist(),
            "new_targets": None if data.y_new is None else data.y_new.tolist(),
            "standardised_by": None if standard is None else standard.record(),
            "names": list(self.names),
            "target": self.target,
            "held_out": self.held_out,
        }


def read_rows(table: Table, net: Network, seed: int, folder: Path) -> Rows:
    """The rows that a table names, checked against the network.

    Args:
        table: As found, some of whose keys are `KEYS`.
        net: The network.
        seed: Of the study, which draws the rows held out.
        folder: Where relative files are looked for.

    Raises:
        SpecError: A value or a file is unusable.
    """
    inputs, targets = (table.take(key, kinds.ANYTHING) for key in ("inputs", "targets"))
    chosen = table.take("input_columns", kinds.Many(kinds.TEXT), ())
    column = table.take("target_column", kinds.TEXT, None)
    new_inputs = table.take("new_inputs", kinds.ANYTHING, None)
    new_targets = table.take("new_targets", kinds.ANYTHING, None)
    held_out = table.take("held_out", kinds.HELD_OUT, None)
    standardise = table.take("standardise", kinds.BOOLEAN, False)
    if isinstance(inputs, str) and inputs == targets and not (chosen and column):
        raise SpecError(
            f"`{table.path('inputs')}` and `{table.path('targets')}` are one file; say "
            f"which columns are which by `{table.path('input_columns')}` and "
            f"`{table.path('target_column')}`"
        )
    if (held_out is None) == (new_inputs is None):
        raise SpecError(
            f"expected either `{table.path('held_out')}`, a share of the rows or their "
            f"number, or `{table.path('new_inputs')}`, a file or a list"
        )
    if new_targets is not None and new_inputs is None:
        raise SpecError(
            f"`{table.path('new_targets')}` needs `{table.path('new_inputs')}`"
        )

    def read(key: str, given: Any, names: tuple[str, ...]) -> Columns:
        return _columns(table.path(key), given, names, folder)

    of_target = () if column is None else (column,)
    x, y = read("inputs", inputs, chosen), read("targets", targets, of_target)
    known, new, y_new = (x.values, y.values), np.empty(0), None
    if held_out is not None:
        if len(x.values) != len(y.values):
            raise SpecError(
                f"`{table.path('targets')}` has {len(y.values)} rows; expected one for "
                f"each of {len(x.values)} inputs"
            )
        rows, held = at(
            table.path("held_out"), lambda: held_out_rows(len(x.values), held_out, seed)
        )
        said = f"{len(held)} of {len(x.values)} rows, drawn by the seed {seed}"
        known, new, y_new = (
            (x.values[rows], y.values[rows]),
            x.values[held],
            y.values[held],
        )
    else:
        x_new = read("new_inputs", new_inputs, x.names if chosen else ())
        if x_new.names and x.names and x_new.names != x.names:
            raise SpecError(
                f"`{table.path('new_inputs')}` has the columns {list(x_new.names)}; "
                f"expected {list(x.names)}, those of `{table.path('inputs')}`"
            )
        if new_targets is not None:
            y_new = read("new_targets", new_targets, of_target).values
        new = x_new.values
        whence = (
            Path(new_inputs).name if isinstance(new_inputs, str) else "the study file"
        )
        said = f"{len(new)} new inputs from {whence}"
    data = at(
        table.path("inputs"),
        lambda: DataSet.checked(net, *known, new, y_new, standardise=standardise),
    )
    return Rows(data, x.names, y.names[0] if len(y.names) == 1 else "", said)


def _columns(where: str, given: Any, names: tuple[str, ...], folder: Path) -> Columns:
    """A file's, or those of a list in the study file."""
    if isinstance(given, str) and given.strip():
        return read_columns(folder / given, where, names)
    if not isinstance(given, list) or not given:
        raise SpecError(
            f"`{where}` is {shown(given)}; expected the name of a file, .npy or .csv, "
            "or a list of numbers, one item a row"
        )
    if names:
        raise SpecError(f"`{where}` is a list, whose columns have no names to choose")
    return Columns(real_numbers(f"`{where}`", given, "(row,) or (row, column)"), ())
