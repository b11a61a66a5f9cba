"""Importance weights of networks: smoothed and judged by ArviZ, never on trust.

In: the log evidence of every network drawn from the prior. Out: their posterior
weights, Pareto-smoothed, with what tells whether these can be used.

Source: Vehtari, Simpson, Gelman, Yao, Gabry, arXiv:1507.02646.
"""

from dataclasses import dataclass

import numpy as np
from arviz_stats.base import array_stats
from jaxtyping import Float

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
_TAILS = 6
"""How much of the largest weights ArviZ sees, in tails; of less than five it would
take a fifth."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Posterior weights of networks drawn from the prior.

    Attributes:
        raw: (draw,) log weights as they were, on the scale of smoothed ones, whose
            exponentials add up to one.
        changed: Numbers of the few networks whose weights smoothing changes.
        smoothed: Their log weights in place of `raw`.
        pareto_k: Shape of the tail; infinite where it could not be fitted.
        log_evidence: log p(y), from the smoothed weights.
        log_evidence_error: One standard error; infinite where k is too large for one.
        effective_draws: 1/Σ w².
    """

    raw: Float[np.ndarray, " draw"]
    changed: np.ndarray
    smoothed: Float[np.ndarray, " changed"]
    pareto_k: float
    log_evidence: float
    log_evidence_error: float
    effective_draws: float

    @property
    def values(self) -> Float[np.ndarray, " draw"]:
        """Smoothed weights, made anew: they take as much memory as `raw`."""
        weights = np.exp(self.raw)
        weights[self.changed] = np.exp(self.smoothed)
        return weights

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
    weights = np.exp(relative)
    total = float(weights.sum())
    changed, fitted, k = np.empty(0, int), np.empty(0), 0.0
    if relative.min() < -_ALIKE:
        changed, fitted, k = _pareto(relative)
        weights[changed] = np.exp(fitted)
        total = float(weights.sum())
    scale = float(np.log(total))
    squares = float(weights @ weights) / total**2
    del weights
    error = np.sqrt(max(squares - 1 / number, 0.0))
    relative -= scale
    return Weights(
        raw=relative,
        changed=changed,
        smoothed=fitted - scale,
        pareto_k=k,
        log_evidence=top + scale - float(np.log(number)),
        log_evidence_error=float(error) if k <= largest_k(number) else np.inf,
        effective_draws=1 / squares,
    )


def _pareto(
    relative: Float[np.ndarray, " draw"],
) -> tuple[np.ndarray, Float[np.ndarray, " changed"], float]:
    """Numbers of the networks that smoothing changes, their log weights, and k.

    ArviZ is given the largest weights alone, six times as many as the tail has, which
    is what it would fit among all: the others would take many times their memory.

    Networks that are alike, such as those whose units are all off, have equal weights,
    through which no tail can be fitted: a shorter one may lie above them. Where they
    are the largest, or a per cent below at most, weights have a bound, which is k ≤ 0,
    and none is to be smoothed.
    """
    number = len(relative)
    size = int(3 * number**0.5)
    foot = max(number - _TAILS * size - 1, 0)
    largest = np.flatnonzero(relative >= np.partition(relative, foot)[foot])
    seen = relative[largest]
    ordered = np.sort(seen)
    for shorter in (1, 4, 16):  # as if so many times fewer draws were independent
        least = ordered[-int(3 * (number / shorter) ** 0.5)]
        if ordered[-1] - least < _ALIKE:
            break
        # It takes log likelihoods, whose weights are the inverse.
        r_eff = shorter * (len(seen) / number)
        fitted, k = array_stats.psislw(-seen, r_eff=r_eff)
        below = (seen < least) & np.isfinite(seen)
        if np.isfinite(k) and below.any():
            untouched = int(np.argmax(below))  # smoothing is of the largest only
            fitted = fitted + (seen[untouched] - fitted[untouched])
            moved = ~np.isclose(fitted, seen, rtol=0, atol=_ALIKE)
            return largest[moved], fitted[moved], float(k)
    crowded = np.count_nonzero(seen > -_ALIKE) >= _MANY_ALIKE
    bounded = crowded or ordered[-1] - ordered[-size] < _FLAT
    return np.empty(0, int), np.empty(0), 0.0 if bounded else np.inf


def resampled(
    weights: Float[np.ndarray, " draw"], number: int, rng: np.random.Generator
) -> np.ndarray:
    """Numbers of networks drawn by weight, systematically, in random order."""
    cumulative = np.cumsum(weights)
    places = (np.arange(number) + rng.random()) / number * cumulative[-1]
    chosen = np.searchsorted(cumulative, places, side="right")
    return rng.permutation(np.minimum(chosen, len(cumulative) - 1))
