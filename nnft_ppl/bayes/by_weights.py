"""The route by weights: networks streamed, their weights smoothed, moments corrected.

In: a `Job`. Out: `Weights`, and mean and variance of the field with them. The few
networks whose weights smoothing changes are drawn again by number.
"""

import warnings
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from nnft_ppl._arguments import check_number
from nnft_ppl._errors import FitError, SpecError
from nnft_ppl.bayes.answer import Answer
from nnft_ppl.bayes.stream import Goal, open_runner, stream
from nnft_ppl.bayes.sums import Sums
from nnft_ppl.bayes.weighting import Job, moments
from nnft_ppl.bayes.weights import Weights, smoothed
from nnft_ppl.ensemble.progress import Monitor, watching


class PosteriorWarning(UserWarning):
    """Weights failed, or chains have not converged; says what was done."""


def weigh(
    job: Job,
    *,
    target_error: float | None,
    checkpoint: Path | None,
    scheduler: str | None,
    progress: bool | Monitor,
) -> tuple[Job, Weights, Answer]:
    """Weights of networks, and mean and variance of the field with them.

    Args:
        job: Networks and data.
        target_error: Stop once no mean has a larger error, in units of its standard
            deviation; `None` to go on to the end.
        checkpoint: Where the sums are saved, and gone on from.
        scheduler: Address of a Dask scheduler whose workers run the blocks.
        progress: Show a bar, or a function that is told.

    Returns:
        The job, of as many networks as there were in the end; weights; moments.

    Raises:
        NotFiniteError: Networks give NaN or overflow.
        FitError: No network can have the targets.
        SpecError: Memory runs out; or the checkpoint or the scheduler are of no use.
        UnavailableError: Dask is not installed.
        SamplingInterrupted: Ctrl-C; what there is has been saved.
    """
    shape = (len(job.data.x_new), job.data.num_outputs)
    goal = None if target_error is None else Goal(largest_error, target_error)
    with (
        open_runner(job.devices, scheduler) as run,
        watching(progress, "posterior", target_error, "mean") as monitor,
    ):
        found = stream(
            job,
            Sums.zero(shape),
            run,
            goal=goal,
            checkpoint=checkpoint,
            monitor=monitor,
        )
    number = len(found.log_evidence)
    weights = smoothed(found.log_evidence)
    sums = found.sums.in_units_of(weights.log_evidence + np.log(number))
    with closing(
        job.results(weights.changed.astype(np.uint32), fields=False)
    ) as blocks:
        first = 0
        for part in blocks:
            last = first + len(part)
            sums = sums.corrected(
                np.exp(weights.raw[weights.changed[first:last]]),
                np.exp(weights.smoothed[first:last]),
                *moments(part, shape),
            )
            first = last
    # Blocks as they were, on which the last bits of what is drawn again may depend.
    job = replace(job, num_draws=number, block_size=job.block)
    return job, weights, sums.answer()


def can_be_used(weights: Weights, method: str, *, is_surprising: bool) -> bool:
    """Whether weights give the answer, by `weights` or `auto`; else the route is SMC.

    Args:
        weights: Of the networks.
        method: `weights` or `auto`.
        is_surprising: The targets are none that the prior gives.

    Raises:
        FitError: By `weights`, a few networks have all the weight; by `auto`, targets
            are surprising, for which SMC would take long, and give nothing worth that.

    Warns:
        PosteriorWarning: Weights failed; says what is done.
    """
    if weights.are_reliable:
        return True
    failed = (
        f"weights of {len(weights.raw):,} networks failed: Pareto k "
        f"{weights.pareto_k:.2f} (at most {weights.largest_k:.2f} is good), "
        f"{weights.effective_draws:.1f} effective draws"
    )
    if method == "weights" and weights.have_collapsed:
        raise FitError(f"{failed}; use method='smc', or more networks")
    if method == "auto" and is_surprising:
        raise FitError(
            f"{failed}, as the targets are none that these networks give: standardise "
            "inputs and targets, or choose scales of their size; method='smc' samples "
            "this posterior all the same, and takes long"
        )
    then = (
        "the answer has errors that are not known: use method='smc', or more networks"
        if method == "weights"
        else "going on by tempered Monte Carlo over the hidden parameters"
    )
    warnings.warn(f"{failed}; {then}", PosteriorWarning, stacklevel=3)
    return method == "weights"


def largest_error(sums: Sums) -> float:
    """Of a mean, in units of the standard deviation there; infinite without any."""
    if sums.weight[0] == 0:
        return np.inf
    answer = sums.answer()
    errors, std = answer.mean_error, np.sqrt(answer.variance)
    return float(np.max(errors[errors > 0] / std[errors > 0], initial=0.0))


def check_route(
    method: str, target_error: float | None, **asked: object
) -> float | None:
    """The target error; refuse what is asked of a route that does not do it.

    Raises:
        SpecError: Not of weights, or not a positive number.
    """
    for name, value in {"target_error": target_error, **asked}.items():
        if value is not None and method not in ("auto", "weights"):
            raise SpecError(
                f"`{name}` is given with method={method!r}; networks are streamed by "
                "method='weights' alone: leave one of them out"
            )
    if target_error is None:
        return None
    return check_number(
        "target_error",
        target_error,
        lambda error: 0 < error < np.inf,
        "an error in standard deviations, such as 0.01",
    )
