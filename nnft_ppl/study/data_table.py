"""The [data] table of a study file: data that networks of every width are given."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnft_ppl._columns import Columns, read_columns
from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl.bayes.data import check_memory, checked_data
from nnft_ppl.bayes.data_set import DataSet, held_out_rows
from nnft_ppl.bayes.features import check_gaussian_readout, num_features
from nnft_ppl.bayes.four_methods import check_variance
from nnft_ppl.bayes.weights import MIN_DRAWS
from nnft_ppl.ensemble.model import check_num_draws
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
    "noise_std",
    "standardise",
    "width",
    "num_draws",
    "num_samples",
    "method",
    "tolerance",
)
_METHODS = ("auto", "weights", "smc")
"""Those of `nnft_ppl.posterior` that give an evidence."""


@dataclass(frozen=True, eq=False)
class DataTable:
    """[data]: what is conditioned on what, and how.

    Attributes:
        width: Of the network whose methods are compared.
        data: Data and new inputs, as the network sees them.
        names: Of the columns of inputs; empty where their file gives none.
        target: Name of the targets, or "".
        held_out: Where the new inputs are from, in words.
        noise_std: σ of the targets as the network sees them.
        num_draws: Networks of the prior at every width.
        num_samples: Draws of the field in each of four chains; where weights fail, so
            many particles in each population.
        method: `auto`, `weights` or `smc`, as in `nnft_ppl.posterior`.
        tolerance: Distance from the exact posterior that is close enough.
    """

    width: int
    data: DataSet
    names: tuple[str, ...]
    target: str
    held_out: str
    noise_std: float
    num_draws: int
    num_samples: int
    method: str
    tolerance: float

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        data, standard = self.data, self.data.standard
        return {
            "width": self.width,
            "inputs": data.x.tolist(),
            "targets": data.y.tolist(),
            "new_inputs": data.x_new.tolist(),
            "new_targets": None if data.y_new is None else data.y_new.tolist(),
            "standardised_by": None if standard is None else standard.record(),
            "names": list(self.names),
            "target": self.target,
            "held_out": self.held_out,
            "noise_std": self.noise_std,
            "num_draws": self.num_draws,
            "num_samples": self.num_samples,
            "method": self.method,
            "tolerance": self.tolerance,
        }


def read_data(
    table: Table,
    net: Network,
    widths: tuple[int, ...],
    eft_width: int | None,
    num_draws: int,
    seed: int,
    folder: Path,
) -> DataTable:
    """The [data] table, checked with the files that it names.

    Args:
        table: As found.
        net: The network.
        widths: Of the study.
        eft_width: Of the fit, whose couplings then serve; `None` without one.
        num_draws: Networks, unless the table says.
        seed: Of the study, which draws the rows held out.
        folder: Where relative files are looked for.

    Raises:
        SpecError: A value or a file is unusable.
        UnavailableError: The network has no Gaussian readout, or no kernel.
    """
    at("network.architecture", lambda: check_gaussian_readout(net))
    if not net.has_kernel:
        raise UnavailableError(
            f"`network.architecture`: {net.unknown_kernel}, which [data] needs for the "
            "Gaussian process; have one measured with `ensemble.kernel_draws`"
        )
    x, y, x_new, y_new, names, target, said = _files(table, seed, folder)
    standardise = table.take("standardise", kinds.BOOLEAN, False)
    data = at(
        table.path("inputs"),
        lambda: DataSet.checked(net, x, y, x_new, y_new, standardise=standardise),
    )
    seen = checked_data(net, data.x, data.y, data.x_new)
    at(table.path("new_inputs"), lambda: check_variance(net, seen))
    widest = num_features(net.with_width(widths[-1]))
    at(table.path("inputs"), lambda: check_memory(seen, widest))
    only = eft_width or (widths[0] if len(widths) == 1 else None)
    width = table.take("width", kinds.WHOLE, *([] if only is None else [only]))
    num_draws = table.take("num_draws", kinds.WHOLE, num_draws)
    at(table.path("num_draws"), lambda: check_num_draws(num_draws, MIN_DRAWS))
    return DataTable(
        width=width,
        data=data,
        names=names,
        target=target,
        held_out=said,
        noise_std=table.take("noise_std", kinds.POSITIVE),
        num_draws=num_draws,
        num_samples=table.take("num_samples", kinds.WHOLE, 1000),
        method=table.choice("method", _METHODS),
        tolerance=table.take("tolerance", kinds.POSITIVE, 0.1),
    )


type _Found = tuple[
    np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, tuple[str, ...], str, str
]


def _files(table: Table, seed: int, folder: Path) -> _Found:
    """x, y, x_new, y_new, names of inputs, of the target, and what was held out."""
    inputs, targets = (table.take(key, kinds.TEXT) for key in ("inputs", "targets"))
    chosen = table.take("input_columns", kinds.Many(kinds.TEXT), ())
    column = table.take("target_column", kinds.TEXT, None)
    new_inputs = table.take("new_inputs", kinds.TEXT, None)
    new_targets = table.take("new_targets", kinds.TEXT, None)
    share = table.take("held_out", kinds.SHARE, None)
    if inputs == targets and not (chosen and column):
        raise SpecError(
            f"`{table.path('inputs')}` and `{table.path('targets')}` are one file; say "
            f"which columns are which by `{table.path('input_columns')}` and "
            f"`{table.path('target_column')}`"
        )
    if (share is None) == (new_inputs is None):
        raise SpecError(
            f"[data] needs either `{table.path('held_out')}`, a share of the rows, or "
            f"`{table.path('new_inputs')}`, a file"
        )
    if new_targets is not None and new_inputs is None:
        raise SpecError(
            f"`{table.path('new_targets')}` needs `{table.path('new_inputs')}`"
        )

    def read(key: str, file: str, names: tuple[str, ...]) -> Columns:
        return read_columns(folder / file, table.path(key), names)

    of_target = () if column is None else (column,)
    x, y = read("inputs", inputs, chosen), read("targets", targets, of_target)
    target = y.names[0] if len(y.names) == 1 else ""
    if share is not None:
        if len(x.values) != len(y.values):
            raise SpecError(
                f"`{table.path('targets')}` has {len(y.values)} rows; expected one for "
                f"each of {len(x.values)} inputs"
            )
        rows, held = at(
            table.path("held_out"), lambda: held_out_rows(len(x.values), share, seed)
        )
        said = f"{len(held)} of {len(x.values)} rows, drawn by the seed {seed}"
        known, new = (x.values[rows], y.values[rows]), (x.values[held], y.values[held])
        return *known, *new, x.names, target, said
    assert new_inputs is not None
    x_new = read("new_inputs", new_inputs, x.names if chosen else ())
    if x_new.names and x.names and x_new.names != x.names:
        raise SpecError(
            f"`{table.path('new_inputs')}` has the columns {list(x_new.names)}; "
            f"expected {list(x.names)}, those of `{table.path('inputs')}`"
        )
    y_new = None
    if new_targets is not None:
        y_new = read("new_targets", new_targets, of_target).values
    said = f"{len(x_new.values)} new inputs from {Path(new_inputs).name}"
    return x.values, y.values, x_new.values, y_new, x.names, target, said
