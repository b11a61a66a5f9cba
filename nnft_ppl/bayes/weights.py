"""Importance weights of networks: smoothed and judged by ArviZ, never on trust.

In: the log evidence of every network drawn from the prior. Out: their posterior
weights, Pareto-smoothed, with what tells whether these can be used.

Source: Vehtari, Simpson, Gelman, Yao, Gabry, arXiv:1507.02646.
"""

from dataclasses import dataclass

import numpy as np
from arviz_stats.base import array_stats
from jaxtyping import Float
from scipy.special import logsumexp

from nnft_ppl._errors import FitError

MIN_DRAWS = 100
"""Fewer have no tail to fit."""
MIN_EFFECTIVE = 10.0
"""With fewer effective draws there is no answer, whatever its error."""
_ALIKE = 1e-9
"""Difference of log weights that is none."""
_MANY_ALIKE = 20
"""So many networks of one weight are an atom, whose probability is then known to a
quarter of itself or better."""
_FLAT = 0.01
"""Where the weights of the tail differ by less, it is no heavy one."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Posterior weights of networks drawn from the prior.

    Attributes:
        log_weights: (draw,) smoothed, their exponentials add up to one.
        changed: Which of them smoothing changed.
        raw: (draw,) as they were, on the same scale.
        pareto_k: Shape of the tail; infinite where it could not be fitted.
        log_evidence: log p(y), from the smoothed weights.
        log_evidence_error: One standard error; infinite where k is too large for one.
        effective_draws: 1/Σ w².
    """

    log_weights: Float[np.ndarray, " draw"]
    changed: np.ndarray
    raw: Float[np.ndarray, " draw"]
    pareto_k: float
    log_evidence: float
    log_evidence_error: float
    effective_draws: float

    @property
    def largest_k(self) -> float:
        """Up to which averages can be trusted, with so many draws."""
        return largest_k(len(self.raw))

    @property
    def are_reliable(self) -> bool:
        """Whether averages with these weights have errors that can be trusted."""
        return self.pareto_k <= self.largest_k and not self.have_collapsed

    @property
    def have_collapsed(self) -> bool:
        """Whether a few networks have all the weight."""
        return self.effective_draws < MIN_EFFECTIVE


def largest_k(num_draws: int) -> float:
    """min(1 − 1/log₁₀ S, 0.7).

    Source: arXiv:1507.02646, §3.2.4; as `good_k` in ArviZ.
    """
    return float(min(1 - 1 / np.log10(num_draws), 0.7))


def smoothed(log_evidence: Float[np.ndarray, " draw"]) -> Weights:
    """Weights of networks whose log evidences are these; −∞ is a weight of 0.

    Raises:
        FitError: All are 0.
    """
    number, top = len(log_evidence), float(log_evidence.max())
    if top == -np.inf:
        raise FitError(
            f"none of {number:,} networks can have these targets: their random kernel "
            "at the inputs is singular; give a `noise_std` > 0"
        )
    relative = log_evidence - top
    log_weights = relative - logsumexp(relative)
    scale, k = float(logsumexp(relative)), 0.0
    if relative.min() < -_ALIKE:
        fitted, k, fitted_scale = _pareto(relative)
        if fitted is not None:
            log_weights, scale = fitted, fitted_scale
    raw = relative - scale
    squares = float(np.exp(logsumexp(2 * log_weights)))
    error = np.sqrt(max(squares - 1 / number, 0.0))
    return Weights(
        log_weights=log_weights,
        changed=np.flatnonzero(~np.isclose(log_weights, raw, rtol=0, atol=_ALIKE)),
        raw=raw,
        pareto_k=k,
        log_evidence=top + scale - float(np.log(number)),
        log_evidence_error=float(error) if k <= largest_k(number) else np.inf,
        effective_draws=1 / squares,
    )


def _pareto(
    relative: Float[np.ndarray, " draw"],
) -> tuple[Float[np.ndarray, " draw"] | None, float, float]:
    """Smoothed log weights, k, and the log of the sum that they were divided by.

    Networks that are alike, such as those whose units are all off, have equal weights,
    through which no tail can be fitted: a shorter one may lie above them. Where they
    are the largest, or a per cent below at most, weights have a bound, which is k ≤ 0,
    and none is to be smoothed.
    """
    sorted_weights = np.sort(relative)
    for shorter in (1, 4, 16):  # as if so many times fewer draws were independent
        size = int(3 * (len(relative) / shorter) ** 0.5)
        if sorted_weights[-1] - sorted_weights[-size] < _ALIKE:
            break
        # It takes log likelihoods, whose weights are the inverse.
        fitted, k = array_stats.psislw(-relative, r_eff=shorter)
        below = np.flatnonzero(relative < sorted_weights[-size])
        kept = below[np.isfinite(relative[below])]
        if np.isfinite(k) and kept.size:
            last = kept[-1]  # smoothing touches the largest only
            return fitted, float(k), float(relative[last] - fitted[last])
    tail = sorted_weights[-1] - sorted_weights[-int(3 * len(relative) ** 0.5)]
    crowded = np.count_nonzero(relative > -_ALIKE) >= _MANY_ALIKE
    bounded = crowded or tail < _FLAT
    return None, 0.0 if bounded else np.inf, 0.0


def resampled(
    log_weights: Float[np.ndarray, " draw"], number: int, rng: np.random.Generator
) -> np.ndarray:
    """Numbers of networks drawn by weight, systematically, in random order."""
    cumulative = np.cumsum(np.exp(log_weights - log_weights.max()))
    places = (np.arange(number) + rng.random()) / number * cumulative[-1]
    chosen = np.searchsorted(cumulative, places, side="right")
    return rng.permutation(np.minimum(chosen, len(cumulative) - 1))
