"""The part of the page that is of training: what it did to networks of every width."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from nnft_ppl._numbers import percent, significant, with_error
from nnft_ppl.bayes.data_set import Standard
from nnft_ppl.diagnostics.checks import Check
from nnft_ppl.plots import plot_training, png
from nnft_ppl.training.measures import CONNECTED
from nnft_ppl.training.verdict import TrainingByWidth

type Row = dict[str, str | list[str]]
type Cells = dict[Any, Any]

_METHODS = {
    "gradient_flow": "gradient flow",
    "gradient_descent": "gradient descent",
    "langevin": "Langevin dynamics",
}
SHORT = {
    "four_point": "4-point",
    "three_point": "3-point",
    "mean": "mean",
    "covariance": "covariance",
}
"""What is measured, in a word."""
_QUANTITIES = {
    "four_point": "connected 4-point over Gaussian",
    "three_point": "connected 3-point over Gaussian",
    "mean": "mean, from infinite width",
    "covariance": "covariance, from infinite width",
}


@dataclass(frozen=True, eq=False)
class TrainingResults:
    """What a study found of training.

    Attributes:
        by_width: Of `nnft_ppl.training_by_width`.
        temperature: Of Langevin dynamics, else `None`.
        standard: What inputs and targets were standardised by, or `None`.
        names: Of the columns of inputs; may be empty.
        target: Name of the targets, or "".
        held_out: Where the new inputs are from, in words.
    """

    by_width: TrainingByWidth
    temperature: float | None
    standard: Standard | None
    names: tuple[str, ...]
    target: str
    held_out: str

    @property
    def headline(self) -> str:
        """Whether near-Gaussianity survives, in a line."""
        return self.by_width.headline

    @cached_property
    def check(self) -> Check:
        """Whether connected functions after training can be trusted at some widths."""
        table, last = self.by_width.table, self.by_width.times[-1]
        after = table[table["quantity"].isin(CONNECTED) & (table["time"] == last)]
        heavy = after[after["is_heavy_tailed"]]
        widths = ", ".join(map(str, sorted(set(heavy["width"]))))
        left = after.groupby("quantity")["is_heavy_tailed"].apply(lambda h: (~h).sum())
        passed = bool((left >= 2).all())
        message = "no connected function of trained networks is dominated by a few"
        if widths:
            message = (
                "a few networks of a heavy tail dominate connected functions after "
                f"training at width {widths}, "
            ) + (
                "which the powers of the width leave out"
                if passed
                else "and leave too few widths: train more networks, or wider ones"
            )
        return Check(
            name="trained_tails",
            value=float(left.min()),
            threshold=2.0,
            passed=passed,
            message=message,
        )


def draw_training(found: TrainingResults) -> dict[str, bytes]:
    """The figure, name -> PNG."""
    return {"training": png(plot_training(found.by_width))}


def training_sentences(found: TrainingResults) -> tuple[Markup, ...]:
    """What to say on top of the page: whether it survives, and what not to trust."""
    survival = _marked(found.by_width.sentences[0])
    check = found.check
    failed = () if check.passed else (Markup("{}.").format(_capital(check.message)),)
    return (survival, *failed)


def training_fields(found: TrainingResults) -> dict[str, object]:
    """What the template is filled with."""
    result = found.by_width
    return {
        "sentences": [_marked(text) for text in result.sentences[1:]],
        "before": _time(result, result.times[0]),
        "after": _time(result, result.times[-1]),
        "times": [_time(result, time) for time in result.times],
        "widths": [f"{width:,}" for width in result.widths],
        "exponents": _exponent_rows(result),
        "sizes": _size_rows(result),
        "couplings": _coupling_rows(result),
        "changes": _change_rows(result),
        "tolerance": percent(result.tolerance),
        "check": {
            "passed": found.check.passed,
            "message": _capital(found.check.message),
        },
    }


def training_rows(found: TrainingResults) -> list[tuple[str, str | Markup]]:
    """What was run, as (what, value)."""
    result = found.by_width
    target = f" {found.target}" if found.target else ""
    named = f": {', '.join(found.names)}" if found.names else ""
    standard = ", standardised" if found.standard is not None else ""
    how = f"{_METHODS[result.method]}, looked at after {_listed(result)}"
    if result.learning_rate:
        how += f", learning rate {significant(result.learning_rate, 3)}"
    if found.temperature is not None:
        how += f", temperature {found.temperature:g}"
    return [
        ("Trained on", f"{result.num_data} targets{target}{named}{standard}"),
        ("Looked at", found.held_out),
        ("Training", how),
        ("Networks trained", f"{result.num_draws:,} of each width"),
    ]


def training_alternatives(found: TrainingResults | None) -> dict[str, str]:
    """Of the figure, for those who do not see it."""
    if found is None:
        return {}
    return {
        "training": (
            "Connected 4- and 3-point functions over Gaussian ones, and the distance "
            "of mean and covariance from infinite width, against width at every time, "
            "logarithmic axes; below, couplings before and after. "
            f"{found.by_width.message}"
        )
    }


def _listed(result: TrainingByWidth) -> str:
    """All times, in words."""
    if result.method == "gradient_descent":
        return f"{', '.join(f'{time:,.0f}' for time in result.times)} steps"
    return f"t = {', '.join(f'{time:g}' for time in result.times)}"


def _time(result: TrainingByWidth, time: float) -> str:
    if result.method == "gradient_descent":
        return "1 step" if time == 1 else f"{time:,.0f} steps"
    return f"t = {time:g}"


def _exponent_rows(result: TrainingByWidth) -> list[Row]:
    """A row for every quantity, with its power of the width at every time."""
    table = _indexed(result.exponents, "quantity", "time")
    return [
        {
            "quantity": words,
            "cells": [
                _exponent(table[name, time], result.widths[0]) for time in result.times
            ],
        }
        for name, words in _QUANTITIES.items()
    ]


def power_text(result: TrainingByWidth, quantity: str, *, after: bool) -> str:
    """The power of the width of a quantity, at the first time or the last."""
    time = result.times[-1] if after else result.times[0]
    row = _indexed(result.exponents, "quantity", "time")[quantity, time]
    return _exponent(row, result.widths[0])


def _indexed(table: pd.DataFrame, *columns: str) -> dict[tuple[Any, ...], Cells]:
    """Values of these columns -> the row that has them."""
    return {tuple(row[c] for c in columns): row for row in table.to_dict("records")}


def _exponent(row: Cells, smallest: int) -> str:
    if not np.isfinite(row["exponent"]):
        return str(row["note"])
    first = int(row["from_width"])
    start = f", from {first} on" if first > smallest else ""
    return f"{with_error(row['exponent'], row['error'])}{start}"


def _size_rows(result: TrainingByWidth) -> list[Row]:
    """A row for every quantity and time, with its size at every width."""
    table = _indexed(result.table, "quantity", "time", "width")
    return [
        {
            "quantity": short,
            "time": _time(result, time),
            "cells": [_size(table[name, time, w]) for w in result.widths],
        }
        for name, short in SHORT.items()
        for time in result.times
    ]


def _size(row: Cells) -> str:
    if not np.isfinite(row["value"]):
        return "–"
    if row["is_heavy_tailed"]:
        return "heavy tail"
    if not row["value"] and not row["error"]:
        return "0"
    if not row["is_seen"]:
        return f"< {significant(float(row['value'] + 2 * row['error']), 2)}"
    return with_error(float(row["value"]), float(row["error"]))


def _coupling_rows(result: TrainingByWidth) -> list[Row]:
    """A row for every operator and width, before and after in natural units."""
    table = _indexed(result.couplings, "operator", "width", "time")
    ends = (result.times[0], result.times[-1])
    return [
        {
            "operator": name,
            "width": f"{width:,}",
            "cells": [
                with_error(row["natural"], row["natural_error"])
                for row in (table[name, width, time] for time in ends)
            ],
        }
        for name in dict.fromkeys(map(str, result.couplings["operator"]))
        for width in result.widths
    ]


def _change_rows(result: TrainingByWidth) -> list[Row]:
    return [
        {
            "operator": row["operator"],
            "growth": with_error(row["growth"], row["error"]),
            "sure": f"{abs(row['standard_errors']):.1f}",
            "change": row["change"],
        }
        for row in result.changes.to_dict("records")
    ]


def _marked(sentence: str) -> Markup:
    """A sentence of the verdict, powers of the width raised."""
    text = str(Markup("{}.").format(sentence))
    return Markup(re.sub(r"width\^\(([^()]*)\)", r"width<sup>\1</sup>", text))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
