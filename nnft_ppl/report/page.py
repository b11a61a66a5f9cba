"""From `Results` to figures and one HTML page that needs nothing else to be read."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from nnft_ppl._network import Network
from nnft_ppl._numbers import percent
from nnft_ppl._typing import Points
from nnft_ppl.correlators.origin import DRAWN, EXACT
from nnft_ppl.correlators.sampled.estimators import ESTIMATORS
from nnft_ppl.correlators.sampled.measurement import relative_error
from nnft_ppl.diagnostics.answers import PREFERRED
from nnft_ppl.inference.posterior import INTERVAL
from nnft_ppl.inference.verdict import SIGNIFICANCE
from nnft_ppl.plots import plot_couplings, plot_deviation, plot_prediction, png
from nnft_ppl.plots.prediction import chosen_cutoffs
from nnft_ppl.report.action import action_fields, measure_html
from nnft_ppl.report.alternatives import write_alternatives
from nnft_ppl.report.headline import write_opening
from nnft_ppl.report.leads import write_leads
from nnft_ppl.report.numbers import cutoff_text
from nnft_ppl.report.odd import (
    draw_odd,
    odd_alternative,
    odd_predictions,
    symmetry_lead,
    symmetry_rows,
)
from nnft_ppl.report.of_data import DataResults, data_fields, data_rows, draw_data
from nnft_ppl.report.of_training import (
    TrainingResults,
    draw_training,
    training_fields,
    training_rows,
)
from nnft_ppl.report.reproduce import python_lines
from nnft_ppl.report.results import Approach, Results, Target
from nnft_ppl.report.tables import (
    adequacy_rows,
    check_rows,
    comparison_rows,
    summary_rows,
)

type RunRow = tuple[str, str | Markup]


def draw_figures(results: Results) -> dict[str, bytes]:
    """The figures of the report, name -> PNG."""
    return {
        "deviation": png(plot_deviation(results.correlators)),
        "couplings": png(plot_couplings(results.fit)),
        "prediction": png(plot_prediction(results.fit, results.fit.correlators)),
        **draw_odd(results),
        **figures_of_data(results.data, results.training),
    }


def render_report(results: Results, figures: Mapping[str, bytes]) -> str:
    """The page, with the figures of `draw_figures` inside."""
    finite = np.isfinite(results.fit.cutoffs)
    return (
        templates()
        .get_template("template.html")
        .render(
            **common_fields(results, figures),
            opening=write_opening(results),
            **action_fields(results.fit.action),
            run=_run_rows(results),
            heavy_tailed=any(
                c.heavy_tailed(k).any() for c in results.correlators for k in c.orders
            ),
            num_panels=len(chosen_cutoffs(results.fit.cutoffs)),
            runs=bool(finite.sum() > 1),
            percent_interval=round(100 * INTERVAL),
            tolerance=percent(results.tolerance),
            significance=f"{SIGNIFICANCE:g}",
            preferred=f"{PREFERRED:g}",
            six_point=results.six_point,
            odd_predictions=odd_predictions(results),
            makes_mean=results.fit.action.makes_mean,
            leads=write_leads(results),
            alternatives=write_alternatives(results) | odd_alternative(results),
            summary=summary_rows(results),
            adequacy=adequacy_rows(results),
            checks=check_rows(results),
            comparison=comparison_rows(results),
            comparison_cutoff=cutoff_text(results.comparison_cutoff),
            python=python_lines(results),
        )
    )


def figures_of_data(
    data: DataResults | None, training: TrainingResults | None
) -> dict[str, bytes]:
    """The figures that data add to a page, name -> PNG."""
    return {
        **({} if data is None else draw_data(data)),
        **({} if training is None else draw_training(training)),
    }


def fields_of_data(
    data: DataResults | None, training: TrainingResults | None
) -> dict[str, Any]:
    """What the parts of a page that are of data are filled with."""
    return {
        "data": None if data is None else data_fields(data),
        "training": None if training is None else training_fields(training),
    }


def rows_of_data(
    data: DataResults | None, training: TrainingResults | None
) -> list[RunRow]:
    """What was run on data, as (what, value)."""
    return [
        *([] if data is None else data_rows(data)),
        *([] if training is None else training_rows(training)),
    ]


def common_fields(
    results: Results | Approach, figures: Mapping[str, bytes]
) -> dict[str, Any]:
    """What every page is filled with."""
    return {
        "name": results.name,
        "network": results.network.name,
        "origin": results.correlators[0].origin,
        "symmetry_lead": symmetry_lead(results),
        "symmetry": symmetry_rows(results),
        "figures": embedded(figures),
        "shows_exact": any(c.origin is EXACT for c in results.correlators),
        "captions": [
            route.caption
            for name, route in ESTIMATORS.items()
            if any(c.estimator == name for c in results.correlators)
        ],
        **fields_of_data(results.data, results.training),
        "study_text": results.text.strip(),
        "version": results.versions["nnft_ppl"],
    }


def embedded(figures: Mapping[str, bytes]) -> dict[str, str]:
    """Name -> PNG as an address that holds it."""
    return {
        key: "data:image/png;base64," + base64.b64encode(data).decode()
        for key, data in figures.items()
    }


def templates() -> jinja2.Environment:
    """Of the pages, in which nothing may be undefined."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )


