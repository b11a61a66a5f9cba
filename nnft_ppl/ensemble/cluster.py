"""Running blocks on the workers of a Dask scheduler, results in order.

In: the scheduler's address, and work that can be pickled. Out: what a run on this
machine gives, to the bit where the workers are of its kind. Blocks are independent, so
a block lost with its worker is run again; Dask sees to that.
"""

import pickle
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import lru_cache, partial
from importlib import import_module
from importlib.metadata import version
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Lock, Thread
from typing import Any, Protocol
from warnings import warn

import jax
from threadpoolctl import threadpool_limits

from nnft_ppl._errors import NnftError, SpecError, UnavailableError
from nnft_ppl.ensemble.local import max_in_flight
from nnft_ppl.ensemble.processes import num_bytes

_ANSWER_SECONDS = 10
"""What a scheduler is given to answer, and then to have a worker."""
_AHEAD = 4
"""Tasks sent ahead for every thread of the workers: a slow one at the head of the line
stops nobody for long, and results that wait their turn take little memory."""
_TASK_SECONDS, _TASK_BYTES = 0.25, 1 << 23
"""What a task takes and its results take at most: each costs Dask milliseconds."""
_RECEIVED = 8
"""Tasks whose results are received at a time."""
_RETRIES = 2
"""How often a block is tried again that failed without its worker dying."""
_SAME_VERSIONS = ("nnft-ppl", "jax", "jaxlib")
"""Distributions that settle the numbers."""


class Work[T](Protocol):
    """What workers are sent: pickled once, it computes any block."""

    def sums(self, starts: Sequence[int], devices: tuple[jax.Device, ...]) -> list[T]:
        """Results of the blocks that begin at `starts`, at most one for each device."""
        ...


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """A client of the scheduler, with workers that can do the work.

    Args:
        address: As the scheduler prints it, such as tcp://host:8786.

    Raises:
        UnavailableError: Dask is not installed.
        SpecError: No scheduler answers there, it has no workers, or they run other
            versions.
    """
    if not isinstance(address, str):
        raise SpecError(
            f"`scheduler` is {address!r}; expected an address such as tcp://host:8786"
        )
    client, problem = _client(address)
    if client is None:
        raise SpecError(
            f"no Dask scheduler answers at {address!r} ({problem}); start one with "
            "`dask scheduler`, and give the address that it prints"
        )
    with client:
        _check_workers(client, address)
        yield client


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ModuleNotFoundError as error:
        raise UnavailableError(
            "Dask is not installed; install it with: "
            "pip install 'nnft-ppl[distributed]'"
        ) from error


def _client(address: str) -> tuple[Any, str]:
    """A client; or `None` and why not.

    Whatever goes wrong is told as text: a half-made client that a traceback keeps alive
    holds up the end of Python. What answers may be no scheduler, its answer anything.
    """
    distributed = _distributed()
    try:
        return (
            distributed.Client(address, timeout=_ANSWER_SECONDS, set_as_default=False),
            "",
        )
    except Exception as error:
        return None, str(error) or type(error).__name__


def _check_workers(client: Any, address: str) -> None:
    """Raise SpecError unless there are workers and they run what we run."""
    try:
        client.wait_for_workers(1, timeout=_ANSWER_SECONDS)
    except TimeoutError as error:
        raise SpecError(
            f"the Dask scheduler at {address!r} has no workers; start some with "
            f"`dask worker {address}`"
        ) from error
    for name, here in _versions():
        # The standard library's, so that a worker without nnft_ppl can answer.
        found = _within(
            _ANSWER_SECONDS, partial(client.run, version, name, on_error="return")
        )
        if found is None:
            raise SpecError(
                f"not all workers of the Dask scheduler at {address!r} answer within "
                f"{_ANSWER_SECONDS} s; see to them, or retire those that hang"
            )
        for worker, there in found.items():
            if there != here:
                raise SpecError(_other_version(worker, name, there, here))


def _within[T](seconds: float, call: Callable[[], T]) -> T | None:
    """What the call gives or raises, or `None` if that takes longer."""
    outcome: SimpleQueue[tuple[T | None, Exception | None]] = SimpleQueue()

    def run() -> None:
        try:
            outcome.put((call(), None))
        except Exception as error:
            outcome.put((None, error))

    # A daemon, which does not hold up the end of Python.
    Thread(target=run, daemon=True).start()
    try:
        found, problem = outcome.get(timeout=seconds)
    except Empty:
        return None
    if problem is not None:
        raise problem
    return found


def _versions() -> tuple[tuple[str, str], ...]:
    return tuple((name, version(name)) for name in _SAME_VERSIONS)


def _other_version(worker: str, name: str, there: object, here: str) -> str:
    has = f"no {name}" if isinstance(there, Exception) else f"{name} {there}"
    return (
        f"the Dask worker {worker} has {has}, and here is {here}; install the same on "
        "both and start it again"
    )


