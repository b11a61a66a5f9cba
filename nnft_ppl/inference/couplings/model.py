"""The NumPyro model of the couplings at one cutoff, in closed-form coordinates.

The couplings are sampled in coordinates standardised by the closed form at its most
probable discrepancy and the current natural size (an exact linear change of variables,
prior included), because exact data pins them to 10⁻⁹ of their prior and poor data leave
them as wide as it. Where predictions are quadratic in the couplings, the coordinates
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
    """One cutoff's problem in closed-form coordinates; float64 arrays.

    Attributes:
        statistics: What the data are reduced to.
        linear: (operator, operator) and
        quadratic: (operator, operator, operator), or `None` where predictions are
            linear: the least-squares estimate of what couplings c predict is
            offset + linear·c + quadratic·c·c.
        offset: (operator,) of it; linear is one, and offset zero, in linear problems.
        centre: (operator,) and
        factor: (operator, operator) lower triangular: posterior mean of c and factor of
            its covariance at the likeliest s and natural size.
        scales: (operator,) prior standard deviations of c at that natural size.
        powers: (operator,) they go as natural size to this power.
        size_start: () that natural size, where the chains start.
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
    factor: Any
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
        hierarchical: Infer τ; else it is the one at which the chains start.
    """
    statistics = problem.statistics
    s = jnp.zeros(())
    if discrepancy:
        s = numpyro.sample("discrepancy", dist.HalfNormal(problem.discrepancy_scale))
    if hierarchical:
        size = numpyro.sample(
            "natural_size",
            dist.LogNormal(jnp.log(problem.natural_size), problem.spread),
        )
        scales = problem.scales * (size / problem.size_start) ** problem.powers
        centre, factor = _given_size(problem, scales)
    else:
        scales, centre, factor = problem.scales, problem.centre, problem.factor
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
        dist.MultivariateNormal(expected, scale_tril=estimate_factor(statistics, s)),
        obs=statistics.estimate,
    )
    if statistics.sees_misfit:
        numpyro.sample(
            "misfit", dist.Gamma(*misfit_law(statistics, s)), obs=statistics.residual
        )


def _given_size(problem: Problem, scales: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Posterior mean and covariance factor of c for prior standard deviations `scales`.

    A coupling that the data leave open is as wide as its prior. In coordinates that do
    not follow the prior's size, the two would make a funnel, which NUTS cannot sample.

    With v the coordinates of the problem's own centre b and factor F at scales D, the
    precision of v is I there, and Fᵀ D⁻² F of it the prior's. At other scales D' it is
    P = I + Fᵀ (D'⁻² − D⁻²) F, and the mean of v is P⁻¹ Fᵀ (D⁻² − D'⁻²) b.
    """
    factor = problem.factor
    change = scales**-2.0 - problem.scales**-2.0
    identity = jnp.eye(len(scales))
    precision = identity + factor.T @ (change[:, None] * factor)
    # A lower triangular G with G Gᵀ = P⁻¹, from the Cholesky factor in reversed order.
    upper = jnp.linalg.cholesky(precision[::-1, ::-1])[::-1, ::-1]
    inverse = solve_triangular(upper.T, identity, lower=True)
    shift = inverse @ (inverse.T @ (factor.T @ (-change * problem.centre)))
    return problem.centre + factor @ shift, factor @ inverse
