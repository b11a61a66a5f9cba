"""Whether an action describes a network, or a law a running: the verdict in one word.

The words, their order, the tolerances and the rule stand here alone; tables, checks,
pages and figures take them from here.
"""

from enum import StrEnum
from functools import total_ordering

import numpy as np

TOLERANCE = 0.1
"""Relative discrepancy above which an action is said not to describe a network."""
LAW_TOLERANCE = 0.01
"""Relative scatter of a coupling about its law, above which the law does not describe
its running."""
SIGNIFICANCE = 1e-3
"""Predictive p-value below which an action fitted without discrepancy is refused."""


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

    def sentence(self, subject: str) -> str:
        """What it says of `subject`, such as "this action", and of this network."""
        return {
            Verdict.DESCRIBES: f"{subject} describes this network",
            Verdict.UNDETERMINED: f"the data do not tell whether {subject} describes "
            "this network",
            Verdict.FAILS: f"{subject} does not describe this network",
        }[self]


def decide(
    lower: float,
    upper: float,
    *,
    tolerance: float,
    noise: float,
    p_value: float | None = None,
) -> Verdict:
    """The verdict on a misfit that is known to an interval.

    Args:
        lower: Lower end of the interval of the relative misfit.
        upper: Upper end.
        tolerance: What it is compared with.
        noise: Relative sampling error of the data. A smooth network's correlators leave
            most modes empty, and these pin s whatever the noise in the others; so above
            the tolerance, or when it is infinite because a heavy tail hides it, nothing
            can be confirmed.
        p_value: Where the misfit was not inferred, and the interval is empty, the
            predictive p-value; it decides in the place of `lower`.
    """
    fails = lower > tolerance if p_value is None else p_value < SIGNIFICANCE
    if fails and np.isfinite(noise):
        return Verdict.FAILS
    confirmed = max(upper, noise) <= tolerance
    return Verdict.DESCRIBES if confirmed else Verdict.UNDETERMINED
