"""The page of runs side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from nnft_ppl._drawn_network import is_drawn
from nnft_ppl._numbers import SMALL, percent, percent_interval, significant, with_error
from nnft_ppl._version import __version__
from nnft_ppl.inference.verdict import Verdict
from nnft_ppl.report.comparison import Compared
from nnft_ppl.report.numbers import action_html, cutoff_text
from nnft_ppl.report.of_training import SHORT, power_text
from nnft_ppl.report.overlays import Overlay
from nnft_ppl.report.page import embedded, templates
from nnft_ppl.report.results import Results

SIGNIFICANT = 3.0
"""Standard deviations from which on two couplings are said to differ."""

_POWERS = (("four_point", False), ("four_point", True), ("three_point", True))
"""Quantity, and whether it is that after training."""

type Table = Mapping[str, Any]


def render_comparison(compared: Compared, overlays: Sequence[Overlay]) -> str:
    """The page, with what `draw_comparison` drew inside."""
    verdicts = compared.verdicts
    is_good = not verdicts.empty and all(
        row["verdict"] == Verdict.DESCRIBES and not row["failed"]
        for row in verdicts.to_dict("records")
    )
    return (
        templates()
        .get_template("comparison.html")
        .render(
            names=list(compared.runs),
            headline=comparison_headline(compared),
            sentences=comparison_sentences(compared),
            is_good=is_good,
            tables=[
                _networks(compared),
                _deviations(compared, overlays),
                _verdicts(compared),
                _couplings(compared, overlays),
                *_evidence(compared),
                *_data(compared),
                *_training(compared),
            ],
            command=f"nnft report {' '.join(compared.runs)}",
            version=__version__,
        )
    )


def comparison_headline(compared: Compared) -> str:
    """How many of the runs have an action that describes their network."""
    table = compared.verdicts
    if table.empty:
        return f"{len(compared.runs)} runs, of which none has an action"
    good = int((table["verdict"] == Verdict.DESCRIBES).sum())
    without = len(compared.runs) - len(table)
    more = f"; {without} without an action" if without else ""
    described = " or ".join(
        dict.fromkeys(
            found.fit.correlators.origin.the
            for found in compared.runs.values()
            if isinstance(found, Results)
        )
    )
    return f"The action describes {described} in {good} of {len(table)} runs{more}"


def comparison_sentences(compared: Compared) -> list[Markup]:
    """What differs most."""
    table = compared.couplings
    sentences = [
        Markup("<b>{}</b> is of {}.").format(name, found.network.name)
        if is_drawn(found.network)
        else Markup("<b>{}</b> is {} at width {:,}.").format(
            name, found.network.name, found.network.width
        )
        for name, found in compared.runs.items()
    ]
    pairs = table.dropna(subset=["significance"])
    if pairs.empty:
        return [
            *sentences,
            Markup("No operator was fitted at one cutoff in one unit in two runs."),
        ]
    far = pairs.iloc[int(pairs["significance"].abs().to_numpy().argmax())]
    number = int((pairs["significance"].abs() >= SIGNIFICANT).sum())
    return [
        *sentences,
        Markup(
            "{} couplings are of an operator, unit and cutoff that an earlier run has, "
            "too; {} of them differ from it by {} standard deviations or more. The "
            "most is {}, {} at Λ = {} in {}."
        ).format(
            len(pairs),
            number,
            f"{SIGNIFICANT:g}",
            _sigmas(far["significance"]),
            action_html(far["operator"], _symbols(compared)),
            cutoff_text(far["cutoff"]),
            far["run"],
        ),
    ]


def _table(
    title: str,
    lead: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    numeric: Sequence[str] = (),
    figures: Sequence[Mapping[str, str]] = (),
) -> Table:
    return {
        "title": title,
        "lead": lead,
        "heads": list(heads),
        "rows": list(rows),
        "numeric": list(numeric),
        "figures": list(figures),
    }


def _figures(overlays: Sequence[Overlay], section: str) -> list[Mapping[str, str]]:
    """Those of a section."""
    return [
        {
            "title": one.title,
            "source": embedded({"": one.image})[""],
            "alternative": one.alternative,
            "caption": one.caption,
        }
        for one in overlays
        if one.section == section
    ]


def _networks(compared: Compared) -> Table:
    table = compared.networks
    symbols = _symbols(compared)
    kinds = ", ".join(dict.fromkeys(table["architecture"]))
    return _table(
        "What networks?",
        f"{len(table)} runs of {kinds}.",
        ["run", "network", "d_in", "width", "widths", "σ_W", "σ_b", "action", "seed"],
        [
            [
                row["run"],
                row["architecture"],
                str(row["input_dim"]),
                *_of_network(compared, row),
                action_html(row["action"], symbols) if row["action"] else "–",
                str(row["seed"]),
            ]
            for row in table.to_dict("records")
        ],
        ["width", "d_in", "σ_W", "σ_b", "seed"],
    )


def _of_network(compared: Compared, row: Mapping[Any, Any]) -> list[str]:
    """Width, widths and scales; draws have none."""
    if is_drawn(compared.runs[row["run"]].network):
        return ["–"] * 4
    scales = (f"{row[name]:g}" for name in ("weight_std", "bias_std"))
    return [str(row["width"]), ", ".join(map(str, row["widths"])), *scales]


def _data(compared: Compared) -> list[Table]:
    """What runs with data say; none without any."""
    having = {
        name: found.data
        for name, found in compared.runs.items()
        if found.data is not None
    }
    if not having:
        return []
    return [
        _table(
            "What do their data say?",
            f"Runs with data of their own: {len(having)}. Evidence may be compared "
            "between runs of the same data alone.",
            ["run", "width", "the Gaussian process", "widths"],
            [
                [
                    name,
                    str(data.comparison.exact.network.width),
                    data.headline,
                    data.curve.message,
                ]
                for name, data in having.items()
            ],
            ["width"],
        )
    ]


def _training(compared: Compared) -> list[Table]:
    """What training did in runs that train; none without any."""
    having = {
        name: found.training
        for name, found in compared.runs.items()
        if found.training is not None
    }
    if not having:
        return []
    return [
        _table(
            "What does training change?",
            "Powers of the width before and after training; connected functions over "
            "Gaussian ones fall as −1 in networks of independent units.",
            [
                *("run", "answer"),
                *(f"{SHORT[q]}, {'after' if t else 'before'}" for q, t in _POWERS),
            ],
            [
                [
                    name,
                    found.headline,
                    *(power_text(found.by_width, q, after=t) for q, t in _POWERS),
                ]
                for name, found in having.items()
            ],
        )
    ]


def _deviations(compared: Compared, overlays: Sequence[Overlay]) -> Table:
    table = compared.deviations
    four = table[table["order"] == 4]
    last = four.groupby("run", sort=False).tail(1).to_dict("records")
    of_networks = [n for n, f in compared.runs.items() if not is_drawn(f.network)]
    ends = [
        f"{percent(row['value'])} in {row['run']}"
        + (f" (width {row['width']})" if row["run"] in of_networks else "")
        for row in last
    ]
    runs = [name for name in compared.runs if (table["run"] == name).any()]
    return _table(
        "Are they near their Gaussian process?",
        "Mean relative deviation of the 4-point function at the largest width: "
        f"{', '.join(ends)}."
        if ends
        else "No correlators were measured.",
        ["width", "order", *runs],
        [
            [str(width), str(order), *(_cell(rows, name) for name in runs)]
            for (width, order), rows in table.groupby(["width", "order"])
        ],
        ["width", "order", *runs],
        _figures(overlays, "deviations"),
    )


def _cell(rows: pd.DataFrame, run: str) -> str:
    here = rows[rows["run"] == run]
    if here.empty:
        return "–"
    (row,) = here.to_dict("records")
    error = f" ± {percent(row['error'])}" if row["error"] >= SMALL else ""
    return percent(row["value"]) + error


def _verdicts(compared: Compared) -> Table:
    table = compared.verdicts
    return _table(
        "How well do their actions describe them?",
        f"{comparison_headline(compared)}. The misfit is at the cutoff where it may be "
        "largest.",
        [
            "run",
            "verdict",
            "cutoff Λ",
            "misfit, 90 % interval",
            "tolerated",
            "6-point off by",
            "Gaussian process by",
            "checks failed",
        ],
        [
            [
                row["run"],
                row["verdict"],
                cutoff_text(row["cutoff"]),
                percent_interval(row["discrepancy_lower"], row["discrepancy_upper"]),
                percent(row["tolerance"]),
                percent(row["predicted"]),
                percent(row["gaussian"]),
                ", ".join(row["failed"]) or "none",
            ]
            for row in table.to_dict("records")
        ],
        ["cutoff Λ", "misfit, 90 % interval", "tolerated", "6-point off by"],
    )


def _couplings(compared: Compared, overlays: Sequence[Overlay]) -> Table:
    table = compared.couplings
    symbols = _symbols(compared)
    return _table(
        "How do their couplings compare?",
        "Each beside the first run that has the operator at that cutoff in the same "
        "unit: the difference, and its size in standard deviations of both together, "
        "as of independent runs. Other architectures and widths have other couplings "
        f"in truth; {len(table)} couplings are below.{_units(compared)}",
        [
            "operator",
            "unit",
            "cutoff Λ",
            "run",
            "mean ± sd",
            "difference",
            "significance",
        ],
        [
            [
                action_html(row["operator"], symbols),
                str(row["units"]),
                cutoff_text(row["cutoff"]),
                row["run"],
                with_error(row["mean"], row["sd"]),
                "–"
                if np.isnan(row["difference"])
                else with_error(row["difference"], row["difference_sd"]),
                _sigmas(row["significance"]),
            ]
            for row in table.to_dict("records")
        ],
        ["cutoff Λ", "mean ± sd", "difference", "significance"],
        _figures(overlays, "couplings"),
    )


def _units(compared: Compared) -> str:
    """That there are several units, where there are."""
    number = len(set(compared.units.values()))
    if number < 2:
        return ""
    return (
        f" The runs have {number} units, of different measures, schemes or input "
        "dimensions: couplings of different units are different quantities, and are "
        "not compared."
    )


def _symbols(compared: Compared) -> dict[str, str]:
    """Name -> LaTeX, of every operator of every action."""
    return {
        operator.name: operator.symbol
        for found in compared.runs.values()
        if isinstance(found, Results)
        for operator in found.fit.action.operators
    }


def _evidence(compared: Compared) -> list[Table]:
    table = compared.verdicts
    if len(table) < 2:
        return []
    groups = table.groupby("data")["run"].agg(list)
    same = [" and ".join(runs) for runs in groups if len(runs) > 1]
    lead = (
        f"The same data were fitted in {'; in '.join(same)}, so that their evidence "
        "may be compared; that of other data may not."
        if same
        else f"The {len(table)} fits are of different data, whose evidence says "
        "nothing of one against another."
    )
    return [
        _table(
            "What does the evidence prefer?",
            lead,
            ["run", "data", "cutoff Λ", "log evidence"],
            [
                [
                    row["run"],
                    str(row["data"]),
                    cutoff_text(row["cutoff"]),
                    f"{row['log_evidence']:.2f}".replace("-", "−"),
                ]
                for row in table.to_dict("records")
            ],
            ["data", "cutoff Λ", "log evidence"],
        )
    ]


def _sigmas(value: float) -> str:
    return "–" if np.isnan(value) else f"{significant(value, 2)} σ"
