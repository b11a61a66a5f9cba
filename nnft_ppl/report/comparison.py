"""Runs side by side: networks, deviations, couplings, verdicts and evidence.

In: the results of two or more studies. Out: tables, and one page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from nnft_ppl.correlators.deviation import mean_deviation
from nnft_ppl.report.deviations import best_by_width
from nnft_ppl.report.results import Approach, DataAlone, Results

type Found = Results | Approach | DataAlone


@dataclass(frozen=True, eq=False)
class Compared:
    """What several studies found.

    Attributes:
        runs: Name -> results, in the order given; names differ.
    """

    runs: Mapping[str, Found]

    @cached_property
    def units(self) -> Mapping[str, int]:
        """Run -> number, of those with an action.

        Couplings of one operator have one unit in runs of equal number: those of one
        measure, one scheme and one input dimension.
        """
        seen: list[object] = []
        found_units = {}
        for name, found in self.runs.items():
            if not isinstance(found, Results):
                continue
            action = found.fit.action
            dim = found.network.hyperparameters.input_dim
            unit = (action.measure, action.scheme, dim)
            if unit not in seen:
                seen.append(unit)
            found_units[name] = seen.index(unit) + 1
        return found_units

    @property
    def networks(self) -> pd.DataFrame:
        """One row a run: run, architecture, width, widths, inputs, action, seed."""
        rows = []
        for name, found in self.runs.items():
            net = found.network
            rows.append(
                {
                    "run": name,
                    "architecture": net.name,
                    "width": net.width,
                    "widths": _widths(found),
                    "input_dim": net.input_dim,
                    "weight_std": net.hyperparameters.weight_std,
                    "bias_std": net.hyperparameters.bias_std,
                    "action": " + ".join(found.fit.action.names)
                    if isinstance(found, Results)
                    else "",
                    "seed": found.seed,
                }
            )
        return pd.DataFrame(rows)

    @property
    def deviations(self) -> pd.DataFrame:
        """One row a run, width and order: value and error, exact where known."""
        rows = []
        for name, found in self.runs.items():
            if isinstance(found, DataAlone):
                continue
            for correlators in best_by_width(found):
                for order in correlators.orders:
                    deviation = mean_deviation(correlators, order)
                    rows.append(
                        {
                            "run": name,
                            "width": correlators.network.width,
                            "order": order,
                            "value": deviation.value,
                            "error": deviation.error,
                        }
                    )
        return pd.DataFrame(rows, columns=["run", "width", "order", "value", "error"])

    @property
    def couplings(self) -> pd.DataFrame:
        """One row an operator, unit, cutoff and run that has them.

        Columns: operator, units (see `units`), cutoff, run, mean, sd, and against the
        first run that has this operator in this unit at this cutoff difference,
        difference_sd and significance (the difference over its standard deviation; NaN
        in that first run). The runs count as independent: with one seed and one
        network they are not.
        """
        tables = [
            found.summary[["operator", "cutoff", "mean", "sd"]].assign(
                run=name, units=self.units[name]
            )
            for name, found in self.runs.items()
            if isinstance(found, Results)
        ]
        same = ["operator", "units", "cutoff"]
        columns = [*same, "run", "mean", "sd"]
        empty = pd.DataFrame(columns=columns)
        table = pd.concat(tables, ignore_index=True)[columns] if tables else empty
        # By operator, unit and cutoff; within them in the order of the runs.
        table = table.sort_values(same, kind="stable")
        first = table.groupby(same)[["mean", "sd"]].transform("first")
        repeated = table.duplicated(same)
        difference = (table["mean"] - first["mean"]).where(repeated)
        sd = pd.Series(np.hypot(table["sd"], first["sd"]), table.index).where(repeated)
        table = table.assign(difference=difference, difference_sd=sd)
        table["significance"] = table["difference"] / table["difference_sd"]
        return table.reset_index(drop=True)

    @property
    def verdicts(self) -> pd.DataFrame:
        """One row a run with an action: verdict, misfit, prediction, checks.

        Columns: run, verdict, cutoff (of the worst misfit), discrepancy_lower,
        discrepancy_upper, tolerance, predicted and gaussian (relative error of the
        6-pt function), log_evidence (at that cutoff), data (which runs of equal number
        have the same data, so that their evidence may be compared) and failed.
        """
        rows: list[dict[str, Any]] = []
        seen: list[np.ndarray] = []
        for name, found in self.runs.items():
            if not isinstance(found, Results):
                continue
            fit, answers = found.fit, found.answers
            at = found.adequacy["cutoff"] == answers.cutoff
            (row,) = found.adequacy[at].to_dict("records")
            which = fit.cutoffs.index(answers.cutoff)
            rows.append(
                {
                    "run": name,
                    "verdict": answers.verdict.value,
                    "cutoff": answers.cutoff,
                    "discrepancy_lower": row["discrepancy_lower"],
                    "discrepancy_upper": row["discrepancy_upper"],
                    "tolerance": found.tolerance,
                    "predicted": found.six_point.predicted,
                    "gaussian": found.six_point.gaussian,
                    "log_evidence": float(fit.log_evidence[which]),
                    "data": _number_of(_data(found), seen),
                    "failed": [c.name for c in found.checks if not c.passed],
                }
            )
        return pd.DataFrame(rows)

    @property
    def training(self) -> pd.DataFrame:
        """One row a run that trained, quantity and time: powers of the width.

        Columns: run, and those of `TrainingByWidth.exponents`.
        """
        tables = [
            found.training.by_width.exponents.assign(run=name)
            for name, found in self.runs.items()
            if found.training is not None
        ]
        columns = ["run", "quantity", "time", "exponent", "error", "from_width", "note"]
        empty = pd.DataFrame(columns=columns)
        return pd.concat(tables, ignore_index=True)[columns] if tables else empty


def _widths(found: Found) -> list[int]:
    if isinstance(found, DataAlone):
        return list(found.widths)
    return sorted({c.network.width for c in found.correlators})


def _data(found: Results) -> np.ndarray:
    """What the couplings were inferred from, in one array."""
    likelihood, data = found.fit.likelihood, found.fit.correlators
    parts = [data.connected(k) for k in likelihood.orders]
    return np.concatenate([np.ravel(data.x), *parts])


def _number_of(data: np.ndarray, seen: list[np.ndarray]) -> int:
    """Which of the data seen so far these are, from 1; new ones are added."""
    for number, other in enumerate(seen, 1):
        if np.array_equal(data, other):
            return number
    seen.append(data)
    return len(seen)


def records(compared: Compared) -> dict[str, Sequence[Mapping[Any, Any]]]:
    """Every table as records, for JSON."""
    tables = ("networks", "deviations", "couplings", "verdicts", "training")
    return {name: getattr(compared, name).to_dict("records") for name in tables}
