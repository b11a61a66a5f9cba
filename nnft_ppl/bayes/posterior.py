"""Exact inference at finite width: the public call, and which route it takes."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import jax
import numpy as np
from jaxtyping import ArrayLike
from numpyro.distributions import Distribution

from nnft_ppl._arguments import check_choice, check_kind
from nnft_ppl._checkpoint import check_checkpoint_path, next_stage
from nnft_ppl._network import Network
from nnft_ppl._typing import Key
from nnft_ppl.bayes.answer import Answer, Draws
from nnft_ppl.bayes.by_weights import (
    PosteriorWarning,
    can_be_used,
    check_route,
    weigh,
)
from nnft_ppl.bayes.chained import Chained
from nnft_ppl.bayes.data import check_interpolation, check_memory, checked_data
from nnft_ppl.bayes.features import check_gaussian_readout, num_features
from nnft_ppl.bayes.nuts import run_nuts
from nnft_ppl.bayes.prior_check import warn_of_surprise
from nnft_ppl.bayes.result import Posterior, posterior_tree
from nnft_ppl.bayes.scales import Scales
from nnft_ppl.bayes.smc import run_smc
from nnft_ppl.bayes.weighting import Job, draw_posterior
from nnft_ppl.bayes.weights import MIN_DRAWS, Weights
from nnft_ppl.ensemble.generator_names import DEFAULT_GENERATOR
from nnft_ppl.ensemble.local import choose_devices
from nnft_ppl.ensemble.model import (
    check_generator,
    check_key,
    check_num_draws,
    check_prior,
)
from nnft_ppl.ensemble.outputs import check_outputs
from nnft_ppl.ensemble.progress import Monitor, watching
from nnft_ppl.inference.mcmc.sampling import Sampling

_LARGEST_RHAT, _MOST_DIVERGENT = 1.05, 0.01
"""Of means at new inputs, and as a share of the draws; beyond, chains are warned of."""
METHODS = ("auto", "weights", "smc", "nuts")


def posterior(
    network: Network,
    x: ArrayLike,
    y: ArrayLike,
    x_new: ArrayLike,
    *,
    noise_std: float | Distribution,
    num_draws: int = 100_000,
    key: Key,
    weight_std: Distribution | None = None,
    bias_std: Distribution | None = None,
    method: str = "auto",
    num_warmup: int = 500,
    num_samples: int = 1000,
    num_chains: int = 4,
    generator: str = DEFAULT_GENERATOR,
    target_error: float | None = None,
    checkpoint: str | Path | None = None,
    devices: Sequence[jax.Device] | int | None = None,
    scheduler: str | None = None,
    progress: bool | Monitor = False,
) -> Posterior:
    """The field of a network of finite width given targets with normal noise.

    Given its hidden features a network with a normal linear readout is a Gaussian
    process with the random kernel K̂, so that the posterior is, exactly, a mixture over
    networks m of the prior, p(f | y) = Σ w_m p(f | y, K̂_m), w_m ∝ N(y; 0, K̂_m + σ²)
    (theory.md §6). Networks are streamed and weighted; 8 bytes of each are kept, and
    32 are taken while the weights are smoothed. Where the weights fail, the
    hidden parameters are sampled, the readout integrated out: by tempered sequential
    Monte Carlo, or by NUTS, which gives no evidence.

    Args:
        network: With a linear readout of normal weights, of any depth.
        x: Inputs (point, input_dim).
        y: Targets (point,), or (point, output). Outputs are independent given the
            hidden features, and share them.
        x_new: New inputs (new, input_dim).
        noise_std: σ of the targets, or a NumPyro distribution of it. 0 for targets
            without noise, where there are as many features as data.
        num_draws: Networks of the prior, 100 or more.
        key: A JAX random key; network j is a function of (key, j).
        weight_std: NumPyro distribution of σ_W, where it is unknown; the network's own
            number is then not used.
        bias_std: The same of σ_b.
        method: `weights`, `smc`, `nuts`; or `auto`: weights, and SMC where these fail,
            by Pareto's k above min(1 − 1/log₁₀ num_draws, 0.7) or by a collapse.
        num_warmup: Steps of NUTS that adapt.
        num_samples: Draws of the field per chain; by weights they are independent, by
            SMC a chain is a population of so many particles.
        num_chains: Chains that the draws are laid out in.
        generator: As in `sample_ensemble`.
        target_error: Stop once no mean at the new inputs has a larger error, in units
            of its standard deviation, and the weights are good; `num_draws` is then
            the largest number. By weights alone, as the scheduler.
        checkpoint: File where the sums of weights are saved as they grow, and from
            which the same call goes on, whatever its `num_draws`; it is kept at the
            end. Particles of SMC and chains of NUTS likewise; where `auto` goes on to
            SMC, in a file beside it that ends in `.next`.
        devices: Devices of this process to use, or how many; all when `None`. SMC and
            NUTS run on one.
        scheduler: Address of a Dask scheduler, such as tcp://host:8786, whose workers
            then draw and weigh the networks.
        progress: Show a bar, or in a log a line now and then, or a function
            that is told.

    Returns:
        `Posterior`, whose `method` says which it was found by.

    Source: theory.md §6.

    Raises:
        SpecError: Data, a number, key, devices or scheduler are unusable; or memory is
            too small; or networks give NaN or overflow; or the checkpoint is of other
            work.
        UnavailableError: The network has no Gaussian readout, or Dask is not installed.
        PluginError: The prior does not run under NumPyro, or what the architecture's
            functions return is not real or of a wrong shape.
        FitError: By `weights`, a few networks have all the weight, or none can have
            the targets; by `auto`, weights fail for targets that the prior never gives.
        SamplingInterrupted: Ctrl-C while networks are streamed; sums are saved.
        KeyboardInterrupt: Ctrl-C in SMC or NUTS; says what is saved.

    Warns:
        PosteriorWarning: Targets are none that the prior gives, weights failed, or
            chains have not converged.
    """
    check_kind("network", network, Network)
    check_gaussian_readout(network)
    data = checked_data(network, x, y, x_new)
    scales = Scales.checked(noise_std, weight_std, bias_std)
    check_choice("method", method, METHODS)
    sampling = Sampling(num_warmup, num_samples, num_chains)
    check_generator(generator)
    target_error = check_route(method, target_error, scheduler=scheduler)
    place = None if checkpoint is None else check_checkpoint_path(checkpoint)
    job = Job(
        network,
        data,
        scales,
        check_num_draws(num_draws, MIN_DRAWS),
        check_key(key),
        generator,
        choose_devices(devices),
    )
    check_prior(network)
    check_outputs(network)
    if scales.noise_std == 0:
        check_interpolation(data, num_features(network))
    check_memory(data, num_features(network))
    is_surprising = warn_of_surprise(network, data, scales)
    weights = None
    if method in ("auto", "weights"):
        job, weights, answer = weigh(
            job,
            target_error=target_error,
            checkpoint=place,
            scheduler=scheduler,
            progress=progress,
        )
        if can_be_used(weights, method, is_surprising=is_surprising):
            draws = draw_posterior(job, weights, num_chains, num_samples)
            return _of_weights(job, weights, answer, draws)
    log_evidence, error = np.nan, np.inf
    if method == "nuts":
        chained = run_nuts(job, sampling, progress, place)
    else:
        if method == "auto" and place is not None:
            place = next_stage(place)
        with watching(progress, "SMC") as monitor:
            chained, log_evidence, error = run_smc(job, sampling, monitor, place)
    warn_unless_converged(chained)
    estimates = {
        "log_evidence": log_evidence,
        "log_evidence_error": error,
        "effective_draws": chained.effective_draws,
        "pareto_k": np.nan if weights is None else weights.pareto_k,
    }
    record = {
        "method": "nuts" if method == "nuts" else "smc",
        **asdict(sampling),
        "rhat": chained.rhat,
        **_record(job),
    }
    tree = posterior_tree(
        network,
        data,
        chained.answer,
        chained.draws,
        estimates,
        chained.statistics,
        record,
    )
    return Posterior(network, tree)


def warn_unless_converged(chained: Chained) -> None:
    """Say where chains, or populations, do not agree.

    Warns:
        PosteriorWarning: They do not.
    """
    diverging = chained.statistics.get("diverging", np.zeros(1))
    if chained.rhat > _LARGEST_RHAT or diverging.mean() > _MOST_DIVERGENT:
        warnings.warn(
            f"chains or populations have not converged: largest rhat of a mean "
            f"{chained.rhat:.3f}, {int(diverging.sum())} divergent steps, "
            f"{chained.effective_draws:.0f} effective draws; take more `num_samples`, "
            "and by NUTS `num_warmup`",
            PosteriorWarning,
            stacklevel=3,
        )


def _of_weights(job: Job, weights: Weights, answer: Answer, draws: Draws) -> Posterior:
    names = ("log_evidence", "log_evidence_error", "effective_draws", "pareto_k")
    estimates = {name: float(getattr(weights, name)) for name in names}
    record = {"method": "weights", "num_draws": job.num_draws, **_record(job)}
    tree = posterior_tree(job.network, job.data, answer, draws, estimates, {}, record)
    return Posterior(job.network, tree)


def _record(job: Job) -> dict[str, object]:
    """What a file says beside the network."""
    return {
        "key": np.asarray(jax.random.key_data(job.key)).tolist(),
        "generator": job.generator,
        "scales": job.scales.record(),
    }
