"""Weak scaling: two processes on two cores against one on one, and bytes moved.

    python benchmarks/scaling.py [--blocks 64] [--repeats 5]

relu-net of width 100, six inputs, orders 2 and 4, the estimator `conditional`. Every
process is held to one core. One does so many blocks of 131,072 networks, then two
together do twice as many, turn by turn in one run; what counts is the rate of two over
that of one, at best 2. Compiling is done before. Two ways: processes joined by
`jax.distributed`, and workers of a Dask scheduler on this machine, which with the
client, who adds up, takes its time from the same two cores.

Bytes are what the loopback interface counts, whoever sends: run it on a quiet machine.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

BLOCK = 1 << 17
TARGET = 1.8


def measure(blocks: int, scheduler: str | None = None) -> float:
    """Seconds that a measurement takes."""
    import jax

    import nnft_ppl as nnft

    start = time.perf_counter()
    nnft.measure_correlators(
        nnft.network("relu-net", width=100, input_dim=1),
        [0.2, 0.4, 0.6, 0.8, 1.0, 1.2],
        (2, 4),
        num_draws=blocks * BLOCK,
        key=jax.random.key(0),
        scheduler=scheduler,
    )
    return time.perf_counter() - start


def hold_to(core: int) -> None:
    """Run all threads of this process on one core, and those to come."""
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def loopback_bytes() -> int:
    """Bytes that this machine has sent to itself."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    fields = next(line.split() for line in lines if line.strip().startswith("lo:"))
    return int(fields[1])


def serve(rank: int, processes: int, port: int) -> None:
    """Be one process: for every number of blocks on stdin, measure and say how long."""
    import jax

    if processes > 1:
        jax.distributed.initialize(
            f"127.0.0.1:{port}", num_processes=processes, process_id=rank
        )
    for line in sys.stdin:
        print("seconds", measure(int(line)), flush=True)


@contextmanager
def joined(cores: Sequence[int]) -> Iterator[Callable[[int], float]]:
    """One process for each core: number of blocks -> seconds that all need."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, __file__, "--serve"]
    processes = [
        subprocess.Popen(
            # The core is set before Python starts a thread.
            ["taskset", "-c", str(core), *command, f"{rank},{len(cores)},{port}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank, core in enumerate(cores)
    ]

    def run(blocks: int) -> float:
        for process in processes:
            process.stdin.write(f"{blocks}\n")
            process.stdin.flush()
        seconds = []
        for process in processes:
            for line in process.stdout:
                if line.startswith("seconds"):  # Gloo has its say too
                    seconds.append(float(line.split()[1]))
                    break
        return max(seconds)

    try:
        yield run
    finally:
        for process in processes:  # they wait for each other at the end
            process.stdin.close()
        for process in processes:
            process.wait()


@contextmanager
def workers(cores: Sequence[int]) -> Iterator[Callable[[int], float]]:
    """One Dask worker for each core: number of blocks -> seconds."""
    from distributed import Client, LocalCluster

    with LocalCluster(
        n_workers=len(cores),
        threads_per_worker=1,
        dashboard_address=":0",
        memory_limit=0,
    ) as cluster:
        address = cluster.scheduler_address
        with Client(address, set_as_default=False) as client:
            known = client.scheduler_info(n_workers=-1)["workers"]
            for worker, core in zip(known, cores, strict=True):
                client.run(hold_to, core, workers=[worker])
        yield lambda blocks: measure(blocks, address)


def scaling(
    name: str,
    team: Callable[[Sequence[int]], AbstractContextManager[Callable[[int], float]]],
    cores: Sequence[int],
    blocks: int,
    repeats: int,
) -> None:
    """Print rates of one and of two, their ratio, and bytes per block."""
    with ExitStack() as stack:
        alone = stack.enter_context(team(cores[:1]))
        both = stack.enter_context(team(cores))
        for run in (alone, both):
            run(4)  # compiles
        rates, moved = [], []
        for _ in range(repeats):
            one = blocks * BLOCK / alone(blocks)
            before = loopback_bytes()
            two = 2 * blocks * BLOCK / both(2 * blocks)
            moved.append((loopback_bytes() - before) / (2 * blocks))
            rates.append((two / one, one, two))
    ratio = statistics.median(ratio for ratio, *_ in rates)
    for each, one, two in rates:
        print(f"{name:16} {one:12,.0f} {two:12,.0f} {each:6.2f}")
    print(
        f"{name:16} median {ratio:.2f}, target {TARGET}: "
        f"{'reached' if ratio >= TARGET else 'missed'}; "
        f"{statistics.median(moved):,.0f} bytes per block"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Print one line per turn and one summary per way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.serve is not None:
        serve(*map(int, arguments.serve.split(",")))
        return
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        parser.error("two cores are needed")
    print(f"{'':16} {'one, nets/s':>12} {'two, nets/s':>12} {'ratio':>6}")
    for name, team in (("jax.distributed", joined), ("Dask", workers)):
        scaling(name, team, cores, arguments.blocks, arguments.repeats)


if __name__ == "__main__":
    main()
