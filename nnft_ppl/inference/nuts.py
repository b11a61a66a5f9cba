"""NUTS for the couplings, all cutoffs in one compiled program.

Every cutoff has the same shapes, so the whole MCMC run is mapped over cutoffs: one
compile serves 1 or 21. The couplings are sampled in coordinates standardised by the
closed form at its most probable discrepancy (an exact linear change of variables, prior
included), because exact data pins them to 10⁻⁹ of their prior.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS, init_to_value

from nnft_ppl._compile import compiled
from nnft_ppl._typing import Key
from nnft_ppl.inference.conjugate import ClosedForm
from nnft_ppl.inference.likelihood import Likelihood

_EXTRA_FIELDS = (
    "diverging",
    "energy",
    "potential_energy",
    "num_steps",
    "accept_prob",
    "adapt_state.step_size",
)

_TARGET_ACCEPTANCE = 0.95
"""Above NumPyro's 0.8: a discrepancy near zero has a sharp corner in log s."""


class Problem(NamedTuple):
    """One cutoff's problem in closed-form coordinates; float64 arrays.

    Attributes:
        design: (mode, operator) response to dimensionless couplings.
        amplitudes: (mode,) data.
        variance: (mode,) of the data.
        centre: (operator,) and
        factor: (operator, operator): c = centre + factor · standardized.
        prior_loc: (operator,) and
        prior_factor: (operator, operator): prior of `standardized`.
        discrepancy_scale: () scale of the half-normal prior of s.
        discrepancy_start: () where the chains start.
    """

    design: Any
    amplitudes: Any
    variance: Any
    centre: Any
    factor: Any
    prior_loc: Any
    prior_factor: Any
    discrepancy_scale: Any
    discrepancy_start: Any


def correlator_model(problem: Problem, *, discrepancy: bool) -> None:
    """The NumPyro model at one cutoff.

    Sites: `standardized` (couplings in closed-form coordinates), `dimensionless` (c),
    `discrepancy` (s, where inferred), `amplitude` (data, plate `mode`).

    Args:
        problem: Data and prior.
        discrepancy: Infer s; else s = 0.
    """
    variance = problem.variance
    if discrepancy:
        s = numpyro.sample("discrepancy", dist.HalfNormal(problem.discrepancy_scale))
        variance = variance + s**2
    standardized = numpyro.sample(
        "standardized",
        dist.MultivariateNormal(problem.prior_loc, scale_tril=problem.prior_factor),
    )
    couplings = numpyro.deterministic(
        "dimensionless", problem.centre + problem.factor @ standardized
    )
    with numpyro.plate("mode", problem.design.shape[0]):
        numpyro.sample(
            "amplitude",
            dist.Normal(problem.design @ couplings, jnp.sqrt(variance)),
            obs=problem.amplitudes,
        )


def run_nuts(
    likelihood: Likelihood,
    coupling_scales: np.ndarray,
    discrepancy_scale: float | None,
    closed_forms: list[ClosedForm],
    *,
    key: Key,
    num_warmup: int,
    num_samples: int,
    num_chains: int,
) -> dict[str, np.ndarray]:
    """Run NUTS at every cutoff.

    Args:
        likelihood: From `build_likelihood`.
        coupling_scales: (operator,) prior standard deviations of c.
        discrepancy_scale: Scale of the half-normal prior of s; `None` fixes s = 0.
        closed_forms: One per cutoff; they set coordinates and starting points.
        key: A JAX random key, the same at every cutoff.
        num_warmup: Adaptation steps.
        num_samples: Draws kept per chain.
        num_chains: Number of chains.

    Returns:
        `dimensionless` (chain, draw, cutoff, operator), `discrepancy` (chain, draw,
        cutoff) when inferred, and the sampler's statistics (chain, draw, cutoff).
    """
    problems = _problems(likelihood, coupling_scales, discrepancy_scale, closed_forms)
    with jax.enable_x64(True):
        out = _run(
            key,
            jax.tree.map(jnp.asarray, problems),
            discrepancy_scale is not None,
            num_warmup,
            num_samples,
            num_chains,
        )
        # (cutoff, chain, draw, …) -> (chain, draw, cutoff, …)
        return {name: np.moveaxis(np.asarray(v), 0, 2) for name, v in out.items()}


def _run_all(
    key: Key,
    problems: Problem,
    discrepancy: bool,
    num_warmup: int,
    num_samples: int,
    num_chains: int,
) -> dict[str, jax.Array]:
    """Samples and statistics, (cutoff, chain, draw, …)."""

    def run_one(problem: Problem) -> dict[str, jax.Array]:
        initial = {"standardized": jnp.zeros(problem.design.shape[1])}
        if discrepancy:
            initial["discrepancy"] = problem.discrepancy_start
        sampler = MCMC(
            NUTS(
                correlator_model,
                init_strategy=init_to_value(values=initial),
                target_accept_prob=_TARGET_ACCEPTANCE,
            ),
            num_warmup=num_warmup,
            num_samples=num_samples,
            num_chains=num_chains,
            chain_method="vectorized",
            progress_bar=False,
        )
        sampler.run(key, problem, discrepancy=discrepancy, extra_fields=_EXTRA_FIELDS)
        return {
            **sampler.get_samples(group_by_chain=True),
            **sampler.get_extra_fields(group_by_chain=True),
        }

    return jax.vmap(run_one)(problems)


_run = compiled(_run_all, ("discrepancy", "num_warmup", "num_samples", "num_chains"))


def _problems(
    likelihood: Likelihood,
    coupling_scales: np.ndarray,
    discrepancy_scale: float | None,
    forms: list[ClosedForm],
) -> Problem:
    """All cutoffs' problems, standardised at the likeliest discrepancy.

    c = centre + factor·u with c ~ N(0, diag τ²) makes u normal around −factor⁻¹ centre
    with covariance factor⁻¹ diag(τ²) factor⁻ᵀ, and factor⁻¹ diag(τ) is lower triangular
    as factor is.
    """
    centre = np.stack([form.mean[form.mode] for form in forms])
    factor = np.stack([form.factor[form.mode] for form in forms])
    inverse = np.linalg.inv(factor)
    number = len(forms)
    scale = 1.0 if discrepancy_scale is None else discrepancy_scale
    return Problem(
        design=likelihood.design,
        amplitudes=np.tile(likelihood.amplitudes, (number, 1)),
        variance=np.tile(likelihood.variance, (number, 1)),
        centre=centre,
        factor=factor,
        prior_loc=-np.einsum("cij,cj->ci", inverse, centre),
        prior_factor=inverse * coupling_scales,
        discrepancy_scale=np.full(number, scale),
        discrepancy_start=np.array([form.discrepancy[form.mode] for form in forms]),
    )
