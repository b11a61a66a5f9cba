"""The [data] table of a study file: data that networks of every width are given."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnft_ppl._errors import UnavailableError
from nnft_ppl._network import Network
from nnft_ppl.bayes.data import check_memory, checked_data
from nnft_ppl.bayes.data_set import DataSet
from nnft_ppl.bayes.features import check_gaussian_readout, num_features
from nnft_ppl.bayes.four_methods import check_variance
from nnft_ppl.bayes.weights import MIN_DRAWS
from nnft_ppl.ensemble.model import check_num_draws
from nnft_ppl.study import _tables as kinds
from nnft_ppl.study._tables import Table, at
from nnft_ppl.study.data_rows import KEYS as ROWS
from nnft_ppl.study.data_rows import Rows, read_rows

KEYS = (
    *ROWS,
    "noise_std",
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
        rows: Data and new inputs.
        noise_std: σ of the targets as the network sees them.
        num_draws: Networks of the prior at every width.
        num_samples: Draws of the field in each of four chains; where weights fail, so
            many particles in each population.
        method: `auto`, `weights` or `smc`, as in `nnft_ppl.posterior`.
        tolerance: Distance from the exact posterior that is close enough.
    """

    width: int
    rows: Rows
    noise_std: float
    num_draws: int
    num_samples: int
    method: str
    tolerance: float

    @property
    def data(self) -> DataSet:
        """As the network sees them."""
        return self.rows.data

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "width": self.width,
            **self.rows.record(),
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
    rows = read_rows(table, net, seed, folder)
    data = rows.data
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
        rows=rows,
        noise_std=table.take("noise_std", kinds.POSITIVE),
        num_draws=num_draws,
        num_samples=table.take("num_samples", kinds.WHOLE, 1000),
        method=table.choice("method", _METHODS),
        tolerance=table.take("tolerance", kinds.POSITIVE, 0.1),
    )
