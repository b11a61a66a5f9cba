"""The loop over networks of the prior: weighted sums, saved, watched, stopped in time.

In: a `Job`, what is summed, who runs the blocks. Out: the log evidence of every
network, 8 bytes each, and the sums. What is saved are whole blocks, so that a run goes
on as if it had never ended.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import jax
import numpy as np
from jaxtyping import Float

from nnft_ppl._checkpoint import load_checkpoint, save_checkpoint
from nnft_ppl._errors import SpecError
from nnft_ppl.bayes.data import check_weights
from nnft_ppl.bayes.weighting import Job, moments
from nnft_ppl.bayes.weights import MIN_DRAWS, smoothed
from nnft_ppl.correlators.sampled.accumulate import forecast, is_checked
from nnft_ppl.correlators.sampled.measure import SamplingInterrupted
from nnft_ppl.ensemble.cluster import connected, run_on_cluster
from nnft_ppl.ensemble.fingerprint import check_recorded, network_record
from nnft_ppl.ensemble.local import run_locally
from nnft_ppl.ensemble.not_finite import NotFiniteError, not_finite
from nnft_ppl.ensemble.progress import Monitor, Pace
from nnft_ppl.ensemble.saving import Saving, save_after


class Tally(Protocol):
    """Weighted sums over networks, a dataclass of arrays; frozen."""

    def plus(
        self,
        numbers: np.ndarray,
        log_evidence: np.ndarray,
        mean: np.ndarray,
        variance: np.ndarray,
    ) -> Self:
        """With networks: (draw,), (draw,), (draw, new, output), (draw, new)."""
        ...

    def merged(self, other: Self) -> Self:
        """With the networks of other sums."""
        ...


class Streamed[S: Tally](NamedTuple):
    """Networks so far.

    Attributes:
        log_evidence: Of each of them, (draw,).
        sums: Over all of them, with weights that are not smoothed.
    """

    log_evidence: Float[np.ndarray, " draw"]
    sums: S


@dataclass(frozen=True, eq=False)
class Blocks[S: Tally]:
    """Work that computes any block of a job; without devices it may be sent away.

    Attributes:
        job: Networks and data; its devices play no part.
        empty: Sums over no network.
    """

    job: Job
    empty: S

    def sums(
        self, starts: Sequence[int], devices: tuple[jax.Device, ...]
    ) -> list[Streamed[S]]:
        """Blocks that begin at these networks, at most one a device.

        Raises:
            NotFiniteError: Networks give NaN or overflow.
            SpecError: Memory runs out.
        """
        job = self.job if self.job.devices else replace(self.job, devices=devices)
        ends = [min(start + job.block, job.num_draws) for start in starts]
        parts = [
            np.arange(start, end, dtype=np.uint32)
            for start, end in zip(starts, ends, strict=True)
        ]
        shape, made = (len(job.data.x_new), job.data.num_outputs), []
        for part, found in zip(parts, job.of_networks(parts, devices), strict=True):
            log_evidence = found[:, 0]
            bad = np.isnan(log_evidence)
            if bad.any():
                raise NotFiniteError(not_finite(job.network, bad, int(part[0])))
            sums = self.empty.plus(part, log_evidence, *moments(found, shape))
            made.append(Streamed(log_evidence, sums))
        return made

    def without_devices(self) -> "Blocks[S]":
        """The same blocks, for devices that may be of another kind than here."""
        job = self.job
        # A new network, as it leaves behind what has been compiled for this one.
        network = replace(job.network)
        sent = replace(job, devices=(), block_size=job.block, network=network)
        return Blocks(sent, self.empty)


type Runner[S: Tally] = Callable[[Blocks[S], range], Generator[Streamed[S], None, None]]
"""Work and first networks of blocks -> the blocks, in order."""


@contextmanager
def open_runner(
    devices: tuple[jax.Device, ...], scheduler: str | None
) -> Iterator[Runner[Any]]:
    """Run blocks on devices of this process, or on the workers of a Dask scheduler.

    Raises:
        SpecError: The scheduler is of no use.
        UnavailableError: Dask is not installed.
    """
    if scheduler is None:
        yield lambda blocks, starts: run_locally(blocks.sums, starts, devices)
        return
    with connected(scheduler) as client:
        yield lambda blocks, starts: run_on_cluster(
            client, blocks.without_devices(), starts
        )


@dataclass(frozen=True, eq=False)
class Goal[S: Tally]:
    """When to stop before the end.

    Attributes:
        error: Sums -> what falls as one over the root of the number of networks.
        target: Stop at or below it, where the weights can be trusted.
    """

    error: Callable[[S], float]
    target: float

    def is_reached(self, sums: S, log_evidence: np.ndarray) -> bool:
        """Whether it is: a few weights that have it all leave no error to be seen."""
        return (
            len(log_evidence) >= MIN_DRAWS
            and self.error(sums) <= self.target
            and smoothed(log_evidence).are_reliable
        )


def stream[S: Tally](
    job: Job,
    empty: S,
    run: Runner[S],
    *,
    goal: Goal[S] | None = None,
    checkpoint: Path | None = None,
    monitor: Monitor | None = None,
) -> Streamed[S]:
    """Log evidences and sums of networks of the prior, from the checkpoint on.

    Args:
        job: The work; blocks of the checkpoint take the place of its own.
        empty: Sums over no network, of what is to be summed.
        run: Who runs the blocks.
        goal: When to stop before the end, if ever; looked at when there are so many
            times more blocks, wherever they run.
        checkpoint: Where to save; kept at the end, to be extended.
        monitor: Told of every block.

    Raises:
        NotFiniteError: Networks give NaN or overflow.
        SpecError: Memory runs out; or the checkpoint is of other work, or of more
            networks.
        SamplingInterrupted: Ctrl-C; what there is has been saved.

    Warns:
        CheckpointWarning: It could not be saved; the work goes on.
    """
    check_weights(job.num_draws)
    log_evidence = np.empty(job.num_draws)
    done, sums = 0, empty
    if checkpoint is not None:
        found = load_checkpoint(checkpoint, job.identity("posterior"))
        if found is not None:
            check_recorded(job.network, found.record, jax.__version__)
            job = replace(job, block_size=found.record["block"])
            known = found.arrays["log_evidence"]
            done = len(known)
            if done > job.num_draws:
                raise SpecError(
                    f"checkpoint `{checkpoint}` holds {done} networks already; ask "
                    f"for as many or more, not {job.num_draws}, or choose another place"
                )
            log_evidence[:done], sums = known, _with_arrays(empty, found.arrays)
    state = saved = (done, sums)
    pace = Pace(done)

    def save() -> bool:
        nonlocal saved
        if checkpoint is None or state is saved:
            return False
        record = {
            **network_record(job.network),
            **job.identity("posterior"),
            "block": job.block,
        }
        arrays = {**vars(state[1]), "log_evidence": log_evidence[: state[0]]}
        save_checkpoint(checkpoint, record, arrays)
        saved = state
        return True

    def report(number: int, total: S) -> bool:
        """Tell how it stands; whether it is good enough."""
        checked = number == job.num_draws or is_checked(number // job.block)
        reached, likely, error = False, job.num_draws, None
        if goal is not None and checked:
            reached = goal.is_reached(total, log_evidence[:number])
        if goal is not None and monitor is not None:
            error = goal.error(total)
            likely = forecast(number, error, goal.target, job.num_draws)
            likely = number if reached else max(number + 1, likely)
        if monitor is not None:
            monitor(pace.at(number, min(likely, job.num_draws), error))
        return reached

    final, saving = state, Saving("the sums", checkpoint, save)
    try:
        if done and report(done, sums):
            return Streamed(log_evidence[:done].copy(), sums)
        starts = range(done, job.num_draws, job.block)
        with closing(run(Blocks(job, empty), starts)) as blocks:
            for part in blocks:
                number = final[0] + len(part.log_evidence)
                log_evidence[final[0] : number] = part.log_evidence
                # One assignment, so that Ctrl-C finds sums and number in step.
                final = (number, final[1].merged(part.sums))
                if number % job.block == 0:
                    state = final
                # First, as whoever is told may clear the place.
                reached = report(*final)
                saving.if_due()
                if reached:
                    break
    except KeyboardInterrupt:
        saving.now()
        place = checkpoint if state[0] else None
        raise SamplingInterrupted(final[0], place, None) from None
    except Exception as failure:
        save_after(failure, save, checkpoint)
        raise
    saving.now()
    return Streamed(log_evidence[: final[0]], final[1])


def _with_arrays[S: Tally](empty: S, arrays: dict[str, np.ndarray]) -> S:
    """Sums as they were saved."""
    kept = {name: arrays[name] for name in vars(empty)}
    values = {n: v if v.ndim else float(v) for n, v in kept.items()}
    return replace(empty, **values)  # type: ignore[type-var]  # a dataclass
