"""The posterior by NUTS over the hidden parameters, the readout integrated out.

For data so informative that no network of the prior is near them. In: a `Job`. Out:
moments and draws of the field, as weighting gives them; but no evidence.
"""

from dataclasses import asdict
from pathlib import Path

import jax
import numpy as np

from nnft_ppl._compile import compiled
from nnft_ppl._network import Network
from nnft_ppl._typing import Key
from nnft_ppl.bayes.chained import Chained, Problem, finished, kernel_model, stated
from nnft_ppl.bayes.weighting import Job
from nnft_ppl.ensemble.progress import Monitor
from nnft_ppl.inference.mcmc.chains import (
    Chains,
    Draw,
    State,
    advance,
    arviz_statistics,
    build_chains,
    no_draws,
)
from nnft_ppl.inference.mcmc.sampling import Sampling
from nnft_ppl.inference.mcmc.segments import run_in_segments

_CHAINS = (1 << 30) + 24
"""Stream of the key, another than those of weighting."""
_TARGET_ACCEPTANCE = 0.9
"""Kinks of an activation and narrow posteriors want short steps."""


def run_nuts(
    job: Job,
    sampling: Sampling,
    progress: bool | Monitor,
    checkpoint: Path | None = None,
) -> Chained:
    """Chains from networks of the prior, each from another.

    Args:
        job: Networks and data; its number of draws does not matter.
        sampling: Lengths and number of the chains.
        progress: Show a bar, or a function that is told.
        checkpoint: Where the chains are saved, and gone on from; kept at the end.

    Raises:
        FitError: A chain ends in numbers that are not finite.
        SpecError: The checkpoint is of other work.
        KeyboardInterrupt: Interrupted, within a second or so; says what is saved.
    """
    shape = (sampling.num_chains, sampling.num_samples)
    with jax.enable_x64(True):
        problem = stated(job)
        _, drawn = run_in_segments(
            _begin(job.special_key(_CHAINS), problem, job.network, sampling),
            lambda reached, first, count: _advance(
                *reached, first, count, problem, job.network, sampling
            ),
            sampling=sampling,
            checkpoint=checkpoint,
            whose={**job.identity("NUTS"), **asdict(sampling)},
            progress=progress,
        )
        by_chain = {n: np.swapaxes(np.asarray(v), 0, 1) for n, v in drawn.items()}
        sites = {n: v.reshape(-1, *v.shape[2:]) for n, v in by_chain.items()}
        return finished(job, problem, sites, arviz_statistics(by_chain), shape)


def _chains(problem: Problem, network: Network, sampling: Sampling) -> Chains:
    return build_chains(
        kernel_model,
        None,
        problem,
        network,
        sampling=sampling,
        target_acceptance=_TARGET_ACCEPTANCE,
    )


def _begin_all(
    key: Key, problem: Problem, network: Network, sampling: Sampling
) -> tuple[State, Draw]:
    """The state before the first step, and room for the draws."""
    chains = _chains(problem, network, sampling)
    state = chains.begin(key)
    return state, no_draws(chains, state)


def _advance_all(
    state: State,
    drawn: Draw,
    first: int,
    count: int,
    problem: Problem,
    network: Network,
    sampling: Sampling,
) -> tuple[State, Draw]:
    """`count` steps more."""
    return advance(_chains(problem, network, sampling), state, drawn, first, count)


_begin = compiled(_begin_all, ("network", "sampling"))
_advance = compiled(_advance_all, ("network", "sampling"))
