"""What each of two processes of `jax.distributed` does for test_processes.py.

Arguments: its rank, the coordinator's port, a folder. Correlators are written to files
there, what is raised to a JSON file.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

import nnft_ppl as nnft
from nnft_ppl.ensemble.processes import run_over_processes
from nnft_ppl.ensemble.progress import Progress

BLOCK = 1 << 17


def measure(num_draws: int, seed: int = 4, **options) -> nnft.Correlators:
    """The measurement of these tests."""
    return nnft.measure_correlators(
        nnft.network("relu-net", width=10, input_dim=1),
        np.array([[-0.5], [0.2], [1.0]]),
        (2, 4),
        num_draws=num_draws,
        key=jax.random.key(seed),
        **options,
    )


def arrays(found: nnft.Correlators) -> list[np.ndarray]:
    """What must be equal to the bit."""
    number = np.array(found.num_draws)
    return [number, found.connected(2), found.connected(4), found.joint_covariance]


def doubled(fail: Callable[[], None] | None = None) -> list[list[float]]:
    """Nine blocks that need no network; from block 5 on the second process fails."""

    def block(starts, devices):
        if fail is not None and jax.process_index() == 1 and max(starts, default=0) > 4:
            fail()
        # No float32 holds these.
        return [(np.array(start + 1e-12), np.arange(2) * start) for start in starts]

    parts = run_over_processes(block, range(9), tuple(jax.local_devices()))
    return [[float(number), *pair.tolist()] for number, pair in parts]


def run_out_of_memory() -> None:
    """As a block may."""
    raise MemoryError("too small")


def die() -> None:
    """As when the system kills a process."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(rank: int, port: str, folder: Path) -> None:
    """All that needs two processes, one after the other."""
    # Started in the background by a shell, it would be ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=rank)
    told: dict[str, object] = {}

    def attempt(name: str, work: Callable[[], object]) -> None:
        try:
            found = work()
        except (Exception, KeyboardInterrupt) as error:
            told[name] = f"{type(error).__name__}: {error}"
            found = getattr(error, "correlators", None)
        else:
            told[name] = found if isinstance(found, list) else None
        if isinstance(found, nnft.Correlators):
            np.savez(folder / f"{name}-{rank}.npz", *arrays(found))
        (folder / f"told-{rank}.json").write_text(json.dumps(told))

    attempt("odd", lambda: measure(7 * BLOCK + 1000))
    attempt("target", lambda: measure(64 * BLOCK, target_error=0.0028))
    attempt("different", lambda: measure(BLOCK, seed=rank))
    attempt("scheduler", lambda: measure(BLOCK, scheduler="tcp://127.0.0.1:9"))

    # The first alone has a file; the second is the one that is interrupted.
    place = folder / f"sums-{rank}"
    (folder / f"pid-{rank}").write_text(str(os.getpid()))

    def interrupt(progress: Progress) -> None:
        if progress.num_draws == 4 * BLOCK:
            os.kill(int((folder / "pid-1").read_text()), signal.SIGINT)

    attempt(
        "stopped", lambda: measure(256 * BLOCK, checkpoint=place, progress=interrupt)
    )
    attempt("resumed", lambda: measure(256 * BLOCK, checkpoint=place))
    attempt("foreign", lambda: measure(256 * BLOCK, seed=5, checkpoint=place))
    attempt("doubled", doubled)
    attempt("failed", lambda: doubled(run_out_of_memory))
    attempt("killed", lambda: doubled(die))
    os._exit(0)  # the clean end of JAX waits long for the one that was killed


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
