"""NUTS for the couplings, all cutoffs in one compiled program.

Every cutoff has the same shapes, so each step is mapped over cutoffs: one compile
serves 1 or 21, the warm-up and the draws, and segments of any length.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl import store
from nnft_ppl._compile import compiled
from nnft_ppl._host import default_device, on_host
from nnft_ppl._typing import Key
from nnft_ppl.eft.action import Action
from nnft_ppl.ensemble.progress import Monitor
from nnft_ppl.inference.couplings.conjugate import ClosedForm
from nnft_ppl.inference.couplings.model import Problem, correlator_model
from nnft_ppl.inference.least_squares import least_squares
from nnft_ppl.inference.likelihood import Likelihood
from nnft_ppl.inference.mcmc.chains import (
    Chains,
    Draw,
    State,
    advance,
    build_chains,
    no_draws,
)
from nnft_ppl.inference.mcmc.sampling import Sampling
from nnft_ppl.inference.mcmc.segments import run_in_segments
from nnft_ppl.inference.priors import Prior

_TARGET_ACCEPTANCE = 0.95
"""Above NumPyro's 0.8: a discrepancy near zero has a sharp corner in log s."""

_SETS_THE_BITS = ("nnft_ppl", "jax", "numpyro")
"""Another version of one of these may give other bits from the same state."""


def problem_at(
    likelihood: Likelihood,
    cutoff: int,
    prior: Prior,
    width: int,
    action: Action,
    form: ClosedForm,
) -> Problem:
    """One cutoff's problem, with chains that start where the closed form is likeliest.

    Args:
        likelihood: From `build_likelihood`.
        cutoff: Index into its cutoffs.
        prior: Of couplings, natural size and discrepancy.
        width: N.
        action: What is fitted.
        form: The closed form; gives the point of linearisation and the start.
    """
    start = float(form.relative_size[form.mode]) * prior.natural_size
    about = form.centre
    statistics = least_squares(likelihood, cutoff, about)
    # H (G(c) − G(about)), with the numbers that cancel in a linear problem left out.
    linear, quadratic, offset = np.eye(len(about)), None, np.zeros(len(about))
    if likelihood.quadratic is not None:
        project = statistics.projection
        linear = project @ likelihood.design[cutoff]
        quadratic = np.einsum("om,mij->oij", project, likelihood.quadratic[cutoff])
        offset = about - project @ likelihood.expected(cutoff, about)
    return Problem(
        statistics=statistics,
        linear=linear,
        quadratic=quadratic,
        offset=offset,
        centre=form.mean[form.mode],
        scales=prior.scales_at(start, width, action),
        powers=prior.powers(action),
        size_start=np.array(start),
        natural_size=np.array(prior.natural_size),
        spread=np.array(prior.spread),
        discrepancy_scale=np.array(prior.discrepancy_scale),
        discrepancy_start=form.discrepancy[form.mode],
    )


def run_nuts(
    problems: Sequence[Problem],
    *,
    discrepancy: bool,
    hierarchical: bool,
    key: Key,
    sampling: Sampling,
    checkpoint: Path | None = None,
    whose: Mapping[str, Any] = MappingProxyType({}),
    progress: bool | Monitor = False,
) -> dict[str, np.ndarray]:
    """Run NUTS on all problems, which have the same shapes, in one program.

    Args:
        problems: One per cutoff.
        discrepancy: Infer s; else s = 0.
        hierarchical: Infer the natural size.
        key: A JAX random key, the same for all problems, or one for each.
        sampling: Lengths and number of the chains.
        checkpoint: Where the state is kept as the run goes on; see `run_in_segments`.
        whose: What the problems come from, for people who mix up checkpoints.
        progress: Show a bar, or a function that is told; see `run_in_segments`.

    Returns:
        `dimensionless` (chain, draw, cutoff, operator), `discrepancy` and
        `natural_size` (chain, draw, cutoff) where inferred, and the sampler's
        statistics (chain, draw, cutoff).

    Raises:
        SpecError: The checkpoint is of another run.
        KeyboardInterrupt: Interrupted, within a second or so.
    """
    stacked = jax.tree.map(lambda *parts: np.stack(parts), *problems)
    versions = store.versions()
    with on_host(), jax.enable_x64(True):
        given = jax.tree.map(jnp.asarray, stacked)
        _, drawn = run_in_segments(
            _begin(key, given, discrepancy, hierarchical, sampling),
            lambda reached, first, count: _advance(
                *reached, first, count, given, discrepancy, hierarchical, sampling
            ),
            sampling=sampling,
            checkpoint=checkpoint,
            whose={
                **whose,
                **asdict(sampling),
                "key": jax.random.key_data(key).tolist(),
                "versions": {name: versions[name] for name in _SETS_THE_BITS},
                "backend": default_device().platform,
                "data": _fingerprint(stacked),
            },
            progress=progress,
        )
        # (draw, cutoff, chain, …) -> (chain, draw, cutoff, …)
        return {name: np.moveaxis(np.asarray(v), 2, 0) for name, v in drawn.items()}


def _fingerprint(problems: Problem) -> str:
    """SHA-256 of all numbers: what is sampled, to the bit."""
    digest = hashlib.sha256()
    for path, values in jax.tree_util.tree_leaves_with_path(problems):
        array = np.ascontiguousarray(values, dtype=np.float64)
        name = jax.tree_util.keystr(path)
        digest.update(f"{name} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()


def _chains(
    problems: Problem, discrepancy: bool, hierarchical: bool, sampling: Sampling
) -> Chains:
    """The samplers of all cutoffs; states and draws are (cutoff, chain, …)."""

    def at(problem: Problem) -> Chains:
        start = {"standardized": jnp.zeros(problem.centre.shape[0])}
        if discrepancy:
            start["discrepancy"] = problem.discrepancy_start
        if hierarchical:
            start["natural_size"] = problem.size_start
        return build_chains(
            correlator_model,
            start,
            problem,
            sampling=sampling,
            target_acceptance=_TARGET_ACCEPTANCE,
            discrepancy=discrepancy,
            hierarchical=hierarchical,
        )

    def begin(key: Key) -> State:
        return jax.vmap(
            lambda key, problem: at(problem).begin(key),
            in_axes=(0 if key.ndim else None, 0),
        )(key, problems)

    return Chains(
        begin,
        lambda state: jax.vmap(lambda p, s: at(p).step(s))(problems, state),
        lambda state: jax.vmap(lambda p, s: at(p).read(s))(problems, state),
        sampling,
    )


def _begin_all(
    key: Key,
    problems: Problem,
    discrepancy: bool,
    hierarchical: bool,
    sampling: Sampling,
) -> tuple[State, Draw]:
    """The state before the first step, and room for the draws."""
    chains = _chains(problems, discrepancy, hierarchical, sampling)
    state = chains.begin(key)
    return state, no_draws(chains, state)


def _advance_all(
    state: State,
    drawn: Draw,
    first: int,
    count: int,
    problems: Problem,
    discrepancy: bool,
    hierarchical: bool,
    sampling: Sampling,
) -> tuple[State, Draw]:
    """`count` steps more."""
    chains = _chains(problems, discrepancy, hierarchical, sampling)
    return advance(chains, state, drawn, first, count)


_STATIC = ("discrepancy", "hierarchical", "sampling")
_begin = compiled(_begin_all, _STATIC)
_advance = compiled(_advance_all, _STATIC)
