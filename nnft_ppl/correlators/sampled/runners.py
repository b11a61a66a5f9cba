"""Who runs the blocks of a measurement: this process, several, or a Dask cluster."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import jax

from nnft_ppl._errors import SpecError
from nnft_ppl.correlators.sampled.accumulate import Runner
from nnft_ppl.correlators.sampled.job import Job
from nnft_ppl.correlators.sampled.sums import Sums
from nnft_ppl.ensemble.cluster import connected, run_on_cluster
from nnft_ppl.ensemble.local import run_locally
from nnft_ppl.ensemble.processes import run_over_processes


def local_runner(devices: tuple[jax.Device, ...]) -> Runner:
    """Run blocks on devices of this process."""

    def run(job: Job, starts: range) -> Generator[Sums, None, None]:
        return run_locally(job.sums, starts, devices)

    return run


@dataclass(frozen=True)
class _Elsewhere:
    """A job whose blocks are done by devices that may be of another kind than here."""

    job: Job

    def sums(
        self, starts: Sequence[int], devices: tuple[jax.Device, ...]
    ) -> list[Sums]:
        """As of the job, in the sizes of these devices."""
        return self.job.on(devices[0]).sums(starts, devices)


@contextmanager
def open_runner(
    devices: tuple[jax.Device, ...], scheduler: str | None
) -> Iterator[Runner]:
    """Run blocks where they are asked to run.

    Args:
        devices: Of this process; without a scheduler its share is done there.
        scheduler: Address of a Dask scheduler, or `None`.

    Raises:
        SpecError: The scheduler is of no use, or it is asked for by several processes.
        UnavailableError: Dask is not installed.
    """
    if scheduler is None and jax.process_count() == 1:
        yield local_runner(devices)
    elif scheduler is None:
        yield lambda job, starts: run_over_processes(job.sums, starts, devices)
    elif jax.process_count() > 1:
        raise SpecError(
            f"`scheduler` is {scheduler!r} in {jax.process_count()} processes of "
            "`jax.distributed`; use one or the other"
        )
    else:
        with connected(scheduler) as client:
            # A new network, as it leaves behind what has been compiled for this one.
            yield lambda job, starts: run_on_cluster(
                client, _Elsewhere(replace(job, network=replace(job.network))), starts
            )
