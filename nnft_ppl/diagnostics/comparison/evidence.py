"""The evidence of an action where no closed form gives it: nested sampling.

In: a fit, and one of its cutoffs. Out: log p(data) with the sampler's own error. The
closed form (`inference.conjugate`) needs predictions that are linear in the couplings;
this one needs nothing, and the two agree where both apply.

The sampler is dynesty's, an optional extra: it is maintained, pure NumPy and SciPy, and
brings no other dependency.
"""

import warnings
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import jax
import numpy as np

from nnft_ppl._errors import FitError, UnavailableError
from nnft_ppl._typing import Key
from nnft_ppl.eft.action import Action
from nnft_ppl.ensemble.model import check_key
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.inference.least_squares import (
    least_squares,
    log_density,
    log_volume,
)
from nnft_ppl.inference.likelihood import Likelihood
from nnft_ppl.inference.posterior import cutoff_number
from nnft_ppl.inference.priors import Parameters, Prior

NUM_LIVE = 400
_LARGEST_LOG = 150.0
"""Of s and τ: beyond, powers overflow, and no prior has weight there."""


class Evidence(NamedTuple):
    """Log evidence in natural units.

    Attributes:
        log_evidence: log p(data).
        error: One standard error of it, the sampler's own estimate.
    """

    log_evidence: float
    error: float


def nested_evidence(
    fit: CouplingFit, cutoff: float, *, key: Key, num_live: int = NUM_LIVE
) -> Evidence:
    r"""Log evidence of a fit by nested sampling, for any `likelihood.expected`.

    .. math:: Z = \int L \, π \, dθ = \int \left( L π / q \right) q \, dθ, \quad
        θ = (c, \log s, \log τ)

    is sampled with q in the place of the prior: independent Cauchy distributions along
    axes in which the posterior draws are uncorrelated. Whatever q, Z is the same; with
    this one the sampler need not find a needle of 10⁻⁹ of the prior, and the tails
    of q reach a posterior far from the draws at logarithmic cost.

    Args:
        fit: From `fit_couplings`; its draws place q.
        cutoff: One of its cutoffs.
        key: A JAX random key.
        num_live: Live points; the error falls as one over their root.

    Raises:
        UnavailableError: dynesty is not installed.
        FitError: The sampler ended without a finite evidence.
        SpecError: The fit has no such cutoff, or the key is not a threefry one.

    Source: Skilling, Bayesian Analysis 1 (2006) 833; Speagle, MNRAS 493 (2020) 3132;
        Chen, Feroz, Hobson, Bayesian Analysis 18 (2023) 695, arXiv:1908.04655 §3 for q.
    """
    dynesty = _dynesty()
    key = check_key(key)
    target = _Target.of(fit, cutoff_number(fit.cutoffs, cutoff))
    sampler = dynesty.NestedSampler(
        target.log_density,
        target.place,
        len(target.centre),
        nlive=num_live,
        rstate=np.random.default_rng([int(w) for w in jax.random.key_data(key)]),
    )
    with warnings.catch_warnings():
        # Slower, not wrong: couplings and their size are no ellipsoid.
        warnings.filterwarnings("ignore", message="The enlargement factor")
        sampler.run_nested(print_progress=False)
    results = sampler.results
    found = Evidence(float(results.logz[-1]), float(results.logzerr[-1]))
    if not (np.isfinite(found.log_evidence) and np.isfinite(found.error)):
        raise FitError(
            f"nested sampling ended with log evidence {found.log_evidence} ± "
            f"{found.error}; the data or prior scales are extreme: look at the "
            "correlators"
        )
    return found


@dataclass(frozen=True, eq=False)
class _Target:
    """What the sampler sees: coordinates t with Cauchy prior q, and log(L π / q).

    θ = centre + factor · t holds the couplings c and, where inferred, log s and log τ.
    """

    likelihood: Likelihood
    which: int
    prior: Prior
    width: int
    action: Action
    has_discrepancy: bool
    about: np.ndarray
    log_volume: float
    centre: np.ndarray
    factor: np.ndarray

    @staticmethod
    def of(fit: CouplingFit, which: int) -> "_Target":
        """Placed by the posterior draws of one cutoff."""
        logs = [fit.discrepancy] if fit.has_discrepancy else []
        if fit.prior.is_hierarchical:
            logs.append(fit.natural_size)
        draws = np.concatenate(
            [
                fit.dimensionless[:, :, which],
                *(np.log(values[:, :, which, None]) for values in logs),
            ],
            axis=-1,
        )
        draws = draws.reshape(-1, draws.shape[-1])
        centre = draws.mean(axis=0)
        # A QR factor of the draws: a covariance would square their condition.
        root = np.linalg.qr((draws - centre) / np.sqrt(len(draws)), mode="r").T
        return _Target(
            fit.likelihood,
            which,
            fit.prior,
            fit.correlators.network.width,
            fit.action,
            fit.has_discrepancy,
            fit.centre(which),
            log_volume(least_squares(fit.likelihood, which, fit.centre(which))),
            centre,
            root,
        )

    def place(self, cube: np.ndarray) -> np.ndarray:
        """Coordinates t of a point of the unit cube."""
        return np.asarray(np.tan(np.pi * (cube - 0.5)))

    def log_density(self, t: np.ndarray) -> float:
        """log(L π / q), all constants included."""
        parameters = self.centre + self.factor @ t
        num_couplings = len(self.action.operators)
        couplings = parameters[:num_couplings]
        logs = np.clip(parameters[num_couplings:], -_LARGEST_LOG, _LARGEST_LOG)
        s = np.exp(logs[0]) if self.has_discrepancy else None
        size = np.exp(logs[-1]) if self.prior.is_hierarchical else None
        parts = self.prior.log_density(
            Parameters(couplings, s, size), self.width, self.action
        )
        density = sum(float(np.sum(part)) for part in parts.values())
        density += float(np.sum(logs))  # ds = s d log s, and so for the natural size
        statistics = log_density(
            self.likelihood,
            self.which,
            self.about,
            couplings,
            np.asarray(0.0 if s is None else s),
        )
        density += float(np.sum(statistics)) - self.log_volume
        log_q = -np.sum(np.log(np.pi * (1 + t**2)))
        log_q -= np.sum(np.log(np.abs(np.diag(self.factor))))
        return float(density - log_q)


def _dynesty() -> Any:
    """The optional library."""
    try:
        return import_module("dynesty")
    except ModuleNotFoundError as error:
        raise UnavailableError(
            "the evidence by nested sampling, which an action needs whose predictions "
            "are not linear in its couplings, is dynesty's, and dynesty is not "
            "installed; install it with: pip install 'nnft-ppl[evidence]'"
        ) from error
