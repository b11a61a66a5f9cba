"""What a figure shows, with its numbers, for those who do not see it."""

import numpy as np

from nnft_ppl._numbers import percent, significant, with_error
from nnft_ppl.correlators.deviation import mean_deviation
from nnft_ppl.plots.prediction import chosen_cutoffs
from nnft_ppl.report.deviations import best_by_width, deviation_text
from nnft_ppl.report.numbers import cutoff_text, exponent_text
from nnft_ppl.report.of_data import DataResults
from nnft_ppl.report.of_training import training_alternatives
from nnft_ppl.report.results import Approach, Results

type Alternatives = dict[str, str]


def write_alternatives(results: Results) -> Alternatives:
    """Figure -> its text, of a study with an action."""
    return {
        "deviation": deviation_alternative(results),
        "couplings": coupling_alternative(results),
        "prediction": _prediction(results),
        **data_alternatives(results.data),
        **training_alternatives(results.training),
    }


def deviation_alternative(results: Results | Approach) -> str:
    """Of the figure of deviations against width."""
    best = best_by_width(results)
    parts = []
    for order in (k for k in best[0].orders if k % 2 == 0):
        ends = [
            f"{deviation_text(mean_deviation(c, order))} at width {c.network.width}"
            for c in best[:: max(1, len(best) - 1)]
        ]
        parts.append(f"of the {order}-point function {' and '.join(ends)}")
    return (
        "Relative deviation from the Gaussian process against width, logarithmic axes, "
        f"one panel an order: {'; '.join(parts)}."
    )


def data_alternatives(data: DataResults | None) -> Alternatives:
    """Of the figures that data add."""
    if data is None:
        return {}
    curve, width = data.curve.table, data.comparison.exact.network.width
    place = int(np.nanargmax(curve["log_evidence"]))
    best = curve.iloc[place]
    tails = curve["pareto_k"].dropna()  # none where nothing was weighted
    largest = significant(float(tails.max()), 2) if len(tails) else "none known"
    return {
        "predictive": (
            f"Predictive bands at width {width}, of the exact posterior and of "
            f"{len(data.comparison.methods) - 1} other methods, at the new inputs, "
            "with the targets; below, the distance of their means from the exact ones. "
            f"{data.comparison.message}"
        ),
        "evidence": (
            "Log evidence of the data against width with errors: largest at width "
            f"{curve.index[place]}, "
            f"{with_error(best['log_evidence'], best['error'])}; that of the Gaussian "
            f"process, a line, is {significant(data.curve.infinite, 4)}."
        ),
        "weights": (
            "Pareto k of the weights of networks against width, at most "
            f"{largest}, with the largest "
            "that is good; beside it the effective draws of the posterior, at least "
            f"{significant(float(curve['effective_draws'].min()))} of "
            f"{data.num_draws:,} networks."
        ),
    }


def coupling_alternative(results: Results) -> str:
    """Of the figure of couplings against the cutoff."""
    below = ""
    if np.isfinite(results.fit.cutoffs).sum() > 1:
        below = ", and below it the exponent of their running"
    return (
        f"Size of the couplings with intervals against the cutoff{below}: "
        f"{coupling_text(results)}."
    )


def coupling_text(results: Results, operator: str | None = None) -> str:
    """Couplings at the ends of the cutoffs, of one operator or of all."""
    fit, table = results.fit, results.summary
    finite = np.isfinite(fit.cutoffs)
    running = fit.running()
    parts = []
    for i, name in enumerate(fit.action.names):
        if operator not in (None, name):
            continue
        rows = table[table["operator"] == name].sort_values("cutoff")
        ends = [
            f"{with_error(row['mean'], row['sd'])} at Λ = {cutoff_text(row['cutoff'])}"
            for row in rows.to_dict("records")[:: max(1, len(rows) - 1)]
        ]
        part = f"{name} is {' and '.join(ends)}"
        slope = running["slope"].values[..., i]
        if finite.sum() > 1 and np.isfinite(slope).all():
            theory = exponent_text(float(running["theory_slope"].values[i]))
            part += f", exponent {exponent_text(float(slope.mean()))}, theory {theory}"
        parts.append(part)
    return "; ".join(parts)


def _prediction(results: Results) -> str:
    six = results.six_point
    panels = ", ".join(cutoff_text(c) for c in chosen_cutoffs(results.fit.cutoffs))
    return (
        "6-point function, entry by entry, relative to the "
        f"{results.fit.correlators.origin} one, a panel for each of Λ = {panels}: at "
        f"Λ = {cutoff_text(six.cutoff)} that of the couplings is off by "
        f"{percent(six.predicted)} on average, that of the Gaussian process by "
        f"{percent(six.gaussian)}."
    )
