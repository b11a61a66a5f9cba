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

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import logsumexp

from nnft_ppl._checkpoint import load_checkpoint, save_checkpoint
from nnft_ppl.bayes.chained import Chained, Problem, finished, stated
from nnft_ppl.bayes.particles import (
    Sites,
    begin_particles,
    move_particles,
    sites_of_particles,
)
from nnft_ppl.bayes.weighting import Job
from nnft_ppl.bayes.weights import resampled
from nnft_ppl.ensemble.model import numbered_keys
from nnft_ppl.ensemble.progress import Monitor, Pace
from nnft_ppl.ensemble.saving import Saving, save_after
from nnft_ppl.inference.mcmc.sampling import Sampling

_PARTICLES, _MOVES = ((1 << 30) + 32 + i for i in range(2))
"""Streams of the key, others than those of weighting and NUTS."""
_KEPT = 0.5
"""Share of the particles that stay effective in a step."""
_NUM_MOVES = 8
_ACCEPTED = 0.8
"""What the step size is adapted to."""
_FIRST_STEP, _MOST_STEP = 0.2, 1.0
"""In standard deviations of the particles."""

_ARRAYS = ("log_likelihood", "powers", "log_evidence", "lengths")
"""Of a state, beside the particles."""


@dataclass(frozen=True, eq=False)
class _State:
    """Populations after some steps.

    Attributes:
        number: Steps taken.
        particles: Name -> (particle, …), unconstrained, population by population.
        log_likelihood: (particle,)
        powers: (population,) β.
        log_evidence: (population,) of the likelihood to that power.
        lengths: (population,) step sizes of the moves.
    """

    number: int
    particles: Sites
    log_likelihood: Any
    powers: np.ndarray
    log_evidence: np.ndarray
    lengths: np.ndarray


def run_smc(
    job: Job,
    sampling: Sampling,
    monitor: Monitor | None,
    checkpoint: Path | None = None,
) -> tuple[Chained, float, float]:
    """Populations of particles, `num_chains` of `num_samples` each.

    Args:
        job: Networks and data; its number of draws does not matter.
        sampling: How many particles; its warm-up does not matter.
        monitor: Told of every step, in parts of a thousand of the way.
        checkpoint: Where particles are saved, and gone on from; kept at the end.

    Returns:
        What the particles give, a population in the place of a chain; the log evidence
        and one standard error of it.

    Raises:
        FitError: Particles end in numbers that are not finite.
        SpecError: The checkpoint is of other work.
        KeyboardInterrupt: Interrupted; says how far it came and what is saved.

    Warns:
        CheckpointWarning: Particles could not be saved; the work goes on.
    """
    shape = (sampling.num_chains, sampling.num_samples)
    with jax.enable_x64(True):
        problem = stated(job)
        state = _tempered(job, problem, shape, monitor, checkpoint)
        found = sites_of_particles(state.particles, problem, job.network)
        sites = {name: np.asarray(values) for name, values in found.items()}
        statistics = {"lp": np.asarray(state.log_likelihood).reshape(shape)}
        chained = finished(job, problem, sites, statistics, shape)
    top = state.log_evidence.max()
    each = np.exp(state.log_evidence - top)
    error = (
        each.std(ddof=1) / len(each) ** 0.5 / each.mean() if len(each) > 1 else np.inf
    )
    return chained, float(top + np.log(each.mean())), float(error)


def _tempered(
    job: Job,
    problem: Problem,
    shape: tuple[int, int],
    monitor: Monitor | None,
    checkpoint: Path | None,
) -> _State:
    """Particles of the posterior: all steps, from the checkpoint on."""
    whose = {**job.identity("SMC"), "populations": list(shape)}
    found = None if checkpoint is None else _load(checkpoint, whose)
    kept = -1 if found is None else found.number
    state = found or _first(job, problem, shape)

    def save() -> bool:
        nonlocal kept
        if checkpoint is None or kept == state.number:
            return False
        _save(checkpoint, whose, state)
        kept = state.number
        return True

    pace, saving = Pace(0, "thousandths"), Saving("particles", checkpoint, save)
    try:
        while (state.powers < 1).any():
            state = _step(state, job, problem, shape)
            if monitor is not None:
                monitor(pace.at(int(1000 * state.powers.min()), 1000))
            saving.if_due()
    except KeyboardInterrupt:
        saving.now()
        how_far = (
            f"SMC stopped after {state.number} steps, at {state.powers.min():.3g} of "
            "the log likelihood"
        )
        if checkpoint is not None:
            is_kept = "kept" if kept == state.number else "not kept"
            how_far += f", {is_kept} in `{checkpoint}`"
        raise KeyboardInterrupt(how_far) from None
    except Exception as failure:
        save_after(failure, save, checkpoint)
        raise
    saving.now()
    return state


