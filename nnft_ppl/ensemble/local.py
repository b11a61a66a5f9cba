"""Running blocks on the devices of this process, a few in flight, results in order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing
from contextvars import ContextVar
from itertools import batched
from threading import Event

import jax
from threadpoolctl import threadpool_limits

from nnft_ppl._arguments import is_whole
from nnft_ppl._errors import SpecError
from nnft_ppl.ensemble.device_sizes import sizes_of

type Block[T] = Callable[[Sequence[int], tuple[jax.Device, ...]], list[T]]
"""First networks of blocks, one a device or fewer, and the devices -> results.

With no blocks it compiles, and gives nothing.
"""


_closed: ContextVar[Event | None] = ContextVar("closed", default=None)


def check_open() -> None:
    """For a block to call now and then: raise where nobody wants its result any more.

    Raises:
        CancelledError: The run has been closed.
    """
    closed = _closed.get()
    if closed is not None and closed.is_set():
        raise CancelledError


def available_cores() -> int:
    """Processor cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def max_in_flight(num_devices: int) -> int:
    """Rounds of blocks that run at a time.

    On the CPU a device runs a loop on one core, so that cores are kept busy by several.
    """
    rounds = sizes_of(jax.local_devices()[0]).rounds
    return max(1, available_cores() // num_devices) if rounds is None else rounds


def choose_devices(
    devices: Sequence[jax.Device] | int | None,
) -> tuple[jax.Device, ...]:
    """The devices to use: as given, the first so many, or all of this process.

    Raises:
        SpecError: There are not as many, or none is given.
    """
    local = jax.local_devices()
    if devices is None:
        return tuple(local)
    if is_whole(devices):
        number = int(devices)
        if not 1 <= number <= len(local):
            raise SpecError(
                f"`devices` is {devices}; this process has {len(local)}: "
                f"{', '.join(map(str, local))}"
            )
        return tuple(local[:number])
    if (
        isinstance(devices, (str, bool))
        or not isinstance(devices, Sequence)
        or not devices
        or any(device not in local for device in devices)
        or len(set(devices)) < len(devices)
    ):
        raise SpecError(
            f"`devices` is {devices!r}; expected a number or a list, each once, of the "
            f"devices of this process: {', '.join(map(str, local))}"
        )
    return tuple(devices)


def run_locally[T](
    block: Block[T], starts: Iterable[int], devices: tuple[jax.Device, ...]
) -> Generator[T, None, None]:
    """Yield the result of every block, in order.

    Closing the iterator drops what has not begun, and what has at its next
    `check_open`.

    Args:
        block: Runs in threads, in float32 mode; once without blocks, before others.
        starts: First network of each block.
        devices: From `choose_devices`; each takes one block of a round.
    """

    def run(round_: Sequence[int]) -> list[T]:
        _closed.set(pool.closed)
        # The precision switch is per thread, so it is set where the work is done.
        with jax.enable_x64(False):
            return block(round_, devices)

    workers = max_in_flight(len(devices))
    # Threads of one product each get in the way of blocks side by side.
    with threadpool_limits(1, user_api="blas"), closing(_Pool(workers)) as pool:
        pool.submit(run, ()).result()
        waiting: deque[Future[list[T]]] = deque()
        for round_ in batched(starts, len(devices)):
            waiting.append(pool.submit(run, round_))
            if len(waiting) > workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


class _Pool(ThreadPoolExecutor):
    """Closes without running what still waits, and tells what runs."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.closed = Event()

    def close(self) -> None:
        self.closed.set()
        self.shutdown(wait=True, cancel_futures=True)
