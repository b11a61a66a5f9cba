"""The loop over blocks: sum in order, save, report, stop when good enough.

In: a `Job` and who runs its blocks. Out: the sums and over how many networks. What is
saved are the sums over whole blocks, so that a run goes on, or is extended, as if it
had never ended.
"""

import hashlib
import json
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nnft_ppl._checkpoint import load_checkpoint, save_checkpoint
from nnft_ppl._errors import SpecError
from nnft_ppl._version import __version__
from nnft_ppl.correlators.sampled.job import Job
from nnft_ppl.correlators.sampled.sums import Mean, Sums
from nnft_ppl.ensemble.fingerprint import check_recorded, network_record
from nnft_ppl.ensemble.processes import check_alike, from_first
from nnft_ppl.ensemble.progress import Monitor, Pace
from nnft_ppl.ensemble.saving import Saving, save_after

type Runner = Callable[[Job, range], Generator[Sums, None, None]]
"""The job and first networks of blocks -> their sums, in order."""

_CHECK_GROWTH = 1.1
"""The error is looked at when there are so many times more blocks: a matter of their
number alone, so that a run stops at the same network wherever it runs and however often
it was interrupted."""


@dataclass(frozen=True, eq=False)
class Goal:
    """When to stop.

    Attributes:
        relative_error: Sums and number of networks -> relative error, or `None` where
            there is none.
        target: Stop at or below it; `None` to go on to the end.
        likely: Networks that it will take, as forecast by others before the error is
            known; `None` where there is no forecast.
    """

    relative_error: Callable[[Job, Sums, int], float | None]
    target: float | None
    likely: int | None = None


@dataclass(frozen=True, eq=False)
class Reached:
    """How far it came.

    Attributes:
        job: With the sizes that the work was begun with.
        sums: Over the first `num_draws` networks.
        num_draws: How many.
        interrupted: Whether Ctrl-C ended it.
    """

    job: Job
    sums: Sums
    num_draws: int
    interrupted: bool

    def mean(self) -> Mean:
        """Over these networks."""
        return self.job.mean(self.sums, self.num_draws)


def accumulate(
    job: Job,
    run: Runner,
    goal: Goal | None = None,
    *,
    checkpoint: Path | None = None,
    monitor: Monitor | None = None,
) -> Reached:
    """Sum all blocks in order, from the checkpoint on where there is one.

    Args:
        job: The work; blocks of the checkpoint take the place of its own, and so do
            batches, unless its own are larger.
        run: Who runs blocks.
        goal: When to stop before the end, if ever.
        checkpoint: Where to save the sums; kept at the end, to be extended.
        monitor: Told of every block.

    Raises:
        SpecError: The checkpoint is of other work, or of more networks.

    Whatever else ends the work goes on as it is, after the sums have been saved.

    Warns:
        CheckpointWarning: The sums could not be saved; the work goes on.
    """
    first = jax.process_index() == 0
    if jax.process_count() > 1:
        sizes = job.num_draws, job.block, job.batch, checkpoint is None
        check_alike(f"{_identity(job)} {sizes} {goal and goal.target}")
        monitor = monitor if first else None
    done, sums = 0, Sums.zero(job.num_quantities)
    if checkpoint is not None:
        found = from_first(lambda: load_checkpoint(checkpoint, _identity(job)))
        if found is not None:
            check_recorded(job.network, found.record, found.record["jax"])
            batch, done = found.record["batch"], found.record["num_draws"]
            job = replace(job, block=found.record["block"])
            job = job.with_batches_of(max(batch, min(job.batch, job.block)))
            sums = Sums(**found.arrays).rebatched(done, batch, job.batch)
            if done > job.num_draws:
                raise SpecError(
                    f"checkpoint `{checkpoint}` holds {done} networks already; ask "
                    f"for as many or more, not {job.num_draws}, or choose another place"
                )
    state = saved = (done, sums)
    pace = Pace(done)
    error: float | None = None
    interrupted = False

    def save(*, finished: bool = False) -> bool:
        nonlocal saved
        if checkpoint is None or not first:
            return False
        # At the end sums over no networks, too: they tell what may be added.
        if state is saved and not (finished and not checkpoint.exists()):
            return False
        record = {**network_record(job.network), **_identity(job)}
        record |= {"block": job.block, "batch": job.batch}
        save_checkpoint(
            checkpoint, {**record, "num_draws": state[0]}, state[1]._asdict()
        )
        saved = state
        return True

    def report(number: int, total: Sums) -> bool:
        """Tell how it stands; whether it is good enough."""
        nonlocal error
        if goal is None or (goal.target is None and monitor is None):
            return False
        checked = number == job.num_draws or is_checked(number // job.block)
        if checked or error is None:
            error = goal.relative_error(job, total, number)
        reached = checked and (
            goal.target is not None and error is not None and error <= goal.target
        )
        likely = goal.likely or job.num_draws
        if goal.target is not None and error is not None:
            likely = forecast(number, error, goal.target, job.num_draws)
        more = min(job.num_draws, max(number + job.block, likely))
        wanted = number if reached else more
        if monitor is not None:
            monitor(pace.at(number, wanted, error))
        return reached

    final, saving = state, Saving("the sums", checkpoint, save)
    try:
        if done and report(done, sums):
            return Reached(job, sums, done, interrupted=False)
        with closing(run(job, job.starts(done))) as blocks:
            for part in blocks:
                # One assignment, so that Ctrl-C finds sums and number in step.
                number = min(final[0] + job.block, job.num_draws)
                final = (number, final[1].plus(part))
                if number % job.block == 0:
                    state = final
                # First, as whoever is told may clear the place.
                reached = report(*final)
                saving.if_due()
                if reached:
                    break
    except KeyboardInterrupt:
        interrupted = True
    except Exception as failure:
        # A dead worker, a full disk: what there is stays, and the error goes on.
        save_after(failure, save, checkpoint)
        raise
    saving.now(partial(save, finished=not interrupted))
    return Reached(job, final[1], final[0], interrupted)


def is_checked(blocks: int) -> bool:
    """Whether the error is looked at after so many whole blocks."""
    check = 1
    while check < blocks:
        check = max(check + 1, int(_CHECK_GROWTH * check))
    return check == blocks


def forecast(num_draws: int, error: float, target: float, most: int) -> int:
    """Networks that the target takes: errors fall as one over the root of the number.

    Args:
        num_draws: Networks with a relative error of `error`.
        error: There.
        target: What is wanted.
        most: The largest number of interest.
    """
    ratio = error / target
    return most if ratio * ratio > most else min(most, int(num_draws * ratio * ratio))


def _identity(job: Job) -> dict[str, Any]:
    """What must be equal for sums to be of the same work; not how much of it."""
    inputs = hashlib.sha256()
    for array in job.inputs:
        if array is None:  # whose bytes are an address, another in each process
            continue
        values = np.asarray(array)
        inputs.update(str(values.shape).encode() + values.tobytes())
    return {
        "version": __version__,  # another may draw other networks
        "jax": jax.__version__,
        "network": json.loads(job.network.to_json()),
        "orders": list(job.orders),
        "estimator": job.estimator.name,
        "generator": job.generator,
        "key": np.asarray(jax.random.key_data(job.key)).tolist(),
        "inputs": inputs.hexdigest()[:16],
    }
