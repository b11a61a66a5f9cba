"""The [training] table of a study file: networks of every width, trained on data."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax

from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl.bayes.data import checked_data
from nnft_ppl.correlators.symmetric import num_entries
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.measures.empirical import Empirical
from nnft_ppl.ensemble.local import choose_devices
from nnft_ppl.ensemble.model import check_num_draws
from nnft_ppl.study import _tables as kinds
from nnft_ppl.study._tables import Table, at
from nnft_ppl.study.data_rows import KEYS as ROWS
from nnft_ppl.study.data_rows import Rows, read_rows
from nnft_ppl.training.by_width import (
    OPERATORS,
    TOLERANCE,
    check_before_and_after,
)
from nnft_ppl.training.plan import METHODS
from nnft_ppl.training.standardised import check_normal
from nnft_ppl.training.train import (
    ORDERS,
    checked_rate,
    checked_temperature,
    checked_times,
)

KEYS = (
    *ROWS,
    "method",
    "times",
    "learning_rate",
    "temperature",
    "num_draws",
    "operators",
    "tolerance",
)


@dataclass(frozen=True, eq=False)
class TrainingTable:
    """[training]: what networks of every width are trained on, and how.

    Attributes:
        rows: Data, and the new inputs at which f is looked at.
        method: As in `nnft_ppl.train_ensemble`.
        times: Ascending, two or more.
        learning_rate: `None` for the safe one of the narrowest network.
        temperature: Of Langevin dynamics, else `None`.
        num_draws: Networks of each width.
        operators: Of the action fitted at every width and time.
        tolerance: Relative size up to which a connected part is small.
    """

    rows: Rows
    method: str
    times: tuple[float, ...]
    learning_rate: float | None
    temperature: float | None
    num_draws: int
    operators: tuple[str, ...]
    tolerance: float

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **self.rows.record(),
            "method": self.method,
            "times": list(self.times),
            "learning_rate": self.learning_rate,
            "temperature": self.temperature,
            "num_draws": self.num_draws,
            "operators": list(self.operators),
            "tolerance": self.tolerance,
        }


def read_training(
    table: Table,
    net: Network,
    widths: tuple[int, ...],
    num_draws: int,
    seed: int,
    folder: Path,
) -> TrainingTable:
    """The [training] table, checked with the files that it names.

    Args:
        table: As found.
        net: The network at its smallest width.
        widths: Of the study.
        num_draws: Networks, unless the table says.
        seed: Of the study, which draws the rows held out.
        folder: Where relative files are looked for.

    Raises:
        SpecError: A value or a file is unusable, or there is one width alone.
    """
    if len(widths) < 2:
        raise SpecError(
            f"[training] compares widths, and there is {widths[0]} alone; expected "
            "`network.widths`, two or more"
        )
    rows = read_rows(table, net, seed, folder)
    method = table.choice("method", METHODS)
    times = table.take("times", kinds.Many(kinds.NUMBER))
    times = at(table.path("times"), partial(checked_times, times, method))
    at(table.path("times"), partial(check_before_and_after, times))
    temperature = table.take("temperature", kinds.POSITIVE, None)
    path = table.path("temperature")
    warmth = at(path, partial(checked_temperature, temperature, method))
    if method == "langevin":
        at("network.architecture", partial(check_normal, net, "all"))
    rate = table.take("learning_rate", kinds.POSITIVE, None)
    if rate is not None:
        check = partial(_check_rate, net, rows, rate, method, warmth)
        at(table.path("learning_rate"), check)
    data = rows.data
    at(table.path("new_inputs"), partial(net.check_inputs, data.x_new, distinct=True))
    operators = table.take("operators", kinds.Many(kinds.TEXT), OPERATORS)
    measure = Empirical(data.x_new)
    at(table.path("operators"), partial(Action, operators, measure=measure))
    num_draws = table.take("num_draws", kinds.WHOLE, num_draws)
    needed = sum(num_entries(len(data.x_new), k) for k in ORDERS) + 1
    at(table.path("num_draws"), partial(check_num_draws, num_draws, needed))
    return TrainingTable(
        rows=rows,
        method=method,
        times=times,
        learning_rate=rate,
        temperature=temperature,
        num_draws=num_draws,
        operators=operators,
        tolerance=table.take("tolerance", kinds.SHARE, TOLERANCE),
    )


def _check_rate(
    net: Network, rows: Rows, rate: float, method: str, temperature: float
) -> None:
    """Refuse a learning rate at which infinitely wide networks diverge."""
    data = checked_data(net, rows.data.x, rows.data.y, rows.data.x_new)
    # The key is that of networks measured where the tangent kernel is not known.
    key, devices = jax.random.key(0), choose_devices(None)
    checked_rate(net, data, rate, method, "all", "ntk", temperature, key, devices)
