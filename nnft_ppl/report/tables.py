"""The tables of the page, row by row as text."""

import math
from typing import Any

from nnft_ppl._numbers import (
    exact,
    interval_text,
    percent,
    percent_interval,
    significant,
    with_error,
)
from nnft_ppl.diagnostics.answers import PREFERRED
from nnft_ppl.eft.operators import operators
from nnft_ppl.inference.verdict import Verdict
from nnft_ppl.report.numbers import action_html, cutoff_text, symbol_html
from nnft_ppl.report.results import Results

type Row = dict[str, Any]


def summary_rows(results: Results) -> list[Row]:
    """A coupling at a cutoff each."""
    symbols = {
        o.name: symbol_html(o.symbol, o.name) for o in results.fit.action.operators
    }
    return [
        {
            "cutoff": cutoff_text(row["cutoff"]),
            "operator": symbols[row["operator"]],
            "value": with_error(row["mean"], row["sd"]),
            "interval": interval_text(row["lower"], row["upper"], row["sd"]),
            "rhat": "–" if math.isnan(row["rhat"]) else f"{row['rhat']:.3f}",
            "ess_bulk": f"{row['ess_bulk']:.0f}",
            "ess_tail": f"{row['ess_tail']:.0f}",
            "num_divergent": str(row["num_divergent"]),
        }
        for row in results.summary.to_dict("records")
    ]


def adequacy_rows(results: Results) -> list[Row]:
    """A cutoff each."""
    return [
        {
            "cutoff": cutoff_text(row["cutoff"]),
            "p_value": significant(row["p_value"], 2),
            "discrepancy": percent(row["discrepancy"]),
            "interval": percent_interval(
                row["discrepancy_lower"], row["discrepancy_upper"]
            ),
            "misfit": percent(row["relative_misfit"]),
            "noise": significant(100 * row["relative_noise"], 2) + " %"
            if math.isfinite(row["relative_noise"])
            else "unknown",
            "verdict": row["verdict"],
            "reason": row["reason"],
            "good": row["verdict"] == Verdict.DESCRIBES,
        }
        for row in results.adequacy.to_dict("records")
    ]


def check_rows(results: Results) -> list[Row]:
    """A check each."""
    return [
        {
            "name": check.name,
            "value": exact(check.value),
            "threshold": exact(check.threshold),
            "passed": check.passed,
            "message": check.message,
        }
        for check in results.checks
    ]


def comparison_rows(results: Results) -> list[Row]:
    """An action each, the best first; none where none were compared."""
    if results.comparison is None:
        return []
    symbols = {name: operator.symbol for name, operator in operators().items()} | {
        o.name: o.symbol for o in results.fit.action.operators
    }
    return [
        {
            "action": action_html(row["action"], symbols),
            "behind": f"{row['behind']:.2f}",
            "elpd": with_error(row["elpd"], row["elpd_se"]),
            "num_high_pareto_k": str(row["num_high_pareto_k"]),
            "p_value": significant(row["p_value"], 2),
            "discrepancy": percent(row["discrepancy"]),
            "misfit": percent(row["relative_misfit"]),
            "verdict": row["verdict"]
            + (f", but {row['behind']:.0f} nats behind" if is_behind else ""),
            "good": row["verdict"] == Verdict.DESCRIBES and not is_behind,
        }
        for row in results.comparison.to_dict("records")
        for is_behind in [row["behind"] >= PREFERRED]
    ]
