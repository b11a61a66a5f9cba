"""From correlators and an action to the posterior of the couplings, cutoff by cutoff.

In: `Correlators` and an `Action`. Out: a `CouplingFit`. Every cutoff is its own
inference; all of them share shapes, so one compiled program serves any number.
"""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from nnft_ppl._arguments import check_choice, check_kind
from nnft_ppl._checkpoint import check_checkpoint_path
from nnft_ppl._errors import FitError, SpecError
from nnft_ppl._typing import Key
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.integration.pair_sums import check_distinct_cutoffs
from nnft_ppl.ensemble.model import check_key
from nnft_ppl.ensemble.progress import Monitor
from nnft_ppl.inference.couplings.conjugate import (
    ClosedForm,
    Draws,
    require_settled,
    solve,
)
from nnft_ppl.inference.couplings.nuts import problem_at, run_nuts
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.inference.identifiability import check_identifiable
from nnft_ppl.inference.likelihood import Likelihood, build_likelihood
from nnft_ppl.inference.mcmc.chains import arviz_statistics
from nnft_ppl.inference.mcmc.sampling import Sampling
from nnft_ppl.inference.own_propagator import as_fitted
from nnft_ppl.inference.priors import Prior, prior_or_default
from nnft_ppl.inference.propagator_error import widened

_OF_THE_KERNEL = 1
"""Number of the random numbers that carry the kernel's error."""
SAMPLERS = ("nuts", "conjugate")


def fit_couplings(
    correlators: Correlators,
    action: Action,
    cutoffs: Sequence[float],
    *,
    key: Key,
    num_warmup: int = 500,
    num_samples: int = 1000,
    num_chains: int = 4,
    discrepancy: bool = True,
    sampler: str = "nuts",
    prior: Prior | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | Monitor = False,
) -> CouplingFit:
    """Infer the couplings of `action` from connected correlators at each cutoff.

    The data are the connected correlators of the orders that the action's operators
    contribute to. Couplings are least squares with all entries alike in natural units;
    their error holds the noise, from its full covariance, and the misfit of the action
    (`inference.least_squares`, theory.md §6). Beside a six-field
    operator the 6-pt function holds the trees of two four-field ones, of the same order
    1/N²; beside a four-field one the 4-pt function holds those of two three-field ones,
    of order 1/N. In the bare scheme, which is of first order alone, neither does.

    Of a field with a mean the field less the mean is fitted, and predicted: connected
    functions from the 2-pt function up are about it, and it is a background, of which
    no coupling is made. Only an operator of one field, as `source`, makes the mean
    data, and its coupling is fitted to it. Odd orders of which the action has no
    operator are not fitted; `diagnose` names those that do not vanish.

    The kernel's own error, where it is a quadrature or a measurement, makes couplings
    uncertain by one factor, which the draws carry. Where no kernel is known at all the
    measured 2-pt function is the propagator: at the inputs, so that the measure must be
    `Empirical` at inputs of the data, and its noise is in that of the fit.

    The same random numbers serve every cutoff, so that couplings at two cutoffs differ
    by the running and not by sampling noise.

    Args:
        correlators: Measured or exact.
        action: The operators.
        cutoffs: Λ > 0 of the measure; `math.inf` where the integrals converge.
        key: A JAX random key.
        num_warmup: Adaptation steps of NUTS; unused by `conjugate`.
        num_samples: Draws kept per chain.
        num_chains: Number of chains.
        discrepancy: Infer a relative model discrepancy s beside the couplings;
            otherwise the action is taken to be exact.
        sampler: `nuts`, or `conjugate` for independent draws from the closed form.
            Where predictions are quadratic in the couplings (a six-field operator
            beside four-field ones, a four-field one beside three-field ones) NUTS
            samples them as they are, and the closed form, `log_evidence` included, is
            that of their linearisation at the posterior mean: good to relative order
            δc/c, so for couplings known to some percent.
        prior: Of couplings, their natural size and the discrepancy; `Prior()` when
            `None`.
        checkpoint: File in which NUTS keeps its state, written every second or so; the
            file before it is kept too, its name ending in `.previous`. The same call
            goes on from there, whatever ended the one before, and gives the bits that
            an uninterrupted one gives. Both files stay when the fit is done, because
            its result is not yet saved, and the same call then gives it at once; they
            are the caller's to remove. Refused with `conjugate`, which is done before
            there is anything to keep.
        progress: Show a bar, or in a log a line now and then, or a function that NUTS
            tells of its steps every second or so.

    Returns:
        `CouplingFit`, with draws of every coupling at every cutoff.

    Raises:
        SpecError: An argument is out of range, the checkpoint is of another fit, or no
            data on these inputs could tell the couplings apart.
        UnavailableError: The kernel is not known where the measure is, or trees of
            three vertices would count.
        FitError: A cutoff integral, the kernel or the posterior is not usable.
        KeyboardInterrupt: Interrupted while NUTS ran; answered within a second or so,
            the state saved first, and the message says how far it came.

    Warns:
        CheckpointWarning: The checkpoint is damaged; the file is named, and what is
            used instead.
    """
    check_kind("correlators", correlators, Correlators)
    check_kind("action", action, Action)
    check_kind("discrepancy", discrepancy, bool, "True or False")
    prior = prior_or_default(prior)
    values = check_distinct_cutoffs(cutoffs)
    sampling = Sampling(num_warmup, num_samples, num_chains)
    check_choice("sampler", sampler, SAMPLERS)
    key = check_key(key)
    if checkpoint is not None:
        checkpoint = check_checkpoint_path(checkpoint)
        if sampler != "nuts":
            raise SpecError(
                f"`checkpoint` is {str(checkpoint)!r}, but sampler {sampler!r} has "
                "nothing to keep; leave it out"
            )
    correlators = as_fitted(correlators, with_mean=action.makes_mean)
    likelihood = build_likelihood(correlators, action, values)
    check_identifiable(likelihood.design, action.names, values)
    return infer_couplings(
        correlators,
        action,
        values,
        likelihood,
        prior,
        key=key,
        sampling=sampling,
        discrepancy=discrepancy,
        sampler=sampler,
        checkpoint=checkpoint,
        progress=progress,
    )


