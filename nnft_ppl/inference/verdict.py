"""Whether an action describes a network, or a law a running: the verdict in one word.

The words, their order, the tolerances and the rule stand here alone; tables, checks,
pages and figures take them from here. Three questions are kept apart. Does the action
fit within the noise of the data? If not, how large is the misfit, beside what is
tolerated? Both are answered here. Is another action better? That takes other actions
(`diagnostics.answers`).
"""

from enum import StrEnum
from functools import total_ordering
from typing import NamedTuple

import numpy as np

from nnft_ppl._arguments import check_number

TOLERANCE = 0.1
"""Relative discrepancy above which an action is said not to describe a network, unless
the user sets another."""
LAW_TOLERANCE = 0.01
"""Relative scatter of a coupling about its law, above which the law does not describe
its running."""
SIGNIFICANCE = 1e-3
"""Predictive p-value below which an action does not fit within the noise."""


@total_ordering
class _Ordered:
    """The order in which the verdicts stand, in the place of the alphabet's."""

    def __lt__(self, other: str) -> bool:
        order = list(Verdict)
        return order.index(Verdict(str(self))) < order.index(Verdict(other))


class Verdict(_Ordered, StrEnum):
    """From the best to the worst: `max` of several is the worst."""

    DESCRIBES = "describes"
    UNDETERMINED = "undetermined"
    FAILS = "does not describe"

    def sentence(self, subject: str, described: str) -> str:
        """What it says of `subject`, "this action", and `described`, "this network"."""
        return {
            Verdict.DESCRIBES: f"{subject} describes {described}",
            Verdict.UNDETERMINED: f"the data do not tell whether {subject} describes "
            f"{described}",
            Verdict.FAILS: f"{subject} does not describe {described}",
        }[self]


class Reason(StrEnum):
    """Which number decided, in words."""

    FITS = "fits within the noise"
    WITHIN = "resolvably off, by less than the tolerance"
    NOISELESS = "off by less than the tolerance, on data without noise"
    OFF = "off by more than the tolerance"
    NOT_EXACT = "assumes that the action is exact; the residual says otherwise"
    OPEN = "may be off by more than the tolerance"
    NOT_BEST = "the fitted couplings leave more than tolerance and noise"
    NOISY = "the noise exceeds the tolerance"
    UNTRUSTED = "the noise is not known: a heavy tail"


class Decision(NamedTuple):
    """A verdict and what decided it."""

    verdict: Verdict
    reason: Reason


def check_tolerance(tolerance: object) -> float:
    """The tolerated misfit, as a fraction.

    Raises:
        SpecError: Not a number > 0.
    """
    return check_number(
        "tolerance",
        tolerance,
        lambda t: 0 < t < np.inf,
        "a number > 0, the relative misfit that is tolerated, such as 0.1 for 10 %",
    )


def fits_noise(p_value: float) -> bool | None:
    """Whether the action fits within the noise; `None` where the data have none."""
    return None if np.isnan(p_value) else bool(p_value >= SIGNIFICANCE)


def decide(
    lower: float,
    upper: float,
    *,
    tolerance: float,
    noise: float,
    misfit: float,
    p_value: float,
    is_inferred: bool,
) -> Decision:
    """The verdict on a misfit that is known to an interval.

    "Describes" needs four numbers to agree: the upper end of the interval, the noise
    and, less the noise, the misfit of the fitted couplings themselves stay within the
    tolerance; and where the interval is not inferred, the p-value is no refusal.

    Args:
        lower: Lower end of the interval of the relative misfit, noise taken out.
        upper: Upper end.
        tolerance: What it is compared with.
        noise: Relative sampling error of the data; infinite when a heavy tail hides it,
            and then nothing can be decided.
        misfit: Of the fitted couplings, relative, noise included. It is close to the
            interval and the noise together unless the prior or the sampler keep the
            couplings from their best values.
        p_value: That of the best couplings under noise alone; NaN where there is none.
        is_inferred: Whether the interval was; else the fit assumed no misfit, the
            interval is empty, and the p-value decides in its place.
    """
    if not np.isfinite(noise):
        return Decision(Verdict.UNDETERMINED, Reason.UNTRUSTED)
    within = fits_noise(p_value)
    if not is_inferred and within is False:
        return Decision(Verdict.FAILS, Reason.NOT_EXACT)
    if lower > tolerance:
        return Decision(Verdict.FAILS, Reason.OFF)
    for doubtful, reason in (
        (noise > tolerance, Reason.NOISY),
        (not upper <= tolerance, Reason.OPEN),
        (not misfit <= tolerance + noise, Reason.NOT_BEST),
    ):
        if doubtful:
            return Decision(Verdict.UNDETERMINED, reason)
    if within is None:
        return Decision(Verdict.DESCRIBES, Reason.NOISELESS)
    return Decision(Verdict.DESCRIBES, Reason.FITS if within else Reason.WITHIN)