def _first(job: Job, problem: Problem, shape: tuple[int, int]) -> _State:
    """Networks of the prior."""
    keys = numbered_keys(
        job.special_key(_PARTICLES), np.arange(np.prod(shape), dtype=np.uint32)
    )
    particles, log_likelihood = begin_particles(keys, problem, job.network)
    nothing = np.zeros(shape[0])
    lengths = np.full(shape[0], _FIRST_STEP)
    return _State(0, particles, log_likelihood, nothing, nothing, lengths)


def _step(state: _State, job: Job, problem: Problem, shape: tuple[int, int]) -> _State:
    """Drawn anew by the weights of a larger power of the likelihood, and moved."""
    key = np.asarray(jax.random.key_data(job.special_key(_PARTICLES)))
    rng = np.random.default_rng([*key.ravel().tolist(), state.number])
    found = np.asarray(state.log_likelihood).reshape(shape)
    powers, log_evidence = state.powers.copy(), state.log_evidence.copy()
    chosen = np.empty(shape, int)
    for one in range(shape[0]):
        power = _next_power(powers[one], found[one])
        log_weights = (power - powers[one]) * found[one]
        log_evidence[one] += logsumexp(log_weights) - np.log(shape[1])
        weights = np.exp(log_weights - log_weights.max())
        chosen[one] = one * shape[1] + resampled(weights, shape[1], rng)
        powers[one] = power
    particles = {n: v[chosen.ravel()] for n, v in state.particles.items()}
    spread = {n: jnp.maximum(v.std(axis=0), 1e-6) for n, v in particles.items()}
    keys = numbered_keys(
        jax.random.fold_in(job.special_key(_MOVES), state.number),
        np.arange(chosen.size, dtype=np.uint32),
    )
    lengths, log_likelihood = state.lengths, state.log_likelihood
    for move in range(_NUM_MOVES):
        particles, log_likelihood, accepted = move_particles(
            jax.vmap(partial(jax.random.fold_in, data=move))(keys),
            particles,
            jnp.repeat(jnp.asarray(powers), shape[1]),
            jnp.repeat(jnp.asarray(lengths), shape[1]),
            spread,
            problem,
            job.network,
        )
        rate = np.asarray(accepted).reshape(shape).mean(axis=1)
        lengths = np.minimum(lengths * np.exp(rate - _ACCEPTED), _MOST_STEP)
    return _State(
        state.number + 1, particles, log_likelihood, powers, log_evidence, lengths
    )


def _save(place: Path, whose: dict[str, Any], state: _State) -> None:
    arrays = {f"site {name}": np.asarray(v) for name, v in state.particles.items()}
    for name in _ARRAYS:
        arrays[name] = np.asarray(getattr(state, name))
    save_checkpoint(place, {**whose, "steps": state.number}, arrays)


def _load(place: Path, whose: dict[str, Any]) -> _State | None:
    found = load_checkpoint(place, whose)
    if found is None:
        return None
    named = {n.partition("site ")[2]: v for n, v in found.arrays.items()}
    particles = {name: jnp.asarray(v) for name, v in named.items() if name}
    arrays = [found.arrays[name] for name in _ARRAYS]
    return _State(int(found.record["steps"]), particles, *arrays)


def _next_power(power: float, log_likelihood: Float[np.ndarray, " particle"]) -> float:
    """The β at which a share `_KEPT` of the particles is left effective, at most 1."""

    def too_many(step: float) -> float:
        weights = step * log_likelihood
        effective = np.exp(2 * logsumexp(weights) - logsumexp(2 * weights))
        return float(effective / len(weights) - _KEPT)

    if too_many(1 - power) >= 0:
        return 1.0
    return power + float(brentq(too_many, 0.0, 1 - power, rtol=1e-6))
