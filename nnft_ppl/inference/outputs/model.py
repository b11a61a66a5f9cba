"""The NumPyro model of raw outputs, and NUTS at all cutoffs in one program."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from nnft_ppl._compile import compiled
from nnft_ppl._host import on_host
from nnft_ppl._typing import Key
from nnft_ppl.inference.mcmc.chains import run_chains
from nnft_ppl.inference.mcmc.sampling import Sampling

SMALLEST_BRACKET = 0.1
"""Below it the log bracket is continued by its second-order Taylor polynomial."""


class Problem(NamedTuple):
    """One cutoff's problem; float64 arrays, a leading axis `cutoff` when stacked.

    Attributes:
        response: (draw, operator) b_i of every draw, per dimensionless coupling.
        centre: (operator,) and
        factor: (operator, operator): c = centre + factor · standardized.
        prior_loc: (operator,) and
        prior_factor: (operator, operator): prior of `standardized`.
    """

    response: Any
    centre: Any
    factor: Any
    prior_loc: Any
    prior_factor: Any


def log_bracket(bracket: jax.Array) -> jax.Array:
    """Log of the bracket, and a parabola of the same value, slope and bend below 0.1.

    Smooth to second order and concave everywhere, so that the posterior has one
    maximum. A plain log, −∞ at zero, would let the most extreme of M draws bound the
    coupling. Measured on draws of Gaussian processes and nets with M = 10³ and 10⁴:
    thresholds from 0 to 0.5 give the same posterior to 2 % (10³ draws: scatter within
    7 %), so the choice matters little; log and parabola start to differ where first
    order has failed, and `negative_fraction` says so.
    """
    below = jnp.minimum(bracket - SMALLEST_BRACKET, 0) / SMALLEST_BRACKET
    above = jnp.maximum(bracket, SMALLEST_BRACKET)
    return jnp.log(above) + below - below**2 / 2


def field_model(problem: Problem) -> None:
    """The NumPyro model at one cutoff.

    Sites: `standardized` (couplings in coordinates where the posterior near the
    Gaussian process is a unit normal), `dimensionless` (c), `fields` (all draws).
    """
    standardized = numpyro.sample(
        "standardized",
        dist.MultivariateNormal(problem.prior_loc, scale_tril=problem.prior_factor),
    )
    couplings = numpyro.deterministic(
        "dimensionless", problem.centre + problem.factor @ standardized
    )
    bracket = 1 + problem.response @ couplings
    numpyro.factor("fields", jnp.sum(log_bracket(bracket)))


def _run_all(key: Key, problems: Problem, sampling: Sampling) -> dict[str, jax.Array]:
    """Samples and statistics, (cutoff, chain, draw, …).

    One cutoff after the other in one program: side by side, each would wait for the
    longest trajectory among all, and a step costs the whole ensemble.
    """

    def run_one(problem: Problem) -> dict[str, jax.Array]:
        start = {"standardized": jnp.zeros(problem.centre.shape)}
        return run_chains(field_model, start, key, problem, sampling=sampling)

    drawn: dict[str, jax.Array] = jax.lax.map(run_one, problems)
    return drawn


_run = compiled(_run_all, ("sampling",))


def run_nuts(
    problems: Problem, *, key: Key, sampling: Sampling
) -> dict[str, np.ndarray]:
    """Run NUTS at every cutoff.

    Args:
        problems: With a leading axis `cutoff`.
        key: A JAX random key, the same at every cutoff.
        sampling: Lengths and number of the chains.

    Returns:
        `dimensionless` (chain, draw, cutoff, operator) and the sampler's statistics
        (chain, draw, cutoff), by NumPyro's names.
    """
    with on_host(), jax.enable_x64(True):
        out = _run(key, jax.tree.map(jnp.asarray, problems), sampling)
        # (cutoff, chain, draw, …) -> (chain, draw, cutoff, …)
        return {name: np.moveaxis(np.asarray(v), 0, 2) for name, v in out.items()}
