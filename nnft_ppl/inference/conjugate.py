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
from nnft_ppl.inference.priors import Prior

_GRID_POINTS = 1201
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
    likelihood: Likelihood, prior: Prior, width: int, cutoff: int, *, discrepancy: bool
) -> ClosedForm:
    """The posterior at cutoff number `cutoff`.

    Args:
        likelihood: From `build_likelihood`.
        prior: Scales.
        width: N.
        cutoff: Index into the likelihood's cutoffs.
        discrepancy: Infer s; else s = 0.
    """
    design, data = likelihood.design[cutoff], likelihood.amplitudes
    tau = prior.coupling_scale(width)
    if not discrepancy:
        s = np.zeros(1)
    else:
        low = 1e-2 * np.sqrt(likelihood.variance.min())
        s = np.geomspace(low, 10 * prior.discrepancy_scale, _GRID_POINTS)
    log_evidence, mean, factor = _given_discrepancy(
        design, data, likelihood.variance, s, tau
    )
    if not discrepancy:
        return ClosedForm(s, np.ones(1), mean, factor, float(log_evidence[0]))
    # HalfNormal density times ds = s d log s.
    log_prior = (
        0.5 * np.log(2 / np.pi)
        - np.log(prior.discrepancy_scale)
        - 0.5 * (s / prior.discrepancy_scale) ** 2
        + np.log(s)
    )
    log_weight = log_evidence + log_prior
    top = log_weight.max()
    weight = np.exp(log_weight - top)
    step = np.log(s[1] / s[0])
    return ClosedForm(
        s, weight / weight.sum(), mean, factor, float(top + np.log(weight.sum() * step))
    )


def _given_discrepancy(
    design: np.ndarray,
    data: np.ndarray,
    variance: np.ndarray,
    s: np.ndarray,
    tau: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log evidence, posterior mean and covariance factor for every s of a grid.

    Least squares by QR with the prior as extra rows: residuals are formed explicitly,
    because with exact data χ² is a difference of numbers 10¹⁸ times larger.
    """
    num_operators = design.shape[1]
    sd = np.sqrt(variance + s[:, None] ** 2)
    rows = np.concatenate(
        [
            design / sd[..., None],
            np.broadcast_to(
                np.eye(num_operators) / tau, (len(s),) + (num_operators,) * 2
            ),
        ],
        axis=1,
    )
    target = np.concatenate([data / sd, np.zeros((len(s), num_operators))], axis=1)
    q, r = np.linalg.qr(rows)
    mean = np.linalg.solve(r, np.einsum("gmo,gm->go", q, target)[..., None])[..., 0]
    residual = target - np.einsum("gmo,go->gm", rows, mean)
    inverse = np.linalg.inv(r)
    covariance = inverse @ np.swapaxes(inverse, 1, 2)
    factor = np.linalg.cholesky(covariance)
    log_det = np.sum(np.log(np.abs(np.diagonal(r, axis1=1, axis2=2))), axis=1)
    log_evidence = (
        -0.5 * np.sum(residual**2, axis=1)
        - np.sum(np.log(sd), axis=1)
        - 0.5 * len(data) * _LOG_2PI
        - num_operators * np.log(tau)
        - log_det
    )
    return log_evidence, mean, factor
