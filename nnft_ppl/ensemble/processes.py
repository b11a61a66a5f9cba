"""Running blocks over processes that `jax.distributed` has joined.

Every process calls the same function with the same arguments, does its share of the
blocks, and gets all results in order, so that every one goes on with the same numbers.
"""

import hashlib
import pickle
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import batched, islice

import jax
import numpy as np
from jax.experimental import multihost_utils

from nnft_ppl._errors import NnftError, SpecError
from nnft_ppl.ensemble.blocks import power_of_two_below
from nnft_ppl.ensemble.local import Block, run_locally

_WELL, _INTERRUPTED, _FAILED = range(3)
"""What processes tell each other before they exchange results."""
_EXCHANGE_SECONDS = 0.25
"""About how often: what Ctrl-C waits for."""
_EXCHANGE_BYTES = 1 << 26
"""What a process receives at a time."""


def check_alike(what: str) -> None:
    """Raise SpecError, in every process, unless all of them were given the same."""
    digest = np.frombuffer(hashlib.sha256(what.encode()).digest(), np.uint8)
    digests = _gather(digest)
    if (digests != digests[0]).any():
        raise SpecError(
            f"the {jax.process_count()} processes of `jax.distributed` were given "
            "different work; call with the same arguments in every one"
        )


def from_first[T](make: Callable[[], T]) -> T:
    """What `make` gives or raises in the first process, in every process."""
    if jax.process_count() == 1:
        return make()
    outcome = b""
    if jax.process_index() == 0:
        try:
            outcome = pickle.dumps((make(), None))
        except Exception as error:
            outcome = pickle.dumps((None, error))
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(outcome))))
    padded = np.zeros(size, np.uint8)
    padded[: len(outcome)] = np.frombuffer(outcome, np.uint8)
    value: T
    value, problem = pickle.loads(
        multihost_utils.broadcast_one_to_all(padded).tobytes()
    )
    if problem is not None:
        raise problem
    return value


def run_over_processes[T](
    block: Block[T], starts: Sequence[int], devices: tuple[jax.Device, ...]
) -> Generator[T, None, None]:
    """Yield the result of every block, in order, in every process.

    Process r of P runs blocks r, r + P, …; a few times a second all exchange what they
    have. Ctrl-C or an error in one process ends the run in all, at the next exchange; a
    second Ctrl-C ends its process at once. When a process is killed, the others raise
    at the next exchange.

    Args:
        block: As for `run_locally`; its results are pytrees of arrays, of the same
            shapes for every block.
        starts: First network of each block.
        devices: Of this process.

    Raises:
        KeyboardInterrupt: In every process, when one was interrupted.
        NnftError: Another process failed; that one raises its own error.
    """
    rounds = list(batched(starts, jax.process_count()))
    # A process without a block in the last round does the last one again.
    own = [round_[min(jax.process_index(), len(round_) - 1)] for round_ in rounds]
    done, together = 0, 1
    with (
        _noted_interrupts() as interrupted,
        closing(run_locally(block, own, devices)) as parts,
    ):
        while done < len(rounds):
            group = rounds[done : done + together]
            problem: BaseException | None = None
            mine: list[T] = []
            begin = time.perf_counter()
            try:
                mine.extend(islice(parts, len(group)))
            except BaseException as error:
                problem = error
            pace = (time.perf_counter() - begin) / len(group)
            pace = _agree_to_go_on(problem, interrupted(), pace)
            everyone = _from_all(mine)
            for number, round_ in enumerate(group):
                for theirs in everyone[: len(round_)]:
                    yield theirs[number]
            done += len(group)
            together = _rounds_together(pace, mine)


def num_bytes(results: object) -> int:
    """Of the arrays in a pytree."""
    return sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(results))


def _rounds_together(pace: float, mine: Sequence[object]) -> int:
    """Rounds between two exchanges, from seconds and bytes that one takes."""
    size = max(num_bytes(mine) / len(mine), 1)
    room = _EXCHANGE_BYTES / (size * jax.process_count())
    # A power of two: JAX compiles the exchange anew for every size.
    return power_of_two_below(min(_EXCHANGE_SECONDS / max(pace, 1e-3), room))


def _gather(own: np.ndarray) -> np.ndarray:
    """Arrays of all processes, stacked."""
    try:
        return np.asarray(multihost_utils.process_allgather(own))
    except (ValueError, RuntimeError) as error:  # as the transport tells it
        raise NnftError(
            f"another process of `jax.distributed` is lost ({error}); start all of "
            "them again, and the same call goes on from its checkpoint, if it has one"
        ) from error


def _agree_to_go_on(
    problem: BaseException | None, interrupted: bool, pace: float
) -> float:
    """The slowest pace of all; raises, in every process, if one cannot go on."""
    status = _WELL
    if isinstance(problem, KeyboardInterrupt) or interrupted:
        status = _INTERRUPTED
    elif problem is not None:
        status = _FAILED
    everyone, paces = _gather(np.array([status, pace], np.float32)).T
    if problem is not None:
        raise problem
    if (everyone == _FAILED).any():
        failed = np.flatnonzero(everyone == _FAILED).tolist()
        raise NnftError(f"processes {failed} failed; their own errors tell why")
    if (everyone == _INTERRUPTED).any():
        raise KeyboardInterrupt
    return float(paces.max())


def _from_all[T](part: T) -> list[T]:
    """The parts of all processes, in their order."""
    leaves, structure = jax.tree.flatten(part)
    arrays = [np.asarray(leaf) for leaf in leaves]
    # As bytes: JAX would make float32 of float64.
    own = np.frombuffer(b"".join(array.tobytes() for array in arrays), np.uint8)
    parts = []
    for theirs in _gather(own):
        found, offset = [], 0
        for array in arrays:
            piece = theirs[offset : offset + array.nbytes]
            found.append(piece.view(array.dtype).reshape(array.shape))
            offset += array.nbytes
        parts.append(jax.tree.unflatten(structure, found))
    return parts


@contextmanager
def _noted_interrupts() -> Iterator[Callable[[], bool]]:
    """Within, the first Ctrl-C is noted alone, so that all processes can act on it.

    So is SIGTERM where it would raise KeyboardInterrupt. One that acted at once would
    leave the others waiting for its next result.
    """
    if threading.current_thread() is not threading.main_thread():
        # Python delivers signals to the main thread and lets no other set handlers.
        yield lambda: False
        return
    noted = threading.Event()

    def note(number: int, frame: object) -> None:
        noted.set()
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM)
        if callable(handler := signal.getsignal(number))
    }
    for number in before:
        signal.signal(number, note)
    try:
        yield noted.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