def run_on_cluster[T](
    client: Any, work: Work[T], starts: Sequence[int]
) -> Generator[T, None, None]:
    """Yield the result of every block, in order.

    Closing the iterator cancels what has not begun.

    Args:
        client: From `connected`.
        work: Pickled once, by value where workers cannot import it.
        starts: First network of each block.

    Raises:
        NnftError: As raised on a worker; or the scheduler is lost, or one block after
            another worker dies of it.
    """
    distributed = _distributed()
    # Dask's own pickle, which takes functions by value where they have no module.
    payload, versions = import_module("cloudpickle").dumps(work), _versions()
    sent, together = 0, 1
    waiting: deque[Any] = deque()
    try:
        while True:
            threads = sum(client.nthreads().values())
            tasks: list[Sequence[int]] = []
            while sent < len(starts) and len(waiting) + len(tasks) < max(
                _AHEAD * threads, 1
            ):
                # Small ones towards the end, so that all finish together.
                share = (len(starts) - sent) // max(2 * threads, 1)
                tasks.append(starts[sent : sent + max(1, min(together, share))])
                sent += len(tasks[-1])
            waiting.extend(
                client.map(
                    _blocks,
                    tasks,
                    payload=payload,
                    versions=versions,
                    pure=False,
                    retries=_RETRIES,
                )
            )
            if not waiting:
                return
            _wait(client, waiting[0])
            done: list[Any] = []
            while waiting and waiting[0].done() and len(done) < _RECEIVED:
                done.append(waiting.popleft())
            for result in _results(client, done):
                if isinstance(result, NnftError):
                    raise result
                parts, seconds = result
                yield from parts
                together = _blocks_together(parts, seconds)
    except distributed.KilledWorker as error:
        raise NnftError(
            f"a block took several Dask workers down with it ({error}); most likely "
            "their memory is too small: give a smaller `memory` or `block_size`"
        ) from error
    except (distributed.comm.CommClosedError, CancelledError) as error:
        raise NnftError(
            f"the Dask scheduler is lost ({error}); when one answers again, the same "
            "call goes on from its checkpoint, if it has one"
        ) from error
    finally:
        client.cancel(list(waiting))


def _results(client: Any, done: list[Any]) -> Iterator[Any]:
    """Of tasks that are done, received at a time; those before a failed one first."""
    if all(task.status == "finished" for task in done):
        yield from client.gather(done)
    else:
        for task in done:
            yield task.result()


def _blocks_together(parts: list[Any], seconds: float) -> int:
    """How many blocks to send as a task, from what those of one took."""
    room = _TASK_BYTES / max(num_bytes(parts), 1)
    return max(1, int(len(parts) * min(_TASK_SECONDS / max(seconds, 1e-3), room)))


def _wait(client: Any, first: Any) -> None:
    """Until it is done; without workers say so, and wait for some."""
    told = False
    while not first.done():
        try:
            first.exception(timeout=_ANSWER_SECONDS)
        except TimeoutError:
            if not told and not client.nthreads():
                warn(
                    f"the Dask scheduler at {client.scheduler.address} has no workers "
                    "left; waiting for new ones",
                    stacklevel=2,
                )
                told = True


def _blocks(
    starts: Sequence[int], *, payload: bytes, versions: tuple[tuple[str, str], ...]
) -> tuple[list[Any], float] | NnftError:
    """Blocks on a worker, and the seconds that they took.

    An error of ours is a value, not to be tried again.
    """
    try:
        received = _received(payload, versions)
        begin = time.perf_counter()
        parts = [received.block(start) for start in starts]
    except NnftError as error:
        return error
    return parts, time.perf_counter() - begin


_receiving = Lock()


def _received(payload: bytes, versions: tuple[tuple[str, str], ...]) -> "_Received":
    """The work, unpickled once by every worker, so that it compiles once."""
    with _receiving:  # threads of a worker begin together
        return _unpickled(payload, versions)


@lru_cache(maxsize=8)
def _unpickled(payload: bytes, versions: tuple[tuple[str, str], ...]) -> "_Received":
    for (name, there), (_, here) in zip(versions, _versions(), strict=True):
        if here != there:  # of a worker that came later
            raise SpecError(_other_version("that joined", name, here, there))
    try:
        work = pickle.loads(payload)
    except Exception as error:  # whatever a plugin that is not there leads to
        raise SpecError(
            f"a Dask worker cannot load the work ({type(error).__name__}: {error}); "
            "install there what is installed here, the architecture's plugin above all"
        ) from error
    return _Received(work)


class _Received:
    """Work on the devices of a worker."""

    def __init__(self, work: Work[Any]) -> None:
        """Not more blocks at a time than a run on this machine alone would do."""
        self._work, self._devices = work, jax.local_devices()
        self._busy, self._lock = [0] * len(self._devices), Lock()
        self._room = BoundedSemaphore(
            len(self._devices) * max_in_flight(len(self._devices))
        )
        # A worker's threads are busy with blocks; more of them get in their way.
        threadpool_limits(1, user_api="blas")

    def block(self, start: int) -> Any:
        """The result of the block that begins at `start`."""
        with self._room, self._device() as device, jax.enable_x64(False):
            return self._work.sums([start], (device,))[0]

    @contextmanager
    def _device(self) -> Iterator[jax.Device]:
        """The least busy one."""
        with self._lock:
            number = self._busy.index(min(self._busy))
            self._busy[number] += 1
        try:
            yield self._devices[number]
        finally:
            with self._lock:
                self._busy[number] -= 1
