"""The loop over networks that are trained: kept, saved, watched, stopped in time.

In: a `Job`, and where draws are kept. Out: f at the new inputs and the loss of every
network. Saved is what whole blocks gave, so that a run goes on, or is extended, as if
it had never ended.
"""

import hashlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nnft_ppl._checkpoint import load_checkpoint, save_checkpoint
from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Points
from nnft_ppl._version import __version__
from nnft_ppl.bayes.data import Data
from nnft_ppl.correlators.sampled.accumulate import forecast, is_checked
from nnft_ppl.correlators.sampled.measure import SamplingInterrupted
from nnft_ppl.ensemble.device_sizes import sizes_of
from nnft_ppl.ensemble.fingerprint import check_recorded, network_record
from nnft_ppl.ensemble.model import Stream
from nnft_ppl.ensemble.not_finite import NotFiniteError, which_are_not_finite
from nnft_ppl.ensemble.progress import Monitor, Pace
from nnft_ppl.ensemble.saving import Saving, save_after
from nnft_ppl.training.flow import MAX_STEPS
from nnft_ppl.training.kept import InFile, InMemory, Kept
from nnft_ppl.training.network_blocks import Program, block_of, network_blocks
from nnft_ppl.training.plan import Plan
from nnft_ppl.training.programs import train_networks

_FLOW_WORK = 50
"""Steps that the flow takes, roughly."""


