"""Correlators measured on random networks: the public call and its plan.

In: a `Network` and inputs. Out: `Correlators`. Every check comes before any work.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from nnft_ppl._arguments import check_number
from nnft_ppl._checkpoint import check_checkpoint_path, saved_record
from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Packed, Points
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.odd_orders import with_vanishing_odd_orders
from nnft_ppl.correlators.orders import check_orders, order_vanishes
from nnft_ppl.correlators.readout_weights import weight_moments
from nnft_ppl.correlators.sampled.accumulate import Goal, Reached, accumulate, forecast
from nnft_ppl.correlators.sampled.draws import draws_preactivations
from nnft_ppl.correlators.sampled.estimators import (
    PLAIN,
    Estimator,
    Inputs,
    choose_estimator,
)
from nnft_ppl.correlators.sampled.job import Job
from nnft_ppl.correlators.sampled.measurement import Measurement
from nnft_ppl.correlators.sampled.preactivations import preactivation_factor
from nnft_ppl.correlators.sampled.reference import references
from nnft_ppl.correlators.sampled.runners import local_runner, open_runner
from nnft_ppl.correlators.sampled.sums import Sums
from nnft_ppl.correlators.sizes import check_sizes
from nnft_ppl.correlators.symmetric import num_entries
from nnft_ppl.ensemble.blocks import check_block_size, check_memory
from nnft_ppl.ensemble.generator_names import DEFAULT_GENERATOR, GENERATORS
from nnft_ppl.ensemble.local import choose_devices
from nnft_ppl.ensemble.model import (
    check_generator,
    check_key,
    check_num_draws,
    check_prior,
    numbers_per_network,
    sampling_inputs,
)
from nnft_ppl.ensemble.not_finite import NotFiniteError
from nnft_ppl.ensemble.outputs import check_outputs
from nnft_ppl.ensemble.processes import from_first
from nnft_ppl.ensemble.progress import Monitor, watching

_TRIAL_DRAWS, _TRIAL_NORMALS = 1 << 15, 1 << 30
"""Networks that forecast how many a target error takes, and numbers drawn for them."""
_PILOT_DRAWS = 1 << 12
"""Networks that give a mean and a kernel to subtract; any will do that are near. Their
number is that of no run, so that one can be extended."""


def measure_correlators(
    network: Network,
    x: ArrayLike,
    orders: tuple[int, ...] = (2, 4),
    *,
    num_draws: int,
    key: Key,
    estimator: str = "auto",
    generator: str | None = None,
    target_error: float | None = None,
    error_of: Callable[[Correlators], float | None] | None = None,
    checkpoint: str | Path | None = None,
    devices: Sequence[jax.Device] | int | None = None,
    scheduler: str | None = None,
    block_size: int | None = None,
    memory: int | None = None,
    progress: bool | Monitor = False,
) -> Correlators:
    """Measure correlators on an ensemble that is streamed, never held.

    Under `jax.distributed` every process calls this with the same arguments, does its
    share of the blocks and returns the same; the first alone saves and tells progress.

    Args:
        network: From `nnft_ppl.network`.
        x: Inputs (point, input_dim), finite and distinct.
        orders: From 1 to 8; lower even ones are added and, where odd ones are asked
            for, lower odd ones. Those that a symmetry forbids are zero, and a mean
            that the output bias alone has is its; `moments` measures them
            nevertheless.
        num_draws: Number of networks, more than there are correlator entries; with a
            `target_error` the largest number.
        key: A JAX random key; network j is a function of (key, j).
        estimator: `auto` takes `conditional` where the last layer is linear, at any
            depth, else `wick`; `moments` is the plain route (theory.md §3).
        generator: `fused13` draws normal numbers from `ensemble.generator`, and
            networks of i.i.d. neurons from their preactivations at the inputs, as the
            plugin's neuron gives them; so does `fused`, with other numbers, by a
            cipher of 20 rounds in place of 13; `jax` samples every parameter by
            `jax.random` and runs the plugin's forward pass. Where `None`, that of the
            checkpoint, and without one `fused13`.
        target_error: Stop once the relative error of G4c, the root mean square over
            entries of its error over that of its value, is at most this.
        error_of: Correlators so far -> the relative error that is meant instead, `None`
            where it is not known yet; see `coupling_error`.
        checkpoint: File where the sums are saved as they grow, and from which the same
            call goes on, whatever its `num_draws`; it is kept at the end.
        devices: Devices of this process to use, or how many; all when `None`.
        scheduler: Address of a Dask scheduler, such as tcp://host:8786, whose workers
            then run the blocks, on all their devices; forecasts are made here.
        block_size: Networks dispatched together, rounded to a power of two; changes
            memory and speed alone.
        memory: Bytes that these may take, in place of `block_size`.
        progress: Show a bar, or in a log a line now and then, or a function
            that is told.

    Returns:
        `Correlators` with the full covariance of the estimates.

    Raises:
        SpecError: An argument is unusable, or the checkpoint is of other work; or
            networks give NaN or overflow, which says how many and the first.
        UnavailableError: The architecture lacks what the estimator needs, or the output
            weights a moment of the highest order.
        PluginError: The prior does not run under NumPyro, or what the architecture's
            functions return is not real or of a wrong shape.
        SamplingInterrupted: Ctrl-C; sums are saved, and it carries what there is.
    """
    points = network.check_inputs(x, distinct=True)
    sampling_inputs(points)  # refuses
    num_outputs = network.hyperparameters.output_dim
    num_legs = len(points) * num_outputs
    wanted = check_orders(orders, len(points), num_outputs)
    check_block_size(block_size)
    route = choose_estimator(network, estimator, wanted)
    orders = wanted
    if route is not PLAIN and order_vanishes(network, 3):
        orders = tuple(k for k in wanted if k % 2 == 0)
    if generator is not None:
        check_generator(generator)
    weight_moments(network, max(orders))  # refuses
    key = check_key(key)
    num_quantities = sum(num_entries(num_legs, k) for k in orders)
    num_draws = check_num_draws(num_draws)
    check_target(target_error, error_of, orders)
    memory = check_memory(memory, block_size)
    place = None if checkpoint is None else check_checkpoint_path(checkpoint)
    generator = _generator_of(generator, place)
    used = choose_devices(devices)
    check_prior(network)
    check_outputs(network)
    if num_draws <= num_quantities:
        raise SpecError(
            f"`num_draws` is {num_draws}, too small for the covariance of "
            f"{num_quantities} correlator entries; use at least {num_quantities + 1}, "
            "or fewer inputs or orders"
        )
    with (
        _out_of_memory_told(num_quantities),
        open_runner(used, scheduler) as run,
        watching(
            progress, route.name, target_error, "G4c" if error_of is None else "error"
        ) as monitor,
    ):
        measurement, job = _plan(
            network,
            points,
            orders,
            route,
            generator,
            key=key,
            num_draws=num_draws,
            block_size=block_size,
            memory=memory,
            devices=used,
        )

        def relative_error(job: Job, sums: Sums, number: int) -> float | None:
            if number // job.batch <= job.num_quantities:
                return None  # too few batches
            return measurement.relative_error(job.mean(sums, number), number, error_of)

        likely = None
        if target_error is not None:
            likely = _forecast(job, relative_error, target_error, used)
            job = job if likely is None else job.with_batches_for(likely)
        reached = accumulate(
            job,
            run,
            Goal(relative_error, target_error, likely),
            checkpoint=place,
            monitor=monitor,
        )
    number = reached.num_draws

    def found() -> Correlators:
        even_or_all = measurement.correlators(reached.mean(), number)
        return with_vanishing_odd_orders(even_or_all, wanted)

    if not reached.interrupted:
        return found()
    enough = number > num_quantities and number // reached.job.batch > 1
    raise SamplingInterrupted(
        number,
        place if number else None,
        found() if enough else None,
    )


def _generator_of(asked: str | None, checkpoint: Path | None) -> str:
    """The generator asked for; else that of sums to be gone on with; else the default.

    Every process takes part, whatever it was given, so that differences are told later.
    """

    def saved() -> object:
        if asked is not None or checkpoint is None:
            return None
        return (saved_record(checkpoint) or {}).get("generator")

    named = from_first(saved)
    if asked is not None:
        return asked
    # Sums of another release's generator are refused later, with all else they are of.
    return str(named) if named in GENERATORS else DEFAULT_GENERATOR


def _plan(
    network: Network,
    points: Points,
    orders: tuple[int, ...],
    estimator: Estimator,
    generator: str,
    *,
    key: Key,
    num_draws: int,
    block_size: int | None,
    memory: int | None,
    devices: tuple[jax.Device, ...],
) -> tuple[Measurement, Job]:
    """What is measured and the work that it takes; arguments as checked."""
    factor = np.zeros((len(points), 0))
    if draws_preactivations(network, generator):
        factor = preactivation_factor(network, points)

    def job(measurement: Measurement, num_draws: int) -> Job:
        return Job.plan(
            network,
            Inputs(
                jnp.asarray(sampling_inputs(points)),
                jnp.asarray(1 / measurement.scale, jnp.float32),
                jnp.asarray(measurement.reference, jnp.float32),
                jnp.asarray(factor, jnp.float32),
                None
                if measurement.mean is None
                else jnp.asarray(measurement.mean / measurement.scale, jnp.float32),
            ),
            measurement.orders,
            estimator,
            generator,
            key=key,
            num_draws=num_draws,
            block_size=block_size,
            memory=memory,
        )

    def pilot(measurement: Measurement) -> Packed:
        try:
            return _whole(job(measurement, _PILOT_DRAWS), devices).mean().value
        except NotFiniteError:
            if num_draws > _PILOT_DRAWS:  # counts them among more
                _whole(job(measurement, num_draws), devices)
            raise

    kernel, mean = references(network, points, orders, estimator, pilot)
    measurement = Measurement(network, points, orders, estimator, kernel, mean)
    check_sizes(network, measurement.scale, max(orders), sampled=True)
    return measurement, job(measurement, num_draws)


def _forecast(
    job: Job,
    relative_error: Callable[[Job, Sums, int], float | None],
    target_error: float,
    devices: tuple[jax.Device, ...],
) -> int | None:
    """Networks that the target will likely take, from what the first ones tell.

    `None` where they tell nothing.
    """
    # Four batches a quantity at least, of one network each: fewer give no error.
    number = max(
        4 * job.num_quantities,
        min(_TRIAL_DRAWS, _TRIAL_NORMALS // numbers_per_network(job.network)),
    )
    number = min(job.num_draws, number)
    trial = replace(job.with_batches_of(1), num_draws=number)
    error = relative_error(trial, _whole(trial, devices).sums, number)
    if error is None:
        return None
    return max(forecast(number, error, target_error, job.num_draws), number)


def _whole(job: Job, devices: tuple[jax.Device, ...]) -> Reached:
    """All of a short job, before the long one.

    Raises:
        SamplingInterrupted: Ctrl-C; nothing of the long one is there.
    """
    reached = accumulate(job, local_runner(devices))
    if reached.interrupted:
        raise SamplingInterrupted(0, None, None)
    return reached


@contextmanager
def _out_of_memory_told(num_quantities: int) -> Iterator[None]:
    """What smaller pieces do not help against: the sums themselves."""
    try:
        yield
    except MemoryError as error:
        raise SpecError(
            f"out of memory: sums over products of {num_quantities} correlator entries "
            f"take {num_quantities**2 * 8 / 1e9:.2g} GB, several times over; use fewer "
            "inputs or orders"
        ) from error


class SamplingInterrupted(KeyboardInterrupt):
    """Ctrl-C during a measurement.

    Attributes:
        num_draws: Networks so far.
        checkpoint: Where the sums are saved, or `None`.
        correlators: What they give, or `None` when they are too few.
    """

    def __init__(
        self, num_draws: int, checkpoint: Path | None, correlators: Correlators | None
    ) -> None:
        """Say how far it came."""
        saved = (
            "" if checkpoint is None else f"; the same call goes on from `{checkpoint}`"
        )
        super().__init__(f"interrupted after {num_draws:,} networks{saved}")
        self.num_draws = num_draws
        self.checkpoint = checkpoint
        self.correlators = correlators

    def __reduce__(self) -> tuple[type, tuple[int, Path | None, Correlators | None]]:
        """For pickle: out of a process pool."""
        return type(self), (self.num_draws, self.checkpoint, self.correlators)


def check_target(
    target_error: float | None, error_of: object, orders: tuple[int, ...]
) -> None:
    """Raise SpecError unless it is `None`, or a positive number of what is measured."""
    if error_of is not None and not callable(error_of):
        raise SpecError(
            f"`error_of` is {error_of!r}; expected a function of correlators, such as "
            "nnft_ppl.coupling_error(action, cutoff)"
        )
    if target_error is None:
        if error_of is not None:
            raise SpecError("`error_of` is given without a `target_error`; give both")
        return
    check_number(
        "target_error",
        target_error,
        lambda error: 0 < error < np.inf,
        "a relative error, such as 0.01",
    )
    if error_of is None and 4 not in orders:
        raise SpecError(
            f"`target_error` is of G4c, but `orders` are {list(orders)}; add 4"
        )
