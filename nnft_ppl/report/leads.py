"""What each section of the page begins with: its question, answered in numbers."""

import math

import numpy as np
from markupsafe import Markup

from nnft_ppl._numbers import SMALL, percent, significant
from nnft_ppl.correlators.origin import DRAWN
from nnft_ppl.inference.verdict import Verdict
from nnft_ppl.report.deviations import (
    best_by_width,
    distance_sentence,
    fall_sentences,
    reference_sentence,
)
from nnft_ppl.report.headline import (
    action_html,
    checks_sentence,
    coupling_sentence,
    prediction_sentence,
    running_sentence,
)
from nnft_ppl.report.numbers import cutoff_text
from nnft_ppl.report.results import Approach, Results

PAPER_CUTOFF = 100.0
"""Λ of arXiv:2008.08601 where it quotes a single finite one."""

type Leads = dict[str, list[Markup]]


def write_leads(results: Results) -> Leads:
    """Section -> the sentences that it begins with."""
    answers = results.answers
    fits, misfit, better = (text[0].upper() + text[1:] for text in answers.sentences)
    best = best_by_width(results)
    return {
        "network": network_lead(results),
        "approach": [
            distance_sentence(results),
            *fall_sentences(best),
            reference_sentence(best[-1]),
        ],
        "action": [_action_sentence(results), Markup("{}.").format(better)],
        "fit": [
            Markup("{}.").format(fits),
            Markup("{}.").format(misfit),
            *_worst_sentence(results),
        ],
        "couplings": [
            coupling_sentence(results),
            *running_sentence(results),
            cutoff_sentence(results),
        ],
        "prediction": [prediction_sentence(results)],
        "trust": [checks_sentence(results), convergence_sentence(results)],
    }


def network_lead(results: Results | Approach) -> list[Markup]:
    """Which network, at which widths."""
    net = results.network
    first = results.correlators[0]
    if first.origin is DRAWN:
        text = Markup("<b>{:,} {}</b> on {} inputs").format(
            first.num_draws, net.architecture.description, len(first.x)
        )
        return [text + "."]
    widths = sorted({c.network.width for c in results.correlators})
    where = (
        f"width {widths[0]:,}"
        if len(widths) == 1
        else f"{len(widths)} widths from {widths[0]:,} to {widths[-1]:,}"
    )
    text = Markup("<b>{}</b> is {}; it was measured at {} on {} inputs").format(
        net.name,
        net.architecture.description,
        where,
        len(first.x),
    )
    if isinstance(results, Results):
        text += Markup(", and its couplings were inferred at width {:,}").format(
            net.width
        )
    return [text + "."]


def cutoff_sentence(results: Results) -> Markup:
    """Which cutoff stands for all, why, and what would change at another."""
    shown, cutoffs = results.six_point.cutoff, results.fit.cutoffs
    row = results.adequacy[results.adequacy["cutoff"] == shown].iloc[0]
    good = int((results.adequacy["verdict"] == Verdict.DESCRIBES).sum())
    if len(cutoffs) == 1:
        text = Markup("Λ = {} is the only cutoff fitted: there the action").format(
            cutoff_text(shown)
        )
    else:
        text = Markup(
            "Where one cutoff stands for all it is Λ = {}, the middle one of the {} "
            "fitted, and any other would do as well, because correlators do not depend "
            "on the cutoff while couplings do: there the action"
        ).format(cutoff_text(shown), len(cutoffs))
    column = "discrepancy_upper" if results.fit.has_discrepancy else "relative_misfit"
    text += Markup(" leaves {} unexplained, where {} is tolerated").format(
        _at_most(float(row[column])), percent(results.tolerance)
    )
    if len(cutoffs) > 1:
        where = "all" if good == len(cutoffs) else f"{good} of"
        text += Markup("; by this criterion it describes {} at {} {}").format(
            results.fit.correlators.origin.the, where, f"{len(cutoffs)} cutoffs"
        )
    return text + "."


def _worst_sentence(results: Results) -> tuple[Markup, ...]:
    """Why the misfit is that of one cutoff; none where there is one alone."""
    fit, worst = results.fit, results.answers.cutoff
    if len(fit.cutoffs) == 1 or not fit.has_discrepancy:
        return ()
    upper = results.adequacy.set_index("cutoff")["discrepancy_upper"]
    text = Markup(
        "Λ = {} is named because the discrepancy may be largest there, {}, so "
        "that what is tolerated there is tolerated at every cutoff"
    ).format(cutoff_text(worst), _at_most(float(upper[worst])))
    if worst != PAPER_CUTOFF and PAPER_CUTOFF in fit.cutoffs:
        text += Markup("; at Λ = 100, which arXiv:2008.08601 quotes, it is {}").format(
            _at_most(float(upper[PAPER_CUTOFF]))
        )
    return (text + ".",)


def convergence_sentence(results: Results) -> Markup:
    """How the draws of the posterior converged, and what says that errors are right."""
    table = results.summary
    rhat, ess = table["rhat"].max(), table[["ess_bulk", "ess_tail"]].to_numpy().min()
    how = (
        "The draws of the posterior are independent, in closed form"
        if results.fit.sampler == "conjugate"
        else f"The largest R-hat is {rhat:.3f}"
        if not math.isnan(rhat)
        else "R-hat is not known of one chain"
    )
    return Markup(
        "{}; the smallest effective sample size of a coupling is {}. That intervals of "
        "this procedure hold what they should is known from simulated data "
        "(docs/calibration.md), not from this fit."
    ).format(how, significant(float(ess)))


def _at_most(fraction: float) -> str:
    """The upper end of an interval."""
    return "less than 0.01 %" if fraction < SMALL else f"at most {percent(fraction)}"


def _action_sentence(results: Results) -> Markup:
    """The operators, their measure and scheme."""
    action = results.fit.action
    number = len(action.names)
    finite = np.isfinite(results.fit.cutoffs)
    return Markup(
        "The Gaussian process was given {} more {}, with {}, {} in the {} scheme{}."
    ).format(
        number,
        "term" if number == 1 else "terms",
        action_html(results),
        f"integrated with the measure “{action.measure.name}”",
        action.scheme,
        f" at {len(finite)} cutoffs" if len(finite) > 1 else "",
    )
