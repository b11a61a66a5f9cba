"""The law of running as a linear problem: couplings, their shared errors, the model.

In: the likelihood at every cutoff. Out: the couplings with their joint errors, the
problem of fitting a power law to their logarithms, and its NumPyro model.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Float

from nnft_ppl.inference.least_squares import least_squares, misfit_norms
from nnft_ppl.inference.likelihood import Likelihood

_FLOOR = 1e-11
"""Scatter granted to every coupling: the relative error of the integrals."""
_PRIOR_LOG_AMPLITUDE = 10.0  # around the least-squares law
_PRIOR_EXPONENT = 30.0
_PRIOR_CURVATURE = 30.0
_PRIOR_SCATTER = 1.0


class Estimates(NamedTuple):
    """Couplings at every cutoff from the one data set.

    Relative errors δĉ/ĉ along directions that are independent standard normals, the
    same at all cutoffs.

    Attributes:
        dimensionless: ĉ (cutoff, operator).
        noise: (cutoff, operator, direction) from sampling noise.
        ambiguity: (cutoff, operator, direction) from the action's discrepancy.
    """

    dimensionless: Float[np.ndarray, "cutoff operator"]
    noise: Float[np.ndarray, "cutoff operator direction"]
    ambiguity: Float[np.ndarray, "cutoff operator direction"]

    @property
    def relative_error(self) -> Float[np.ndarray, "cutoff operator"]:
        """Of each coupling, both sources together."""
        both = np.concatenate([self.noise, self.ambiguity], axis=-1)
        return np.asarray(np.sqrt(np.sum(both**2, axis=-1)))


class Problem(NamedTuple):
    """A linear law for log|g|, float64: rows are cutoffs × operators.

    Attributes:
        design: (row, parameter) law parameters, then directions of sampling noise.
        target: (row,) log|g| less the law at `centre`.
        operator: (row, operator) one where the row is of that operator.
        prior_sd: (parameter,) around zero, that is around `centre`.
        start: (operator,) scatter at which the chains start.
    """

    design: Any
    target: Any
    operator: Any
    prior_sd: Any
    start: Any


class Conditional(NamedTuple):
    """Posterior of the parameters at a given scatter: normal, in closed form.

    Attributes:
        mean: (parameter,)
        triangle: (parameter, parameter) upper R; covariance (RᵀR)⁻¹.
        log_evidence: log p(couplings | scatter), up to a constant.
    """

    mean: Any
    triangle: Any
    log_evidence: Any


def joint_estimates(
    likelihood: Likelihood,
    discrepancies: Float[np.ndarray, " cutoff"],
    centres: Float[np.ndarray, "cutoff operator"],
) -> Estimates:
    """Least-squares couplings at every cutoff, and the errors that they share.

    Args:
        likelihood: From `build_likelihood`.
        discrepancies: s at each cutoff.
        centres: Couplings c around which predictions are linearised, where they are not
            linear.
    """
    couplings, noise, ambiguity = [], [], []
    sd = np.sqrt(likelihood.noise + likelihood.rounding)
    for cutoff, (centre, s) in enumerate(zip(centres, discrepancies, strict=True)):
        statistics = least_squares(likelihood, cutoff, centre)
        coupling = statistics.estimate
        couplings.append(coupling)
        relative = statistics.projection / coupling[:, None]
        noise.append(relative * sd)
        norms = misfit_norms(likelihood, cutoff, centre)
        ambiguity.append(relative @ likelihood.rotation.T * norms * s)
    return Estimates(
        np.stack(couplings), _shared(np.stack(noise)), _shared(np.stack(ambiguity))
    )


def _shared(error: np.ndarray) -> np.ndarray:
    """As few directions as carry the errors: the cutoffs share most of them."""
    table = error.reshape(-1, error.shape[-1])
    left, singular, _ = np.linalg.svd(table, full_matrices=False)
    kept = singular > _FLOOR
    return (left * singular)[:, kept].reshape(*error.shape[:2], -1)


def law_problem(
    estimates: Estimates,
    scale: Float[np.ndarray, "cutoff operator"],
    cutoffs: Float[np.ndarray, " cutoff"],
    curvature: bool,
) -> tuple[Problem, Float[np.ndarray, "power operator"]]:
    """The law's linear problem around its least-squares fit.

    Returns:
        The problem, whose first parameters are power × operator, and the law (power,
        operator) at which they are zero.
    """
    log_coupling = np.log(np.abs(estimates.dimensionless / scale))
    logs = np.log(cutoffs)
    distance = logs - logs.mean()
    powers = [np.ones_like(distance), distance, distance**2 / 2]
    basis = np.stack(powers[: 3 if curvature else 2], axis=1)
    number = log_coupling.shape[1]
    centre = np.linalg.lstsq(basis, log_coupling, rcond=None)[0]
    left = log_coupling - basis @ centre
    law = np.kron(basis, np.eye(number))  # rows cutoff × operator, as `left` ravelled
    priors = [_PRIOR_LOG_AMPLITUDE, _PRIOR_EXPONENT, _PRIOR_CURVATURE]
    noise = estimates.noise.reshape(law.shape[0], -1)
    directions = noise.shape[1]
    freedom = len(cutoffs) - basis.shape[1]
    return Problem(
        design=np.concatenate([law, noise], axis=1),
        target=left.ravel(),
        operator=np.tile(np.eye(number), (len(cutoffs), 1)),
        prior_sd=np.concatenate(
            [np.repeat(priors[: basis.shape[1]], number), np.ones(directions)]
        ),
        start=np.sqrt(np.sum(left**2, axis=0) / freedom + _FLOOR**2),
    ), centre


def unshared_noise(
    problem: Problem, num_parameters: int
) -> Float[np.ndarray, " operator"]:
    """By how much sampling noise alone moves couplings off every law.

    Relative, root mean square over cutoffs. What the cutoffs share moves the law.

    Args:
        problem: From `law_problem`.
        num_parameters: How many of its columns are the law's; the others are noise.
    """
    law, noise = np.split(problem.design, [num_parameters], axis=1)
    left = noise - law @ np.linalg.lstsq(law, noise, rcond=None)[0]
    power = problem.operator.T @ np.sum(left**2, axis=1)
    return np.asarray(np.sqrt(power / problem.operator.sum(axis=0)))


def given_scatter(problem: Problem, scatter: jax.Array) -> Conditional:
    """Parameters at a given scatter of each operator.

    Least squares by QR with the prior as extra rows, as in `conjugate`: normal
    equations would lose shared errors of 10⁻² beside a scatter of 10⁻¹¹.
    """
    sd = problem.operator @ jnp.sqrt(scatter**2 + _FLOOR**2)
    number = problem.design.shape[1]
    rows = jnp.concatenate([problem.design, problem.target[:, None]], axis=1)
    prior = jnp.eye(number, number + 1) / problem.prior_sd[:, None]
    r = jnp.linalg.qr(jnp.concatenate([rows / sd[:, None], prior]), mode="r")
    triangle = r[:number, :number]
    log_evidence = (
        -0.5 * r[number, number] ** 2
        - jnp.sum(jnp.log(sd))
        - jnp.sum(jnp.log(jnp.abs(jnp.diagonal(triangle))))
    )
    mean = jax.scipy.linalg.solve_triangular(triangle, r[:number, number])
    return Conditional(mean, triangle, log_evidence)


def running_model(problem: Problem) -> None:
    """The NumPyro model of the laws of all couplings.

    Sites: `scatter` t (operator), `standardized` (the parameters in their closed-form
    coordinates at that scatter), `parameters` (around the least-squares law).
    """
    scatter = numpyro.sample(
        "scatter",
        dist.HalfNormal(_PRIOR_SCATTER).expand([problem.start.shape[0]]).to_event(1),
    )
    law = given_scatter(problem, scatter)
    # Prior × likelihood = evidence(t) · N(parameters; mean, covariance)(t).
    numpyro.factor("evidence", law.log_evidence)
    size = problem.design.shape[1]
    standardized = numpyro.sample(
        "standardized", dist.Normal(0.0, 1.0).expand([size]).to_event(1)
    )
    shift = jax.scipy.linalg.solve_triangular(law.triangle, standardized)
    numpyro.deterministic("parameters", law.mean + shift)