def network_rows(net: Network) -> list[RunRow]:
    """What the network is, as (what, value)."""
    hp = net.hyperparameters
    options = ", ".join(f"{k} = {v}" for k, v in net.options.items())
    return [
        ("Network", f"{net.name}: {net.architecture.description}"),
        (
            "Hyperparameters",
            Markup(
                "input dimension {}, σ<sub>W</sub> = {}, σ<sub>b</sub> = {}{}"
            ).format(
                hp.input_dim,
                f"{hp.weight_std:g}",
                f"{hp.bias_std:g}",
                f", {options}" if options else "",
            ),
        ),
    ]


def common_rows(results: Results | Approach) -> list[RunRow]:
    """Network and measurements by width, as (what, value)."""
    net, first = results.network, results.correlators[0]
    if first.origin is DRAWN:
        return [
            ("Draws", f"{first.num_draws:,} {net.architecture.description}"),
            ("N, by which priors fall", f"{net.width:,}"),
            ("Inputs", points_text(first.x)),
        ]
    widths = sorted({c.network.width for c in results.correlators})
    rows: list[RunRow] = [
        *network_rows(net),
        ("Widths", ", ".join(map(str, widths))),
        ("Inputs", points_text(first.x)),
        ("Networks per width", _networks_text(results)),
    ]
    if net.kernel_draws is not None:
        measured = f"measured on {net.kernel_draws.num_draws:,} networks of each width"
        rows.append(("Kernel", measured))
    return rows


def last_rows(results: Results | Approach) -> list[RunRow]:
    """What was aimed at, seed and versions."""
    rows: list[RunRow] = []
    if results.target is not None:
        rows.append(("Relative error of G4c", _target_text(results, results.target)))
    versions = ", ".join(f"{name} {v}" for name, v in results.versions.items())
    rows += rows_of_data(results.data, results.training)
    return [*rows, ("Seed", str(results.seed)), ("Versions", versions)]


def _run_rows(results: Results) -> list[RunRow]:
    """What was run, as (what, value)."""
    net, data, fit = results.network, results.fit.correlators, results.fit
    rows: list[RunRow] = [
        *common_rows(results),
        *([] if data.origin is DRAWN else [("Width of the fit", str(net.width))]),
        (
            "Measure, scheme",
            Markup("{}, {}").format(
                measure_html(fit.action.measure), fit.action.scheme
            ),
        ),
    ]
    if not np.array_equal(data.x, results.correlators[0].x):
        rows.append(("Inputs of the fit", points_text(data.x)))
    origin = (
        f"{data.origin} correlators, no sampling"
        if data.is_exact
        else f"{data.num_draws:,} draws from a file"
        if data.origin is DRAWN
        else f"{data.num_draws:,} networks, {data.estimator} estimator"
    )
    rows.append(("Data of the fit", origin))
    sampling = results.sampling
    how = (
        f"NUTS, {sampling['num_chains']} chains of {sampling['num_samples']} draws "
        f"after {sampling['num_warmup']} of warmup"
        if fit.sampler == "nuts"
        else "closed form, "
        f"{sampling['num_chains'] * sampling['num_samples']} independent draws"
    )
    return [*rows, ("Sampler", how), *last_rows(results)]


def _networks_text(results: Results | Approach) -> str:
    """How many networks each estimator drew, width by width where that differs."""
    by_estimator: dict[str, dict[int, int]] = {}
    for found in results.correlators:
        if not found.is_exact:
            counts = by_estimator.setdefault(found.estimator, {})
            counts[found.network.width] = found.num_draws
    parts = []
    for estimator, counts in sorted(by_estimator.items()):
        different = len(set(counts.values())) > 1
        numbers = (
            [f"{count:,} at width {width}" for width, count in sorted(counts.items())]
            if different
            else [f"{next(iter(counts.values())):,}"]
        )
        parts.append(f"{', '.join(numbers)} ({estimator})")
    return "; ".join(parts)


def _target_text(results: Results | Approach, target: Target) -> str:
    """The error that was to be reached, and what was reached where."""
    estimator = results.correlators[0].estimator  # the study's, plain ones apart
    places = [
        (f"at width {found.network.width}", found)
        for found in results.correlators
        if found.estimator == estimator
    ]
    if isinstance(results, Results) and not results.fit.correlators.is_exact:
        places.append(("in the data of the fit", results.fit.correlators))
    reached = []
    for place, found in places:
        error = relative_error(found) or 0.0  # 0: there is no G4c to miss
        missed = " (missed)" if error > target.relative_error else ""
        reached.append(f"{percent(error)} {place}{missed}")
    return f"{', '.join(reached)}; target {percent(target.relative_error)}"


def points_text(points: Points, limit: int = 12) -> str:
    """Inputs as text, the first few of many."""
    shown = [
        f"{p[0]:.4g}" if len(p) == 1 else "(" + ", ".join(f"{v:.4g}" for v in p) + ")"
        for p in (points if points.shape[1] <= 4 else [])[:limit]
    ]
    if not shown:
        return f"{len(points)} points in {points.shape[1]} dimensions"
    more = f" … {len(points)} in all" if len(points) > limit else ""
    return ", ".join(shown).replace("-", "−") + more
