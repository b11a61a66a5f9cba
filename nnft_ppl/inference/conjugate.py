"""Closed-form inference: linear-Gaussian in the couplings, a grid in the discrepancy.

At a fixed discrepancy s the posterior of the couplings is Gaussian and the evidence is
known. With s inferred, p(s | data) is one-dimensional and tabulated on a fine grid of
log s, so the posterior is an exact mixture up to the grid. This is both the sampler
`conjugate` and the oracle of NUTS.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nnft_ppl.inference.likelihood import Likelihood

_COARSE_POINTS = 181
_FINE_POINTS = 401
_NEGLIGIBLE = 30.0
"""Points this far below the top in log probability are left out of the fine grid."""
_LOG_2PI = np.log(2 * np.pi)


@dataclass(frozen=True, eq=False)
class ClosedForm:
    """The posterior at one cutoff.

    Attributes:
        discrepancy: (grid,) values of s; a single 0 when there is none.
        weight: (grid,) posterior probability of each.
        mean: (grid, operator) posterior mean of c given s.
        factor: (grid, operator, operator) lower triangular, covariance = F Fᵀ given s.
        log_evidence: log p(data), natural units, s integrated out.
    """

    discrepancy: Float[np.ndarray, " grid"]
    weight: Float[np.ndarray, " grid"]
    mean: Float[np.ndarray, "grid operator"]
    factor: Float[np.ndarray, "grid operator operator"]
    log_evidence: float

    @property
    def mode(self) -> int:
        """Index of the most probable grid point."""
        return int(np.argmax(self.weight))

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Posterior mean and standard deviation of c, s integrated out."""
        mean = self.weight @ self.mean
        variance = np.einsum("gij,gij->gi", self.factor, self.factor)
        spread = variance + (self.mean - mean) ** 2
        return mean, np.sqrt(self.weight @ spread)

    def draw(
        self, rng: np.random.Generator, num_draws: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Independent posterior draws: c (draw, operator) and s (draw,)."""
        if len(self.weight) == 1:
            which = np.zeros(num_draws, dtype=int)
            discrepancy = np.zeros(num_draws)
        else:
            # Uniform within the cell of log s around each grid point.
            which = rng.choice(len(self.weight), size=num_draws, p=self.weight)
            step = np.log(self.discrepancy[1] / self.discrepancy[0])
            jitter = rng.uniform(-0.5, 0.5, num_draws) * step
            discrepancy = self.discrepancy[which] * np.exp(jitter)
        normals = rng.standard_normal((num_draws, self.mean.shape[1]))
        return self.mean[which] + np.einsum(
            "dij,dj->di", self.factor[which], normals
        ), discrepancy


def solve(
    likelihood: Likelihood,
    cutoff: int,
    coupling_scales: np.ndarray,
    discrepancy_scale: float | None,
) -> ClosedForm:
    """The posterior at cutoff number `cutoff`.

    Args:
        likelihood: From `build_likelihood`.
        cutoff: Index into the likelihood's cutoffs.
        coupling_scales: (operator,) prior standard deviations of c.
        discrepancy_scale: Scale of the half-normal prior of s; `None` fixes s = 0.
    """
    design, data = likelihood.design[cutoff], likelihood.amplitudes

    def tabulate(s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return _given_discrepancy(design, data, likelihood.variance, s, coupling_scales)

    if discrepancy_scale is None:
        log_evidence, mean, factor = tabulate(np.zeros(1))
        return ClosedForm(np.zeros(1), np.ones(1), mean, factor, float(log_evidence[0]))
    low = 1e-3 * np.sqrt(likelihood.variance.min())
    s = np.geomspace(low, 10 * discrepancy_scale, _COARSE_POINTS)
    log_weight = tabulate(s)[0] + _log_prior(s, discrepancy_scale)
    likely = np.flatnonzero(log_weight > log_weight.max() - _NEGLIGIBLE)
    first, last = max(likely[0] - 1, 0), min(likely[-1] + 1, len(s) - 1)
    s = np.geomspace(s[first], s[last], _FINE_POINTS)
    log_evidence, mean, factor = tabulate(s)
    log_weight = log_evidence + _log_prior(s, discrepancy_scale)
    top = log_weight.max()
    weight = np.exp(log_weight - top)
    step = np.log(s[1] / s[0])
    return ClosedForm(
        s, weight / weight.sum(), mean, factor, float(top + np.log(weight.sum() * step))
    )


def _log_prior(s: np.ndarray, scale: float) -> np.ndarray:
    """Log density of log s when s is half-normal: ds = s d log s."""
    return np.asarray(
        0.5 * np.log(2 / np.pi) - np.log(scale) - 0.5 * (s / scale) ** 2 + np.log(s)
    )


def _given_discrepancy(
    design: np.ndarray,
    data: np.ndarray,
    variance: np.ndarray,
    s: np.ndarray,
    tau: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log evidence, posterior mean and covariance factor for every s of a grid.

    Least squares by QR of [design, data] with the prior as extra rows, which leaves χ²
    in the last diagonal element of R. Normal equations would form it as a difference of
    numbers that are 10¹⁸ times larger when the data are exact.
    """
    num_operators = design.shape[1]
    sd = np.sqrt(variance + s[:, None] ** 2)
    table = np.zeros((len(s), len(data) + num_operators, num_operators + 1))
    table[:, : len(data), :-1] = design / sd[..., None]
    table[:, : len(data), -1] = data / sd
    table[:, len(data) :, :-1] = np.diag(1 / tau)
    r = np.linalg.qr(table, mode="r")
    triangle, chi_squared = r[:, :-1, :-1], r[:, -1, -1] ** 2
    mean = np.linalg.solve(triangle, r[:, :-1, -1:])[..., 0]
    inverse = np.linalg.inv(triangle)
    # Covariance R⁻¹R⁻ᵀ = FFᵀ by another QR: squaring would lose operators that predict
    # nearly the same.
    factor = np.swapaxes(np.linalg.qr(np.swapaxes(inverse, 1, 2), mode="r"), 1, 2)
    factor = factor * np.sign(np.diagonal(factor, axis1=1, axis2=2))[:, None, :]
    log_det = np.sum(np.log(np.abs(np.diagonal(triangle, axis1=1, axis2=2))), axis=1)
    log_evidence = (
        -0.5 * chi_squared
        - np.sum(np.log(sd), axis=1)
        - 0.5 * len(data) * _LOG_2PI
        - np.sum(np.log(tau))
        - log_det
    )
    return log_evidence, mean, factor