@dataclass(frozen=True, eq=False)
class Job:
    """The work.

    Attributes:
        network: What is drawn.
        data: What it is trained on.
        new_points: Where it is evaluated, float32 (new, dim).
        plan: How it is trained.
        key: Network j is a function of (key, j).
        num_draws: Networks, at most.
        devices: Of this process.
        file: Where draws are kept, .npy; in memory when `None`.
    """

    network: Network
    data: Data
    new_points: Points
    plan: Plan
    key: Key
    num_draws: int
    devices: tuple[jax.Device, ...]
    file: Path | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Times, new inputs, outputs: what is kept of a network."""
        outputs = self.network.hyperparameters.output_dim
        return len(self.plan.times), len(self.new_points), outputs

    def block(self) -> int:
        """Networks that are worked on, saved and told of together."""
        steps = float(self.plan.steps.sum())
        steps = steps or _FLOW_WORK * self.data.y.size * len(self.plan.times)
        points = len(self.data.rows)
        return block_of(self.network, points, 3 * steps, self.num_draws, self.devices)

    def kept(self) -> tuple[Kept, Kept]:
        """Where f and where the loss are kept."""
        losses = self.shape[:1]
        if self.file is None:
            return InMemory(self.shape, self.num_draws), InMemory(
                losses, self.num_draws
            )
        beside = self.file.with_suffix(".losses.npy")
        return InFile(self.shape, self.file), InFile(losses, beside)

    def program(self) -> Program:
        """What trains a block."""
        points = jnp.asarray(self.data.points[self.data.rows])
        targets = jnp.asarray(self.data.y.reshape(-1), jnp.float32)
        new = jnp.asarray(self.new_points, jnp.float32)
        plan, sizes = self.plan, sizes_of(self.devices[0])
        intervals = (
            jnp.asarray(plan.intervals, jnp.float32),
            jnp.asarray(plan.steps, jnp.int32),
            jnp.asarray(plan.sizes, jnp.float32),
        )
        temperature = jnp.asarray(plan.temperature, jnp.float32)

        def program(
            streams: Stream,
            starts: np.ndarray,
            chunks: np.ndarray,
            mesh: Mesh,
            chunk: int,
            max_chunks: int,
        ) -> jax.Array:
            return train_networks(
                streams,
                starts,
                chunks,
                points,
                targets,
                new,
                intervals,
                temperature,
                mesh,
                self.network,
                plan.method,
                plan.train,
                plan.parametrization,
                sizes,
                chunk,
                max_chunks,
            )

        return program


class Trained(NamedTuple):
    """Networks so far.

    Attributes:
        values: float32 (network, time, new, output).
        losses: float32 (network, time).
    """

    values: np.ndarray
    losses: np.ndarray


@dataclass(frozen=True)
class Goal:
    """When to stop before the end.

    Attributes:
        error: (network, time, new, output) -> the relative error, `None` where there is
            none yet.
        target: Stop at or below it; `None` to go on to the end.
    """

    error: Callable[[np.ndarray], float | None]
    target: float


def stream(
    job: Job, goal: Goal | None, checkpoint: Path | None, monitor: Monitor | None
) -> Trained:
    """Train all networks, from the checkpoint on where there is one.

    Args:
        job: The work.
        goal: When to stop before the end, if ever; looked at when there are so many
            times more blocks.
        checkpoint: Where to save; kept at the end, to be extended.
        monitor: Told of every block.

    Raises:
        NotFiniteError: Networks end in NaN or infinity.
        SpecError: The checkpoint is of other work, or of more networks.
        StorageError: Draws cannot be written.
        SamplingInterrupted: Ctrl-C; what there is has been saved.

    Warns:
        CheckpointWarning: It could not be saved; the work goes on.
    """
    block, done, kept = job.block(), 0, job.kept()
    if checkpoint is not None:
        found = load_checkpoint(checkpoint, _identity(job))
        if found is not None:
            check_recorded(job.network, found.record, jax.__version__)
            block, count = found.record["block"], found.record["num_draws"]
            if count > job.num_draws:
                raise SpecError(
                    f"checkpoint `{checkpoint}` holds {count} networks already; ask "
                    f"for as many or more, not {job.num_draws}, or choose another place"
                )
            done = count if count == job.num_draws else count // block * block
            for name, rows in zip(Trained._fields, kept, strict=True):
                rows.restore(found.arrays[name], done)
    saved, pace, error = done, Pace(done), None

    def save() -> bool:
        nonlocal saved
        if checkpoint is None or saved == done:
            return False
        record = {**network_record(job.network), **_identity(job)}
        record |= {"block": block, "num_draws": done}
        states = [rows.state() for rows in kept]
        arrays = dict(zip(Trained._fields, states, strict=True))
        save_checkpoint(checkpoint, record, arrays)
        saved = done
        return True

    def report() -> bool:
        """Tell how it stands; whether it is good enough."""
        nonlocal error
        reached, likely = False, job.num_draws
        if goal is not None:
            if done == job.num_draws or is_checked(done // block):
                error = goal.error(kept[0].so_far())
                reached = error is not None and error <= goal.target
            if error is not None:
                likely = forecast(done, error, goal.target, job.num_draws)
                likely = done if reached else max(done + 1, likely)
        if monitor is not None:
            monitor(pace.at(done, min(likely, job.num_draws), error))
        return reached

    def add(part: np.ndarray) -> None:
        nonlocal done
        bad = which_are_not_finite(part)
        if bad.any():
            raise NotFiniteError(_diverged(job, bad, part, done))
        kept[0].add(part[..., :-1].reshape(len(part), *job.shape))
        kept[1].add(part[..., -1])
        done += len(part)

    starts = range(done, job.num_draws, block)
    saving = Saving("the draws", checkpoint, save)
    try:
        if not (done and report()) and starts:
            with closing(
                network_blocks(
                    job.program(),
                    job.network,
                    len(job.data.rows),
                    starts,
                    key=job.key,
                    devices=job.devices,
                )
            ) as parts:
                for part in parts:
                    add(part)
                    # First, as whoever is told may clear the place.
                    reached = report()
                    saving.if_due()
                    if reached:
                        break
    except KeyboardInterrupt:
        saving.now()
        place = checkpoint if done else None
        raise SamplingInterrupted(done, place, None) from None
    except Exception as failure:
        save_after(failure, save, checkpoint)
        raise
    saving.now()
    return Trained(*(rows.so_far() for rows in kept))


def _identity(job: Job) -> dict[str, Any]:
    """What must be equal for draws to be of the same work; not how many of them."""
    data = hashlib.sha256()
    for array in (job.data.x, job.data.y, job.data.x_new):
        data.update(str(array.shape).encode() + array.tobytes())
    plan = asdict(job.plan)
    return {
        "of": "trained ensemble",
        "version": __version__,  # another may draw other networks
        "jax": jax.__version__,
        "network": network_record(job.network)["network"],
        "plan": {**plan, "times": list(job.plan.times)},
        "key": np.asarray(jax.random.key_data(job.key)).tolist(),
        "data": data.hexdigest()[:16],
        "draws": "in memory" if job.file is None else "in a file",
    }


def _diverged(job: Job, bad: np.ndarray, part: np.ndarray, start: int) -> str:
    """What to say of networks that end in no numbers."""
    finite = np.isfinite(part[bad]).all(axis=(0, 2))
    time = job.plan.times[int(np.argmin(finite))]
    smaller = "smaller inputs, targets or weights"
    remedy = f"use a `learning_rate` below {job.plan.learning_rate:.3g}, or {smaller}"
    if job.plan.train == "readout":
        remedy = f"use {smaller}"
    elif job.plan.method == "gradient_flow":
        remedy = (
            f"they overflow, or take more than {MAX_STEPS:,} steps from one time to "
            "the next, as over many kinks or on raw scales. Standardise inputs and "
            "targets, ask for earlier times or more of them, or use "
            "method='gradient_descent'"
        )
    return (
        f"{np.count_nonzero(bad)} of the networks {start} to {start + len(bad) - 1} "
        f"give NaN or infinity by time {time}, the first of them network "
        f"{start + int(np.argmax(bad))} of {job.network.name!r}: {remedy}"
    )
