"""Peak memory of a measurement, which must not grow with the number of networks.

    python benchmarks/memory.py [--num-draws 100000 100000000]

Each size runs in a process of its own; the peak is that process's largest resident set.
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor


def peak(num_draws: int) -> tuple[float, float]:
    """(peak resident memory in MB, seconds) of one measurement at width 20."""
    import jax

    import nnft_ppl as nnft

    net = nnft.network("relu-net", width=20, input_dim=1)
    start = time.perf_counter()
    nnft.measure_correlators(
        net,
        [0.2, 0.4, 0.6, 0.8, 1.0, 1.2],
        (2, 4, 6),
        num_draws=num_draws,
        key=jax.random.key(0),
    )
    elapsed = time.perf_counter() - start
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, elapsed


def main(argv: Sequence[str] | None = None) -> None:
    """Print one line per size, and the ratio to the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-draws", type=int, nargs="+", default=[10**5, 10**8])
    arguments = parser.parse_args(argv)
    first = None
    for num_draws in arguments.num_draws:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            megabytes, elapsed = pool.submit(peak, num_draws).result()
        first = first or megabytes
        print(
            f"{num_draws:12,d} networks: peak {megabytes:6.0f} MB "
            f"({megabytes / first:.2f} of the first), {elapsed:.1f} s"
        )


if __name__ == "__main__":
    main()
