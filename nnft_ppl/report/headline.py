"""The plain verdict on top of the page, put together from the numbers."""

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from nnft_ppl._numbers import percent, with_error
from nnft_ppl.correlators.origin import DRAWN
from nnft_ppl.diagnostics.answers import QUESTIONS
from nnft_ppl.inference.posterior import INTERVAL
from nnft_ppl.inference.verdict import Verdict
from nnft_ppl.report.numbers import cutoff_text, exponent_text, symbol_html
from nnft_ppl.report.of_data import data_sentences
from nnft_ppl.report.of_training import training_sentences
from nnft_ppl.report.results import Results


@dataclass(frozen=True)
class Opening:
    """The top of the page.

    Attributes:
        headline: One line.
        sentences: The paragraph.
        is_good: Whether the action describes the network and every check passed.
    """

    headline: str
    sentences: tuple[Markup, ...]
    is_good: bool


def write_opening(results: Results) -> Opening:
    """Headline and paragraph, from answers, couplings, running, prediction, checks."""
    answers = results.answers
    headline = answers.headline[0].upper() + answers.headline[1:]
    failed = [check.name for check in results.checks if not check.passed]
    if answers.verdict is Verdict.DESCRIBES and failed:
        headline += f"; checks failed: {', '.join(failed)}"
    return Opening(
        headline=headline,
        sentences=(
            fit_sentence(results),
            *_answer_sentences(results),
            coupling_sentence(results),
            prediction_sentence(results),
            checks_sentence(results),
            *(() if results.data is None else data_sentences(results.data)),
            *(() if results.training is None else training_sentences(results.training)),
        ),
        is_good=answers.verdict is Verdict.DESCRIBES and not failed,
    )


def action_html(results: Results) -> Markup:
    """The symbols of the action's operators."""
    symbols = [symbol_html(o.symbol, o.name) for o in results.fit.action.operators]
    return Markup(", ").join(symbols)


def fit_sentence(results: Results) -> Markup:
    """What was fitted to what."""
    net = results.network
    orders = [k for k in results.fit.likelihood.orders if k > 1]
    data = f"connected {' and '.join(f'{k}-point' for k in orders)} function"
    if results.fit.action.makes_mean:
        data = f"mean and the {data}" if orders else "mean"
    correlators = results.fit.correlators
    of = Markup("<b>{}</b> at width {}").format(net.name, net.width)
    if correlators.origin is DRAWN:
        of = Markup("{:,} <b>{}</b>").format(correlators.num_draws, net.name)
    return Markup(
        "The action with {action} was fitted to the {data} of {of} on {points} "
        "inputs, {where}."
    ).format(
        action=action_html(results),
        data=data,
        of=of,
        points=len(correlators.x),
        where=_cutoffs_text(results.fit.cutoffs),
    )


def _answer_sentences(results: Results) -> list[Markup]:
    """The three questions with their answers."""
    return [
        Markup("<b>{}</b> {}.").format(question, text[0].upper() + text[1:])
        for question, text in zip(QUESTIONS, results.answers.sentences, strict=True)
    ]


def _cutoffs_text(cutoffs: tuple[float, ...]) -> str:
    ordered = sorted(cutoffs)
    if len(ordered) == 1:
        return f"at cutoff Λ = {cutoff_text(ordered[0])}"
    return (
        f"at {len(ordered)} cutoffs from Λ = {cutoff_text(ordered[0])} to "
        f"{cutoff_text(ordered[-1])}"
    )


def coupling_sentence(results: Results) -> Markup:
    """The couplings at the cutoff that stands for all."""
    cutoff = results.six_point.cutoff
    rows = results.summary[results.summary["cutoff"] == cutoff]
    parts, undecided = [], []
    for operator, (_, row) in zip(
        results.fit.action.operators, rows.iterrows(), strict=True
    ):
        symbol = symbol_html(operator.symbol, operator.name)
        value = with_error(float(row["mean"]), float(row["sd"]))
        parts.append(Markup("{} = {}").format(symbol, value))
        if float(row["lower"]) * float(row["upper"]) <= 0:
            undecided.append(symbol)
    text = Markup("At Λ = {}, ").format(cutoff_text(cutoff)) + Markup(", ").join(parts)
    if undecided:
        text += Markup("; the data leave the sign of {} open").format(
            Markup(", ").join(undecided)
        )
    return text + "."


def running_sentence(results: Results) -> tuple[Markup, ...]:
    """How couplings of one sign go with the cutoff; none without two cutoffs."""
    fit = results.fit
    finite = np.isfinite(fit.cutoffs)
    if finite.sum() < 2:
        return ()
    running = fit.running()
    couplings = fit.dimensionless[:, :, finite]
    tails = [50 * (1 - INTERVAL), 50 * (1 + INTERVAL)]
    parts = []
    for i, operator in enumerate(fit.action.operators):
        low, high = np.percentile(couplings[..., i], tails, axis=(0, 1))
        if (low * high <= 0).any() or len(np.unique(np.sign(low))) > 1:
            continue  # without one sign at all cutoffs there is no power law
        slope = float(running["slope"].values[..., i].mean())
        local = running["theory"].values[finite, i]
        # The same straight line through the theory's couplings: like with like.
        expected = exponent_text(float(running["theory_slope"].values[i]))
        first, last = exponent_text(local[0]), exponent_text(local[-1])
        if first != last:
            expected += (
                f"; locally {first} at the smallest cutoff to {last} at the largest"
            )
        parts.append(
            Markup("{symbol} ∝ Λ<sup>{slope}</sup> (theory: {expected})").format(
                symbol=symbol_html(operator.symbol, operator.name),
                slope=exponent_text(slope),
                expected=expected,
            )
        )
    if not parts:
        return ()
    return (Markup("Across the cutoffs ") + Markup(", ").join(parts) + ".",)


def prediction_sentence(results: Results) -> Markup:
    """How well the 6-pt function is predicted."""
    six = results.six_point
    what = "fitted" if six.is_fitted else "predicted"
    text = Markup(
        "The 6-point function {what} with these couplings differs from the {origin} "
        "one by {predicted} on average, where the Gaussian process differs by "
        "{gaussian}"
    ).format(
        what=what,
        origin=results.fit.correlators.origin,
        predicted=percent(six.predicted),
        gaussian=percent(six.gaussian),
    )
    if six.noise > 0:
        text += Markup(" and the measurement is uncertain by {}").format(
            percent(six.noise)
        )
    if six.is_heavy_tailed:
        text += Markup(
            "; a few {} of a heavy tail dominate that measurement, which is not to be "
            "trusted"
        ).format(results.fit.correlators.origin.members)
    elif not six.is_fitted:
        text += Markup(
            "; its {band}&nbsp;% band, omitted powers of 1/width {with_or_not}, holds "
            "{inside} of the entries"
        ).format(
            band=round(100 * INTERVAL),
            with_or_not="not included"
            if results.fit.likelihood.has_odd_orders
            else "included",
            inside=percent(six.inside),
        )
    return text + "."


def checks_sentence(results: Results) -> Markup:
    """How many checks passed, and which failed."""
    failed = [check for check in results.checks if not check.passed]
    if not failed:
        return Markup("All {} checks passed.").format(len(results.checks))
    return Markup("{} of {} checks failed: {}.").format(
        len(failed),
        len(results.checks),
        Markup(", ").join(Markup("<code>{}</code>").format(c.name) for c in failed),
    )
