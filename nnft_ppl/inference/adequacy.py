"""How far the action is from the data, in numbers that sampling noise is part of."""

import numpy as np
from scipy import stats

from nnft_ppl._rms import rms
from nnft_ppl.inference.likelihood import Likelihood

_ROUNDINGS = 5.0


def relative_misfit(likelihood: Likelihood, cutoff: int, coupling: np.ndarray) -> float:
    """rms(Ĝ_c − G_c(coupling)) / rms(Ĝ_c) over entries, sampling noise included.

    Orders are measured each by itself and joined in the root mean square.
    """
    data = likelihood.to_entries(likelihood.amplitudes)
    left = data - likelihood.to_entries(likelihood.expected(cutoff, coupling))
    return rms([rms(left[part]) / rms(data[part]) for part in likelihood.spans])


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
