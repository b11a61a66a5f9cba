"""Moves of particles by Hamiltonian Monte Carlo, and where they begin.

In: the problem and the prior. Out: compiled functions over all particles, in
unconstrained coordinates of the hidden parameters, the readout integrated out.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from numpyro import handlers
from numpyro.infer.util import constrain_fn, potential_energy, unconstrain_fn

from nnft_ppl._compile import compiled
from nnft_ppl._network import Network
from nnft_ppl._typing import Key
from nnft_ppl.bayes.chained import Problem, kernel_model

_NUM_LEAPS = 8
_SIDE_BY_SIDE = 64
"""Most particles whose matrices are factored together."""

type Sites = dict[str, Any]


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


begin_particles = compiled(_begin_all, ("network",))
move_particles = compiled(_move_all, ("network",))
sites_of_particles = compiled(_sites_of, ("network",))
