"""The NumPyro model of the couplings at one cutoff, in closed-form coordinates.

The couplings are sampled in coordinates standardised by the closed form at the current
discrepancy and natural size (an exact linear change of variables, prior included),
because exact data pins them to 10⁻⁹ of their prior and poor data leave them as wide as
it. Where predictions are quadratic in the couplings, the coordinates
come from the linearisation and the likelihood is whole.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.scipy.linalg import solve_triangular

from nnft_ppl.inference.least_squares import (
    LeastSquares,
    estimate_factor,
    misfit_law,
)


class Problem(NamedTuple):
    """One cutoff's problem; float64 arrays.

    Attributes:
        statistics: What the data are reduced to.
        linear: (operator, operator) and
        quadratic: (operator, operator, operator), or `None` where predictions are
            linear: the least-squares estimate of what couplings c predict is
            offset + linear·c + quadratic·c·c.
        offset: (operator,) of it; linear is one, and offset zero, in linear problems.
        centre: (operator,) c about which coordinates are linear.
        scales: (operator,) prior standard deviations of c at `size_start`.
        powers: (operator,) they go as natural size to this power.
        size_start: () natural size at which the chains start.
        natural_size: () median of its prior.
        spread: () standard deviation of its logarithm.
        discrepancy_scale: () scale of the half-normal prior of s.
        discrepancy_start: () where the chains start.
    """

    statistics: LeastSquares
    linear: Any
    quadratic: Any
    offset: Any
    centre: Any
    scales: Any
    powers: Any
    size_start: Any
    natural_size: Any
    spread: Any
    discrepancy_scale: Any
    discrepancy_start: Any


def correlator_model(
    problem: Problem, *, discrepancy: bool, hierarchical: bool
) -> None:
    """The NumPyro model at one cutoff.

    Sites: `standardized` (couplings in closed-form coordinates), `dimensionless` (c),
    `discrepancy` (s, where inferred), `natural_size` (τ, where inferred), `estimate`
    (m) and `misfit` (Q), the data.

    Args:
        problem: Data and prior.
        discrepancy: Infer s; else s = 0.
        hierarchical: Infer τ; else it is `size_start`.
    """
    statistics = problem.statistics
    s = jnp.zeros(())
    if discrepancy:
        s = numpyro.sample("discrepancy", dist.HalfNormal(problem.discrepancy_scale))
    scales = problem.scales
    if hierarchical:
        size = numpyro.sample(
            "natural_size",
            dist.LogNormal(jnp.log(problem.natural_size), problem.spread),
        )
        scales = scales * (size / problem.size_start) ** problem.powers
    error = estimate_factor(statistics, s)
    centre, factor = _coordinates(problem, error, scales)
    # c = centre + factor·u with c ~ N(0, diag scales²) makes u normal around
    # −factor⁻¹ centre with covariance factor⁻¹ diag(scales²) factor⁻ᵀ, and
    # factor⁻¹ diag(scales) is lower triangular as factor is.
    columns = jnp.concatenate([-centre[:, None], jnp.diag(scales)], axis=1)
    columns = solve_triangular(factor, columns, lower=True)
    standardized = numpyro.sample(
        "standardized",
        dist.MultivariateNormal(columns[:, 0], scale_tril=columns[:, 1:]),
    )
    couplings = numpyro.deterministic("dimensionless", centre + factor @ standardized)
    expected = problem.offset + problem.linear @ couplings
    if problem.quadratic is not None:
        expected = expected + (problem.quadratic @ couplings) @ couplings
    numpyro.sample(
        "estimate",
        dist.MultivariateNormal(expected, scale_tril=error),
        obs=statistics.estimate,
    )
    if statistics.sees_misfit:
        numpyro.sample(
            "misfit", dist.Gamma(*misfit_law(statistics, s)), obs=statistics.residual
        )


def _coordinates(
    problem: Problem, error: jax.Array, scales: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Posterior mean and covariance factor of c, given s and the prior's size.

    A coupling that the data leave open is as wide as its prior, one that they measure
    as wide as s. In coordinates that do not follow both, couplings and s or the size
    would make a funnel, which NUTS cannot sample. By QR, as in `conjugate`.

    Args:
        problem: Data; where predictions are quadratic, their tangent at its centre.
        error: (operator, operator) lower factor of the covariance of the estimate.
        scales: (operator,) prior standard deviations.
    """
    response, left = problem.linear, problem.statistics.estimate - problem.offset
    if problem.quadratic is not None:
        bend = problem.quadratic @ problem.centre
        response, left = response + 2 * bend, left + bend @ problem.centre
    data = jnp.concatenate([response, left[:, None]], axis=1)
    prior = jnp.eye(len(scales), len(scales) + 1) / scales[:, None]
    rows = jnp.concatenate([solve_triangular(error, data, lower=True), prior])
    triangle = jnp.linalg.qr(rows, mode="r")[:-1]
    upper = solve_triangular(triangle[:, :-1], jnp.eye(len(scales)))
    factor = jnp.linalg.qr(upper.T, mode="r").T
    factor = factor * jnp.sign(jnp.diagonal(factor))[None, :]
    return upper @ triangle[:, -1], factor
