"""The posterior by tempered sequential Monte Carlo over the hidden parameters.

For data so informative that no network of the prior is near them. Particles start as
networks of the prior, and the likelihood is switched on in steps, to a power β from 0
to 1, each as large as leaves half of the particles effective; after each they are drawn
anew by weight and moved by Hamiltonian Monte Carlo. The readout is integrated out. The
product of the mean weights estimates the evidence; independent populations tell its
error. In: a `Job`. Out: what NUTS gives, and the evidence.

Source: Del Moral, Doucet, Jasra, J. R. Statist. Soc. B 68 (2006) 411; Chopin and
Papaspiliopoulos, An Introduction to Sequential Monte Carlo (2020), chapter 17.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float
from numpyro import handlers
from numpyro.infer.util import constrain_fn, potential_energy, unconstrain_fn
from scipy.optimize import brentq
from scipy.special import logsumexp

from nnft_ppl._compile import compiled
from nnft_ppl._network import Network
from nnft_ppl._typing import Key
from nnft_ppl.bayes.chained import Chained, Problem, finished, kernel_model, stated
from nnft_ppl.bayes.weighting import Job
from nnft_ppl.bayes.weights import resampled
from nnft_ppl.ensemble.model import numbered_keys
from nnft_ppl.ensemble.progress import Monitor, Pace
from nnft_ppl.inference.mcmc.sampling import Sampling

_PARTICLES, _MOVES = ((1 << 30) + 32 + i for i in range(2))
"""Streams of the key, others than those of weighting and NUTS."""
_KEPT = 0.5
"""Share of the particles that stay effective in a step."""
_NUM_MOVES, _NUM_LEAPS = 8, 8
_ACCEPTED = 0.8
"""What the step size is adapted to."""
_FIRST_STEP, _MOST_STEP = 0.2, 1.0
"""In standard deviations of the particles."""

_SIDE_BY_SIDE = 64
"""Most particles whose matrices are factored together."""

type Sites = dict[str, Any]


def run_smc(
    job: Job, sampling: Sampling, monitor: Monitor | None
) -> tuple[Chained, float, float]:
    """Populations of particles, `num_chains` of `num_samples` each.

    Args:
        job: Networks and data; its number of draws does not matter.
        sampling: How many particles; its warm-up does not matter.
        monitor: Told of every step, in parts of a thousand of the way.

    Returns:
        What the particles give, a population in the place of a chain; the log evidence
        and one standard error of it.

    Raises:
        FitError: Particles end in numbers that are not finite.
    """
    shape = (sampling.num_chains, sampling.num_samples)
    rng = np.random.default_rng(
        np.asarray(jax.random.key_data(job.special_key(_PARTICLES)))
    )
    with jax.enable_x64(True):
        problem = stated(job)
        keys = numbered_keys(
            job.special_key(_PARTICLES), np.arange(np.prod(shape), dtype=np.uint32)
        )
        particles, log_likelihood = _begin(keys, problem, job.network)
        powers, log_evidence = np.zeros(shape[0]), np.zeros(shape[0])
        steps, round_, pace = np.full(shape[0], _FIRST_STEP), 0, Pace(0, "thousandths")
        while (powers < 1).any():
            found = np.asarray(log_likelihood).reshape(shape)
            chosen = np.empty(shape, int)
            for one in range(shape[0]):
                power = _next_power(powers[one], found[one])
                weights = (power - powers[one]) * found[one]
                log_evidence[one] += logsumexp(weights) - np.log(shape[1])
                chosen[one] = one * shape[1] + resampled(weights, shape[1], rng)
                powers[one] = power
            particles = {n: v[chosen.ravel()] for n, v in particles.items()}
            spread = {n: jnp.maximum(v.std(axis=0), 1e-6) for n, v in particles.items()}
            keys = numbered_keys(
                jax.random.fold_in(job.special_key(_MOVES), round_),
                np.arange(chosen.size, dtype=np.uint32),
            )
            for move in range(_NUM_MOVES):
                particles, log_likelihood, accepted = _move(
                    jax.vmap(partial(jax.random.fold_in, data=move))(keys),
                    particles,
                    jnp.repeat(jnp.asarray(powers), shape[1]),
                    jnp.repeat(jnp.asarray(steps), shape[1]),
                    spread,
                    problem,
                    job.network,
                )
                rate = np.asarray(accepted).reshape(shape).mean(axis=1)
                steps = np.minimum(steps * np.exp(rate - _ACCEPTED), _MOST_STEP)
            round_ += 1
            if monitor is not None:
                monitor(pace.at(int(1000 * powers.min()), 1000))
        sites = {
            n: np.asarray(v) for n, v in _sites(particles, problem, job.network).items()
        }
        statistics = {"lp": np.asarray(log_likelihood).reshape(shape)}
        chained = finished(job, problem, sites, statistics, shape)
    top = log_evidence.max()
    each = np.exp(log_evidence - top)
    error = (
        each.std(ddof=1) / len(each) ** 0.5 / each.mean() if len(each) > 1 else np.inf
    )
    return chained, float(top + np.log(each.mean())), float(error)


def _next_power(power: float, log_likelihood: Float[np.ndarray, " particle"]) -> float:
    """The β at which a share `_KEPT` of the particles is left effective, at most 1."""

    def too_many(step: float) -> float:
        weights = step * log_likelihood
        effective = np.exp(2 * logsumexp(weights) - logsumexp(2 * weights))
        return float(effective / len(weights) - _KEPT)

    if too_many(1 - power) >= 0:
        return 1.0
    return power + float(brentq(too_many, 0.0, 1 - power, rtol=1e-6))


def _begin_all(
    keys: Key, problem: Problem, network: Network
) -> tuple[Sites, jax.Array]:
    """Draws of the prior in unconstrained coordinates, and their log likelihoods."""

    def one(key: Key) -> tuple[Sites, jax.Array]:
        trace = handlers.trace(handlers.seed(kernel_model, key)).get_trace(
            problem, network
        )
        sites = {
            name: site["value"]
            for name, site in trace.items()
            if site["type"] == "sample" and not site["is_observed"]
        }
        position = unconstrain_fn(kernel_model, (problem, network), {}, sites)
        return position, _energies(position, problem, network)[1]

    found: tuple[Sites, jax.Array] = jax.lax.map(
        one, keys, batch_size=_side_by_side(len(keys))
    )
    return found


def _side_by_side(number: int) -> int:
    """Particles whose matrices are factored together: a divisor of all.

    A rest would have a program of its own.
    """
    return max(n for n in range(1, _SIDE_BY_SIDE + 1) if number % n == 0)


def _energies(
    position: Sites, problem: Problem, network: Network
) -> tuple[jax.Array, jax.Array]:
    """−log of the prior in unconstrained coordinates, and the log likelihood."""
    prior = handlers.block(kernel_model, hide=["y"])
    of_prior, of_both = (
        potential_energy(model, (problem, network), {}, position)
        for model in (prior, kernel_model)
    )
    return of_prior, of_prior - of_both


def _move_all(
    keys: Key,
    particles: Sites,
    powers: jax.Array,
    steps: jax.Array,
    spread: Sites,
    problem: Problem,
    network: Network,
) -> tuple[Sites, jax.Array, jax.Array]:
    """One move of every particle by Hamiltonian Monte Carlo.

    Args:
        keys: (particle,)
        particles: Name -> (particle, …).
        powers: (particle,) β.
        steps: (particle,) step sizes, in units of the spread.
        spread: Name -> (…) standard deviations of the particles.
        problem: What is seen.
        network: The prior.

    Returns:
        The particles, their log likelihoods, the probabilities that moves had.
    """

    def one(
        given: tuple[Key, Sites, jax.Array, jax.Array],
    ) -> tuple[Sites, jax.Array, jax.Array]:
        key, start, power, step = given

        @partial(jax.value_and_grad, has_aux=True)
        def energy(position: Sites) -> tuple[jax.Array, jax.Array]:
            of_prior, log_likelihood = _energies(position, problem, network)
            return of_prior - power * log_likelihood, log_likelihood

        def leap(_: int, state: tuple[Any, ...]) -> tuple[Any, ...]:
            position, momentum, (_, slope) = state
            momentum = _plus(momentum, -step / 2, slope, spread)
            position = _plus(position, step, momentum, spread)
            found = energy(position)
            return position, _plus(momentum, -step / 2, found[1], spread), found

        first, second, third = jax.random.split(key, 3)
        flat, unravel = ravel_pytree(start)
        momentum = unravel(jax.random.normal(first, flat.shape, flat.dtype))
        # A random length, so that no period of the motion is met.
        count = jax.random.randint(second, (), 1, _NUM_LEAPS + 1)
        before = energy(start)
        end, last, after = jax.lax.fori_loop(0, count, leap, (start, momentum, before))
        change = before[0][0] - after[0][0] + (_square(momentum) - _square(last)) / 2
        chance = jnp.exp(jnp.minimum(jnp.nan_to_num(change, nan=-jnp.inf), 0.0))
        taken = jax.random.uniform(third, ()) < chance
        position, log_likelihood = jax.tree.map(
            lambda a, b: jnp.where(taken, a, b),
            (end, after[0][1]),
            (start, before[0][1]),
        )
        return position, log_likelihood, chance

    moved: tuple[Sites, jax.Array, jax.Array] = jax.lax.map(
        one,
        (keys, particles, powers, steps),
        batch_size=_side_by_side(len(keys)),
    )
    return moved


def _plus(at: Sites, step: jax.Array, by: Sites, spread: Sites) -> Sites:
    return {n: at[n] + step * spread[n] * by[n] for n in at}


def _square(momentum: Sites) -> jax.Array:
    total: jax.Array = ravel_pytree(momentum)[0]
    return jnp.sum(total**2)


def _sites_of(particles: Sites, problem: Problem, network: Network) -> Sites:
    """Values of the model's sites."""
    sites: Sites = constrain_fn(
        kernel_model, (problem, network), {}, particles, batch_ndims=1
    )
    return sites


_begin = compiled(_begin_all, ("network",))
_move = compiled(_move_all, ("network",))
_sites = compiled(_sites_of, ("network",))
