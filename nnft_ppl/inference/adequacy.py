"""Whether the action describes the network here, in numbers and in one word.

The discrepancy s is what remains after sampling noise: the relative root-mean-square
distance between the connected correlators and the best that the action can do.
"""

import numpy as np
from scipy import stats

from nnft_ppl.inference.likelihood import Likelihood

TOLERANCE = 0.1
"""Relative discrepancy above which an action is said not to describe a network."""
_ROUNDINGS = 5.0
SIGNIFICANCE = 1e-3
"""Predictive p-value below which an action fitted without discrepancy is refused."""

DESCRIBES = "describes"
UNDETERMINED = "undetermined"
FAILS = "does not describe"

VERDICTS = {
    DESCRIBES: "this action describes this network on these inputs",
    UNDETERMINED: "the data do not tell whether this action describes this network on "
    "these inputs",
    FAILS: "this action does not describe this network on these inputs",
}


def relative_misfit(likelihood: Likelihood, cutoff: int, coupling: np.ndarray) -> float:
    """rms(Ĝ_c − G_c(coupling)) / rms(Ĝ_c) over entries, sampling noise included.

    Orders are measured each by itself and joined in the root mean square.
    """
    data = likelihood.to_entries(likelihood.amplitudes)
    left = data - likelihood.to_entries(likelihood.expected(cutoff, coupling))
    return float(
        np.sqrt(
            np.mean(
                [
                    np.mean(left[part] ** 2) / np.mean(data[part] ** 2)
                    for part in likelihood.spans
                ]
            )
        )
    )


def predictive_p_value(
    likelihood: Likelihood, cutoff: int, coupling: np.ndarray
) -> float:
    """P(χ² ≥ observed) at the posterior mean, with sampling noise alone.

    χ² is over the modes that sampling noise resolves, less the couplings that these
    determine. The other modes are known to rounding: the value is 0 when one is off by
    more than five times that.
    """
    z = (likelihood.amplitudes - likelihood.expected(cutoff, coupling)) / np.sqrt(
        likelihood.variance
    )
    resolved = likelihood.resolved
    if np.any(np.abs(z[~resolved]) > _ROUNDINGS):
        return 0.0
    design = likelihood.design[cutoff][resolved]
    rank = np.linalg.matrix_rank(design) if design.size else 0
    freedom = int(resolved.sum() - rank)
    if freedom == 0:
        return 1.0
    return float(stats.chi2.sf(np.sum(z[resolved] ** 2), freedom))


def verdict(
    lower: float, upper: float, noise: float, p_value: float, *, discrepancy: bool
) -> str:
    """One of `VERDICTS`.

    Args:
        lower: Lower end of the interval of s.
        upper: Upper end.
        noise: Relative sampling error of the data. A smooth network's correlators leave
            most modes empty, and these pin s whatever the noise in the others; so above
            the tolerance, or when it is infinite because a heavy tail hides it, nothing
            can be confirmed.
        p_value: From `predictive_p_value`; decides when s was not inferred.
        discrepancy: Whether s was inferred.
    """
    fails = lower > TOLERANCE if discrepancy else p_value < SIGNIFICANCE
    if fails and np.isfinite(noise):
        return FAILS
    return DESCRIBES if max(upper, noise) <= TOLERANCE else UNDETERMINED
