"""How far the action is from the data, in numbers that sampling noise is part of."""

import numpy as np
from scipy import stats

from nnft_ppl._rms import rms
from nnft_ppl.inference.likelihood import Likelihood

_ROUNDINGS = 5.0
_SAME = 1e-13
"""Of the largest singular value of the responses: below, rounding."""


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
    """P(χ² ≥ observed) of the best coupling, with sampling noise alone.

    Does any coupling of this action predict the data to within their noise? χ² is the
    smallest over couplings, in the modes that sampling noise resolves, less the
    couplings that these modes determine. The other modes are known to rounding: what
    they determine costs no freedom, and the value is 0 when one of them is off by more
    than five times that.

    Args:
        likelihood: From `build_likelihood`.
        cutoff: Index into its cutoffs.
        coupling: c, about which predictions are linearised, where they are not linear.
    """
    z, basis = _residuals(likelihood, cutoff, coupling)
    resolved = likelihood.resolved
    if np.any(np.abs(z[~resolved]) > _ROUNDINGS):
        return 0.0
    freedom = round(np.sum(resolved) - np.sum(basis[resolved] ** 2))
    if freedom == 0:
        return 1.0
    return float(stats.chi2.sf(np.sum(z[resolved] ** 2), freedom))


def pulls(likelihood: Likelihood, cutoff: int, coupling: np.ndarray) -> np.ndarray:
    """(mode,) residuals of the best coupling, each standard normal if the action holds.

    Of the modes that sampling noise resolves, in which it is independent: the residuals
    whitened by their covariance, that of the fitted couplings taken off. Modes that the
    couplings determine alone have none.

    Args:
        likelihood: From `build_likelihood`.
        cutoff: Index into its cutoffs.
        coupling: As of `predictive_p_value`.
    """
    z, basis = _residuals(likelihood, cutoff, coupling)
    free = 1 - np.sum(basis**2, axis=1)
    keep = likelihood.resolved & (free > _SAME)
    return np.asarray(z[keep] / np.sqrt(free[keep]))


def _residuals(
    likelihood: Likelihood, cutoff: int, coupling: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(mode,) data less the best prediction, over the noise; what that may span."""
    sd = np.sqrt(likelihood.variance)
    left = (likelihood.amplitudes - likelihood.expected(cutoff, coupling)) / sd
    design = likelihood.response(cutoff, coupling) / sd[:, None]
    design = design / np.linalg.norm(design, axis=0)
    basis, singular, _ = np.linalg.svd(design, full_matrices=False)
    # Couplings that predict the same are determined together, as one.
    basis = basis[:, singular > _SAME * singular[0]]
    return left - basis @ (basis.T @ left), basis
