"""Running an ensemble in blocks: fixed memory, every core busy, results in order.

A *chunk* is the fixed number of networks that one compiled loop body treats; it depends
on the network and inputs alone, so that network j comes out the same to the bit
whatever the block size. A *block* is a whole number of chunks, dispatched together.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from numbers import Integral

import jax
from tqdm import tqdm

from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network

_CHUNK_FLOATS = 1 << 21
"""Hidden activations a chunk may hold: 8 MiB in float32, about a core's cache."""
MAX_CHUNK = 512
"""Every chunk is this over a power of two, so that it divides every block."""
_BLOCK_DRAWS = 1 << 14


def chunk_size(network: Network, num_points: int) -> int:
    """Networks per chunk: a power of two that keeps the hidden layer in cache."""
    per_network = network.width * max(num_points, network.hyperparameters.input_dim)
    size = MAX_CHUNK
    while size > 1 and size * per_network > _CHUNK_FLOATS:
        size //= 2
    return size


def check_block_size(block_size: int | None) -> None:
    """Raise SpecError unless it is `None` or a whole number ≥ 1."""
    if block_size is not None and (
        not isinstance(block_size, Integral)
        or isinstance(block_size, bool)
        or block_size < 1
    ):
        raise SpecError(f"`block_size` is {block_size!r}; expected a whole number ≥ 1")


def draws_per_block(num_draws: int, block_size: int | None) -> int:
    """Networks in a block: about `block_size`, whole numbers of the largest chunk."""
    draws = min(_BLOCK_DRAWS if block_size is None else block_size, num_draws)
    return MAX_CHUNK * max(1, -(-draws // MAX_CHUNK))


def run_blocks[T](
    block: Callable[[int], T],
    num_draws: int,
    draws_per_block: int,
    *,
    progress: bool,
    label: str,
) -> Iterator[T]:
    """Yield block(start) for start = 0, B, 2B, … in order, a few in flight at a time.

    Args:
        block: First network's number -> result; run in float32 mode.
        num_draws: Number of networks; the last block may reach past it.
        draws_per_block: B.
        progress: Show a bar on a terminal.
        label: What the bar says.
    """

    def run(start: int) -> T:
        # The precision switch is per thread, so it is set where the work is done.
        with jax.enable_x64(False):
            result: T = jax.block_until_ready(block(start))
            return result

    workers = os.cpu_count() or 1
    bar = tqdm(
        total=num_draws,
        desc=label,
        unit="net",
        unit_scale=True,
        disable=None if progress else True,
        leave=False,
    )
    with ThreadPoolExecutor(workers) as pool, bar:
        waiting: deque[Future[T]] = deque()
        for start in range(0, num_draws, draws_per_block):
            waiting.append(pool.submit(run, start))
            if start == 0 or len(waiting) > workers:
                # The first block compiles; the others wait for it.
                yield waiting.popleft().result()
                bar.update(min(draws_per_block, num_draws - bar.n))
        while waiting:
            yield waiting.popleft().result()
            bar.update(min(draws_per_block, num_draws - bar.n))