def infer_couplings(
    correlators: Correlators,
    action: Action,
    values: tuple[float, ...],
    likelihood: Likelihood,
    prior: Prior,
    *,
    key: Key,
    sampling: Sampling,
    discrepancy: bool,
    sampler: str,
    checkpoint: Path | None = None,
    progress: bool | Monitor = False,
) -> CouplingFit:
    """Infer without checking arguments or that the couplings can be told apart.

    Arguments are those of `fit_couplings`; `values` are the cutoffs, and `likelihood`
    is what `build_likelihood` gives at them.

    Raises:
        SpecError: The checkpoint is of another fit.
        FitError: The posterior is not usable.
    """
    width = correlators.network.width
    forms = [
        solve(
            likelihood,
            which,
            prior.scales_at(prior.natural_size, width, action),
            prior.discrepancy_scale if discrepancy else None,
            prior.size_prior(action),
        )
        for which in range(len(values))
    ]
    chain_key, predictive_key = jax.random.split(key)
    statistics: dict[str, np.ndarray] = {}
    if sampler == "conjugate":
        require_settled(forms, values, "use sampler='nuts', which does not linearise")
        draws = _closed_form_draws(forms, prior, chain_key, sampling)
    else:
        out = run_nuts(
            [
                problem_at(likelihood, which, prior, width, action, form)
                for which, form in enumerate(forms)
            ],
            discrepancy=discrepancy,
            hierarchical=prior.is_hierarchical,
            key=chain_key,
            sampling=sampling,
            checkpoint=checkpoint,
            whose={
                "work": "fit of couplings",
                "network": json.loads(correlators.network.to_json()),
                "action": repr(action),
                "cutoffs": values,
                "prior": dataclasses.asdict(prior),
                "discrepancy": discrepancy,
            },
            progress=progress,
        )
        draws = {"dimensionless": out["dimensionless"]}
        draws["discrepancy"] = out.get("discrepancy", np.zeros(out["energy"].shape))
        draws["natural_size"] = out.get(
            "natural_size", np.full(out["energy"].shape, prior.natural_size)
        )
        statistics = arviz_statistics(out)
    draws["dimensionless"] = widened(
        draws["dimensionless"],
        likelihood.error_from_kernel,
        jax.random.fold_in(predictive_key, _OF_THE_KERNEL),
    )
    if not all(np.isfinite(v).all() for v in draws.values()):
        raise FitError(
            "the posterior draws are not finite; the data or prior scales are extreme: "
            "compare with sampler='conjugate' and look at the correlators"
        )
    return CouplingFit(
        correlators=correlators,
        action=action,
        cutoffs=values,
        likelihood=likelihood,
        prior=prior,
        sampler=sampler,
        has_discrepancy=discrepancy,
        dimensionless=draws["dimensionless"],
        discrepancy=draws["discrepancy"],
        natural_size=draws["natural_size"],
        statistics=statistics,
        log_evidence=np.array([form.log_evidence for form in forms]),
        seed=tuple(int(word) for word in jax.random.key_data(predictive_key)),
    )


def _closed_form_draws(
    forms: list[ClosedForm], prior: Prior, key: Key, sampling: Sampling
) -> dict[str, np.ndarray]:
    """Independent draws, shaped like MCMC output, with common random numbers."""
    words = [int(word) for word in jax.random.key_data(key)]
    shape = (sampling.num_chains, sampling.num_samples)
    drawn = [
        form.draw(np.random.default_rng(words), math.prod(shape)) for form in forms
    ]
    return {
        name: values.reshape(*shape, *values.shape[1:])
        for name, values in side_by_side(drawn, prior).items()
    }


def side_by_side(drawn: list[Draws], prior: Prior) -> dict[str, np.ndarray]:
    """Parameter -> (draw, form, …), from what each of several closed forms drew."""
    couplings, discrepancy, relative_size = (
        np.stack(part, axis=1) for part in zip(*drawn, strict=True)
    )
    return {
        "dimensionless": couplings,
        "discrepancy": discrepancy,
        "natural_size": relative_size * prior.natural_size,
    }
