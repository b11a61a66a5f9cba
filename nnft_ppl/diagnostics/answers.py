"""The three questions about an action, each answered in words.

Does it fit within the noise of the data? If not, how large is the misfit, beside what
is tolerated? Is another of the actions tried better? In: a fit, and where actions were
compared the table of `compare_actions`. Out: `Answers`, which the checks, the command
line and the page repeat, so that all of them say the same.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from nnft_ppl._numbers import SMALL, percent, percent_interval, significant
from nnft_ppl.correlators.origin import DRAWN, Origin
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.inference.posterior import INTERVAL
from nnft_ppl.inference.verdict import TOLERANCE, Reason, Verdict

PREFERRED = 3.0
"""Difference of log evidence from which on another action is preferred: 20 to 1."""
type Row = Mapping[Hashable, Any]
"""One of `CouplingFit.adequacy`."""

QUESTIONS = (
    "Does the action fit within the noise?",
    "How large is its misfit?",
    "Is another action better?",
)


@dataclass(frozen=True)
class Answers:
    """What is known of an action, over all cutoffs of a fit.

    Attributes:
        verdict: The worst over the cutoffs.
        where: At how many of the cutoffs that is, in words; empty for all.
        headline: The verdict in one sentence about "the action", with what a reader
            must know beside it.
        sentences: The answers in the order of `QUESTIONS`, about "it".
        cutoff: The worst of those with that verdict, which the second answer is of.
    """

    verdict: Verdict
    where: str
    headline: str
    sentences: tuple[str, str, str]
    cutoff: float


def answer(
    fit: CouplingFit,
    *,
    tolerance: float = TOLERANCE,
    comparison: pd.DataFrame | None = None,
) -> Answers:
    """Answer the three questions.

    Args:
        fit: From `fit_couplings`.
        tolerance: Relative misfit up to which the action describes the network.
        comparison: From `compare_actions`, where actions were compared.

    Raises:
        SpecError: `tolerance` is not a number > 0.
    """
    rows = fit.adequacy(tolerance=tolerance).to_dict("records")
    verdict = max(Verdict(row["verdict"]) for row in rows)
    found = [row for row in rows if row["verdict"] == verdict]
    size = "discrepancy_upper" if fit.has_discrepancy else "relative_misfit"
    # Of two that describe, that which is resolvably off.
    worst = max(found, key=lambda row: (row["fits_noise"] is False, float(row[size])))
    origin = fit.correlators.origin
    better = preferred(comparison, " + ".join(fit.action.names))
    where = (
        "" if len(found) == len(rows) else f" at {len(found)} of {len(rows)} cutoffs"
    )
    sentence = verdict.sentence("the action", origin.this)
    headline = f"{sentence}{where}{_decisive(worst, origin)}"
    if better is not None:
        headline += f", and {better.action} is preferred by {better.nats:.0f} nats"
    return Answers(
        verdict=verdict,
        where=where,
        headline=headline,
        sentences=(
            _fits_noise(rows, origin),
            _misfit(worst, fit),
            _better(comparison, " + ".join(fit.action.names)),
        ),
        cutoff=float(worst["cutoff"]),
    )


class Preferred(NamedTuple):
    """An action that the evidence prefers, and by how much."""

    action: str
    nats: float


def preferred(comparison: pd.DataFrame | None, own: str) -> Preferred | None:
    """The action of a comparison that is preferred to `own`, if there is one."""
    if comparison is None or own not in set(comparison["action"]):
        return None
    evidence = comparison.set_index("action")["log_evidence"]
    best = Preferred(str(evidence.idxmax()), float(evidence.max() - evidence[own]))
    return best if best.nats >= PREFERRED else None


def _decisive(row: Row, origin: Origin) -> str:
    """What decided the verdict, as the second half of the headline."""
    tolerance, off = percent(row["tolerance"]), _off(row)
    limit = f"where {tolerance} is tolerated"
    resolved = f" to within the {tolerance} tolerated, but is resolvably off, by {off}"
    return {
        Reason.FITS: f": it fits within {_noise(origin)}",
        Reason.WITHIN: resolved,
        Reason.NOISELESS: resolved
        if row["discrepancy_upper"] >= SMALL
        else ": it leaves less than 0.01 % of exact data",
        Reason.OFF: f": it is off by {off}, {limit}",
        Reason.NOT_EXACT: ": the fit assumes that the action is exact, and the "
        "residual says otherwise",
        Reason.OPEN: f": it may be off by {percent(row['discrepancy_upper'])}, {limit}",
        Reason.NOT_BEST: ": the couplings found are not its best, and leave "
        f"{percent(row['relative_misfit'])}, {limit}",
        Reason.NOISY: f": {_noise(origin)} is {percent(row['relative_noise'])}, "
        f"{limit}",
        Reason.UNTRUSTED: f": too few {origin.members} stand behind the errors",
    }[Reason(row["reason"])]


def _off(row: Row) -> str:
    """The misfit with its interval."""
    lower, upper = row["discrepancy_lower"], row["discrepancy_upper"]
    if upper < SMALL:
        return "less than 0.01 %"
    interval = f"{round(100 * INTERVAL)} % interval {percent_interval(lower, upper)}"
    return f"{percent(row['discrepancy'])} ({interval})"


def _noise(origin: Origin) -> str:
    """What the errors of the data are."""
    if not origin.error:
        return "rounding"
    return "sampling noise" if origin.is_sampled else "what the data leave out"


def _fits_noise(rows: Sequence[Row], origin: Origin) -> str:
    worst = min(rows, key=lambda row: float(row["p_value"]))
    if worst["fits_noise"] is None:
        return "the data are exact, so that any misfit shows"
    if worst["reason"] == Reason.UNTRUSTED:
        return f"too few {origin.members} stand behind the errors to tell"
    p_value = f"p = {significant(worst['p_value'], 2)}"
    fitting = sum(row["fits_noise"] for row in rows)
    if fitting == len(rows):
        return f"it fits within {_noise(origin)} ({p_value})"
    where = f" at {len(rows) - fitting} of {len(rows)} cutoffs" if fitting else ""
    return (
        f"it is resolvably off{where}: no couplings fit within {_noise(origin)} "
        f"({p_value})"
    )


def _misfit(row: Row, fit: CouplingFit) -> str:
    reason, origin = Reason(row["reason"]), fit.correlators.origin
    noise = f"{_noise(origin)} is {percent(row['relative_noise'])}"
    left = f"the couplings found leave {percent(row['relative_misfit'])}"
    if origin.error:
        left += f", where {noise}"
    if reason is Reason.NOT_EXACT:
        return (
            "the fit assumes that the action is exact; the residual says otherwise: "
            f"{left}, and the errors of the couplings cannot be trusted; infer the "
            "discrepancy"
        )
    if reason is Reason.UNTRUSTED:
        remedy = origin.advice + ("" if origin is DRAWN else ", or take exact data")
        return f"the errors cannot be trusted: {remedy}"
    text = left
    if fit.has_discrepancy:
        cutoff = f"{row['cutoff']:g}".replace("inf", "∞")
        text = (
            f"{_off(row)} of the connected correlators at Λ = {cutoff} is left "
            "unexplained"
        )
    text += f", {percent(row['tolerance'])} is tolerated"
    if reason is Reason.NOISY:
        text += f", but {noise}: {origin.advice}"
    elif reason is Reason.OPEN:
        text += "; add inputs" + (f", or {origin.advice}" if origin.advice else "")
    elif reason is Reason.NOT_BEST:
        text += f"; but {left}: the prior or the sampler hold them back"
    return text


def _better(comparison: pd.DataFrame | None, own: str) -> str:
    if comparison is None:
        return "no other action was compared"
    table = comparison.set_index("action")
    best = str(table["log_evidence"].idxmax())
    if own not in table.index:
        return f"the best of those compared, which it is not among, is {best}"
    found = preferred(comparison, own)
    if found is not None:
        held_out = float(table["elpd"][best] - table["elpd"][own])
        verb = "better" if held_out > 0 else "worse"
        return (
            f"the evidence prefers {best} by {found.nats:.0f} nats, which predicts "
            f"tuples left out {verb}, by {significant(abs(held_out), 2)} nats"
        )
    behind = table["log_evidence"].max() - table["log_evidence"].drop(own)
    alike = [str(name) for name in behind.index if behind[name] < PREFERRED]
    if alike:
        return f"these data do not tell it apart from {', '.join(alike)}"
    return f"it is the best of {len(table)}, by {behind.min():.0f} nats of evidence"
