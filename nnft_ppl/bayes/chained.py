"""What routes that sample hidden parameters share: their model, what they give.

In: values of the model's sites, chain by chain. Out: moments and draws of the field.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import arviz_stats as az
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
from nnft_ppl.bayes.answer import Answer, Draws
from nnft_ppl.bayes.device_programs import condition_networks, draw_fields
from nnft_ppl.bayes.linear_model import condition
from nnft_ppl.bayes.random_kernel import random_features
from nnft_ppl.bayes.scales import Scales
from nnft_ppl.bayes.weighting import Job, moments
from nnft_ppl.ensemble.blocks import device_mesh
from nnft_ppl.ensemble.model import numbered_keys

_FIELDS, _NOISE = ((1 << 30) + 16 + i for i in range(2))
"""Streams of the key, others than those of weighting."""
_TELLING = 4
"""Draws of a chain, of fewer of which ArviZ gives no error."""


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
        effective_draws: Independent ones that would give the errors of the means at
            new inputs, where they are fewest.
        rhat: The largest there.
    """

    answer: Answer
    draws: Draws
    statistics: dict[str, np.ndarray]
    effective_draws: float
    rhat: float


def stated(job: Job) -> Problem:
    """The problem of a job, where x64 is enabled."""
    return Problem(
        jnp.asarray(job.data.points, jnp.float64),
        jnp.asarray(job.data.rows),
        jnp.asarray(job.data.y),
        job.scales,
    )


def kernel_model(problem: Problem, network: Network) -> None:
    """The NumPyro model: hidden parameters, unknown scales, and the targets `y`."""
    scales = problem.scales.sample()
    noise = scales.pop("noise_std")
    features = random_features(network, problem.points, scales)
    given = condition(features[problem.rows], features[:0], problem.y, noise)
    numpyro.factor("y", given.log_evidence)


def finished(
    job: Job,
    problem: Problem,
    sites: dict[str, np.ndarray],
    statistics: dict[str, np.ndarray],
    shape: tuple[int, int],
) -> Chained:
    """Moments and draws of the field, where x64 is enabled.

    Args:
        job: Networks and data.
        problem: From `stated`.
        sites: Name -> (sample, …) of the model's sites, chain by chain.
        statistics: ArviZ name -> (chain, draw).
        shape: (chains, draws).

    Raises:
        FitError: They end in numbers that are not finite.
    """
    if "noise_std" not in job.scales.laws:
        sites = {**sites, "noise_std": np.full(np.prod(shape), job.scales.noise_std)}
    given, fields = _at_inputs(job, problem, sites)
    if not (np.isfinite(given).all() and np.isfinite(fields).all()):
        raise FitError(
            "the sampler ends in numbers that are not finite; give a larger "
            "`noise_std`, or rescale inputs and targets"
        )
    mean, variance = moments(given, (len(job.data.x_new), job.data.num_outputs))
    answer, effective, rhat = _answer(
        mean.reshape(*shape, *mean.shape[1:]), variance.reshape(*shape, -1)
    )
    rng = np.random.default_rng(
        np.asarray(jax.random.key_data(job.special_key(_NOISE)))
    )
    draws = Draws.of(job.data, sites, fields, rng, tuple(job.scales.laws), shape)
    return Chained(answer, draws, statistics, effective, rhat)


def _answer(mean: np.ndarray, variance: np.ndarray) -> tuple[Answer, float, float]:
    """Moments from those given each draw, (chain, draw, …); effective draws, rhat.

    The error of a mean is the larger of what draws within chains tell and what the
    scatter of chains does: copies of a particle are no autocorrelation. A single chain
    of a few draws tells none.
    """
    tree = xr.DataTree.from_dict(
        {"posterior": xr.Dataset({"f": (("chain", "draw", "new", "output"), mean)})}
    )
    within, rhat = (
        np.asarray(found["f"].to_numpy()) for found in (az.mcse(tree), az.rhat(tree))
    )
    error, num_chains = np.nan_to_num(within), len(mean)
    if num_chains > 1:
        scatter = mean.mean(axis=1).std(axis=0, ddof=1) / num_chains**0.5
        error = np.maximum(error, scatter)
    elif mean.shape[1] < _TELLING:
        error = np.full_like(error, np.inf)
    between = mean.var(axis=(0, 1))
    answer = Answer(
        mean=mean.mean(axis=(0, 1)),
        variance=variance.mean(axis=(0, 1))[:, None] + between,
        mean_error=error,
    )
    number = float(mean.shape[0] * mean.shape[1])
    varies = error > 0
    effective = float(np.min(between[varies] / error[varies] ** 2, initial=number))
    worst = float(np.max(rhat, initial=1.0, where=np.isfinite(rhat)))
    return answer, max(effective, 1.0), worst


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
