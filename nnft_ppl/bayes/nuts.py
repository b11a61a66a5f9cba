"""The posterior by NUTS over the hidden parameters, the readout integrated out.

For data so informative that no network of the prior is near them. In: a `Job`. Out:
moments and draws of the field, as weighting gives them; but no evidence.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import arviz as az
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import xarray as xr
from numpyro import handlers

from nnft_ppl._compile import compiled
from nnft_ppl._errors import FitError
from nnft_ppl._network import Network
from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Key
from nnft_ppl.bayes.answer import Answer, Draws
from nnft_ppl.bayes.device_programs import condition_networks, draw_fields
from nnft_ppl.bayes.linear_model import condition
from nnft_ppl.bayes.random_kernel import random_features
from nnft_ppl.bayes.scales import Scales
from nnft_ppl.bayes.weighting import Job, moments
from nnft_ppl.ensemble.blocks import device_mesh
from nnft_ppl.ensemble.model import numbered_keys
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

_CHAINS, _FIELDS, _NOISE = ((1 << 30) + 16 + i for i in range(3))
"""Streams of the key, others than those of weighting."""
_TARGET_ACCEPTANCE = 0.9
"""Kinks of an activation and narrow posteriors want short steps."""


class Problem(NamedTuple):
    """What the chains see, float64.

    Attributes:
        points: (different, dim) different inputs.
        rows: Which of them the data are at.
        y: (point, output).
        scales: Noise, and what else is unknown.
    """

    points: Any
    rows: Any
    y: Any
    scales: Scales


@dataclass(frozen=True, eq=False)
class Chained:
    """What the chains give.

    Attributes:
        answer: Moments at the new inputs.
        draws: Of the field.
        statistics: ArviZ name -> (chain, draw).
        effective_draws: The smallest bulk size over means at new inputs.
        rhat: The largest there.
    """

    answer: Answer
    draws: Draws
    statistics: dict[str, np.ndarray]
    effective_draws: float
    rhat: float


def kernel_model(problem: Problem, network: Network) -> None:
    """The NumPyro model: hidden parameters, unknown scales, and the targets."""
    scales = problem.scales.sample()
    noise = scales.pop("noise_std")
    features = random_features(network, problem.points, scales)
    given = condition(features[problem.rows], features[:0], problem.y, noise)
    numpyro.factor("y", given.log_evidence)


def run_nuts(job: Job, sampling: Sampling, progress: bool | Monitor) -> Chained:
    """Chains from networks of the prior, each from another.

    Args:
        job: Networks and data; its number of draws does not matter.
        sampling: Lengths and number of the chains.
        progress: Show a bar, or a function that is told.

    Raises:
        FitError: A chain ends in numbers that are not finite.
        KeyboardInterrupt: Interrupted, within a second or so.
    """
    data = job.data
    with jax.enable_x64(True):
        problem = Problem(
            jnp.asarray(data.points, jnp.float64),
            jnp.asarray(data.rows),
            jnp.asarray(data.y),
            job.scales,
        )
        _, drawn = run_in_segments(
            _begin(job.special_key(_CHAINS), problem, job.network, sampling),
            lambda reached, first, count: _advance(
                *reached, first, count, problem, job.network, sampling
            ),
            sampling=sampling,
            checkpoint=None,
            whose={},
            progress=progress,
        )
        sites = {name: np.swapaxes(v, 0, 1) for name, v in drawn.items()}
        shape = (sampling.num_chains, sampling.num_samples)
        flat = {
            name: np.asarray(v).reshape(-1, *v.shape[2:]) for name, v in sites.items()
        }
        if "noise_std" not in job.scales.laws:
            flat["noise_std"] = np.full(np.prod(shape), job.scales.noise_std)
        given, fields = _at_inputs(job, problem, flat)
    mean, variance = moments(given, (len(data.x_new), data.num_outputs))
    if not (np.isfinite(given).all() and np.isfinite(fields).all()):
        raise FitError(
            "chains of NUTS end in numbers that are not finite; give a larger "
            "`noise_std`, or rescale inputs and targets"
        )
    answer, effective, rhat = _answer(
        mean.reshape(*shape, *mean.shape[1:]), variance.reshape(*shape, -1)
    )
    rng = np.random.default_rng(
        np.asarray(jax.random.key_data(job.special_key(_NOISE)))
    )
    return Chained(
        answer,
        Draws.of(data, flat, fields, rng, tuple(job.scales.laws), shape),
        arviz_statistics(sites),
        effective,
        rhat,
    )


def _answer(mean: np.ndarray, variance: np.ndarray) -> tuple[Answer, float, float]:
    """Moments from those given each draw, (chain, draw, …); effective draws, rhat."""
    tree = xr.DataTree.from_dict(
        {"posterior": xr.Dataset({"f": (("chain", "draw", "new", "output"), mean)})}
    )
    error, size, rhat = (
        np.asarray(found["f"].to_numpy())
        for found in (az.mcse(tree), az.ess(tree, method="bulk"), az.rhat(tree))
    )
    between = mean.var(axis=(0, 1))
    answer = Answer(
        mean=mean.mean(axis=(0, 1)),
        variance=variance.mean(axis=(0, 1))[:, None] + between,
        mean_error=np.nan_to_num(error),
    )
    return answer, float(np.nanmin(size)), float(np.nanmax(rhat))


def _at_inputs(
    job: Job, problem: Problem, sites: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """`Given`, flat, and a draw of the field, of each draw of the chains."""
    total = len(next(iter(sites.values())))
    keys = jax.random.key_data(
        numbered_keys(job.special_key(_FIELDS), np.arange(total, dtype=np.uint32))
    )
    mesh = device_mesh(job.devices[:1])
    where = job.data.rows, job.data.new_rows, job.data.y
    found = []
    for start in range(0, total, job.block):
        # The last block is filled up, so that one program serves for all.
        which = np.minimum(np.arange(start, start + job.block), total - 1)
        part = {name: jnp.asarray(values[which]) for name, values in sites.items()}
        noise = part.pop("noise_std")
        features = _features(part, problem, job.network)[None]
        given = condition_networks(features, noise[None], *where, mesh, job.group)
        field = draw_fields(
            features, noise[None], keys[which][None], *where, mesh, job.group
        )
        count = min(job.block, total - start)
        found.append((np.asarray(given)[0, :count], np.asarray(field)[0, :count]))
    both = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    return both[0], both[1]


def _features_of(
    sites: dict[str, jax.Array], problem: Problem, network: Network
) -> jax.Array:
    """Φ of draws of the chains, (draw, different, feature)."""
    names = problem.scales.of_network

    def one(sites: dict[str, jax.Array]) -> jax.Array:
        scales = {name: sites[name] for name in names}
        model = handlers.seed(
            partial(random_features, network, problem.points, scales), seed_key(0)
        )
        features: jax.Array = handlers.substitute(model, data=sites)()
        return features

    many: jax.Array = jax.lax.map(one, sites)
    return many


_features = compiled(_features_of, ("network",))


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
