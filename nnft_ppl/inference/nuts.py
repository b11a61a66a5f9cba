"""NUTS for the couplings, all cutoffs in one compiled program.

Every cutoff has the same shapes, so the whole MCMC run is mapped over cutoffs: one
compile serves 1 or 21. The couplings are sampled in coordinates standardised by the
closed form at its most probable discrepancy (an exact linear change of variables, prior
included), because exact data pins them to 10⁻⁹ of their prior.
"""

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
from nnft_ppl.inference.priors import Prior

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

type Arrays = dict[str, jax.Array]


def correlator_model(
    problem: Arrays, amplitudes: jax.Array | None, discrepancy_scale: float | None
) -> None:
    """The NumPyro model at one cutoff.

    Sites: `standardized` (couplings in closed-form coordinates), `dimensionless` (c),
    `discrepancy` (s, absent when its scale is `None`), `amplitude` (data, plate
    `mode`).

    Args:
        problem: design (mode, operator), variance (mode,), centre (operator,), factor
            (operator, operator), prior_loc, prior_factor: the prior of `standardized`.
        amplitudes: (mode,) data, or `None` to predict.
        discrepancy_scale: HalfNormal scale of s.
    """
    variance = problem["variance"]
    if discrepancy_scale is not None:
        s = numpyro.sample("discrepancy", dist.HalfNormal(discrepancy_scale))
        variance = variance + s**2
    standardized = numpyro.sample(
        "standardized",
        dist.MultivariateNormal(
            problem["prior_loc"], scale_tril=problem["prior_factor"]
        ),
    )
    couplings = numpyro.deterministic(
        "dimensionless", problem["centre"] + problem["factor"] @ standardized
    )
    with numpyro.plate("mode", problem["design"].shape[0]):
        numpyro.sample(
            "amplitude",
            dist.Normal(problem["design"] @ couplings, jnp.sqrt(variance)),
            obs=amplitudes,
        )


def run_nuts(
    likelihood: Likelihood,
    prior: Prior,
    width: int,
    closed_forms: list[ClosedForm],
    *,
    discrepancy: bool,
    key: Key,
    num_warmup: int,
    num_samples: int,
    num_chains: int,
) -> dict[str, np.ndarray]:
    """Run NUTS at every cutoff.

    Returns:
        `dimensionless` (chain, draw, cutoff, operator), `discrepancy` (chain, draw,
        cutoff) when inferred, and the sampler's statistics (chain, draw, cutoff).
    """
    tau = prior.coupling_scale(width)
    problems = {
        "design": likelihood.design,
        "variance": np.broadcast_to(
            likelihood.variance, (len(closed_forms), len(likelihood.variance))
        ),
        **_standardization(closed_forms, tau),
    }
    start = np.array([form.discrepancy[form.mode] for form in closed_forms])
    scale = prior.discrepancy_scale if discrepancy else None

    def run_one(key: Key, problem: Arrays, start: jax.Array) -> Arrays:
        initial = {"standardized": jnp.zeros(likelihood.design.shape[2])}
        if discrepancy:
            initial["discrepancy"] = start
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
        sampler.run(
            key,
            problem,
            jnp.asarray(likelihood.amplitudes),
            scale,
            extra_fields=_EXTRA_FIELDS,
        )
        return {
            **sampler.get_samples(group_by_chain=True),
            **sampler.get_extra_fields(group_by_chain=True),
        }

    with jax.enable_x64(True):
        out = compiled(jax.vmap(run_one, in_axes=(None, 0, 0)))(
            key, jax.tree.map(jnp.asarray, problems), jnp.asarray(start)
        )
        # (cutoff, chain, draw, …) -> (chain, draw, cutoff, …)
        return {name: np.moveaxis(np.asarray(v), 0, 2) for name, v in out.items()}


def _standardization(forms: list[ClosedForm], tau: float) -> dict[str, np.ndarray]:
    """Centre and factor at the likeliest discrepancy, and the prior in these terms.

    c = centre + factor·u with c ~ N(0, τ²) makes u ~ N(−factor⁻¹ centre,
    τ² factor⁻¹ factor⁻ᵀ).
    """
    centre = np.stack([form.mean[form.mode] for form in forms])
    factor = np.stack([form.factor[form.mode] for form in forms])
    inverse = np.linalg.inv(factor)
    return {
        "centre": centre,
        "factor": factor,
        "prior_loc": -np.einsum("cij,cj->ci", inverse, centre),
        # The inverse of a lower triangular factor is lower triangular.
        "prior_factor": tau * inverse,
    }
