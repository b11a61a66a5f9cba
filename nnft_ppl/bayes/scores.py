"""How well targets that were held out are predicted.

In: what a method predicts, and the targets. Out: the mean log predictive density of
one target, the root mean square error, and how many of them intervals of 90 % cover.
"""

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp, ndtri
from scipy.stats import norm

from nnft_ppl.bayes.result import Posterior

COVERED = 0.9
"""Probability of the intervals whose coverage is counted."""

type Targets = Float[np.ndarray, "new output"]


def gaussian_scores(
    mean: Targets, variance: Targets, noise_std: float, y: Targets
) -> dict[str, float]:
    """Of a normal predictive; NaN where its variance is not positive.

    Args:
        mean: Of the field.
        variance: Of the field, without noise.
        noise_std: σ of the targets.
        y: Targets.
    """
    spread = np.sqrt(np.where(variance > 0, variance, np.nan) + noise_std**2)
    reach = ndtri((1 + COVERED) / 2) * spread
    return _scores(norm.logpdf(y, mean, spread), mean, mean - reach, mean + reach, y)


def posterior_scores(
    posterior: Posterior, noise_std: float, y: Targets
) -> dict[str, float]:
    """Of a posterior: its mean, and the mixture over its draws of the field.

    Args:
        posterior: At the inputs of the targets.
        noise_std: σ of the targets.
        y: Targets.
    """
    fields = posterior.data["predictions"]["f"].to_numpy().reshape(-1, *y.shape)
    each = norm.logpdf(y, fields, noise_std)
    density = logsumexp(each, axis=0) - np.log(len(fields))
    tail = (1 - COVERED) / 2
    low, high = posterior.quantile(np.array([tail, 1 - tail]), of="y").reshape(
        2, *y.shape
    )
    return _scores(density, posterior.mean.reshape(y.shape), low, high, y)


def _scores(
    log_density: Targets, mean: Targets, low: Targets, high: Targets, y: Targets
) -> dict[str, float]:
    return {
        "log_density": float(log_density.mean()),
        "rmse": float(np.sqrt(np.mean((mean - y) ** 2))),
        "coverage": float(((low <= y) & (y <= high)).mean()),
    }
