"""Running an ensemble in blocks: fixed memory, every core busy, results in order.

A *chunk* is the fixed number of networks that one compiled loop body treats; it depends
on the network and inputs alone, so that network j comes out the same to the bit
whatever the block size. A *block* is a whole number of chunks, dispatched together.
"""

import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from numbers import Integral

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, jaxprs_in_params
from tqdm import tqdm

from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key
from nnft_ppl.ensemble.model import sample_prior

_CHUNK_FLOATS = 1 << 21
"""Numbers in a chunk's largest array: 8 MiB in float32, about a core's cache."""
MAX_CHUNK = 512
"""Every chunk is this over a power of two, so that it divides every block."""
_BLOCK_DRAWS = 1 << 14
_BLOCK_CHUNKS = 128
"""Chunks in a block: enough that starting it costs nothing, few enough that small
ensembles of large networks keep every core busy and the bar moves."""
_BLOCK_FLOATS = 1 << 25
"""Numbers a block may hand on: 128 MiB."""


@lru_cache(maxsize=64)
def chunk_size(network: Network, num_points: int) -> int:
    """Networks per chunk: a power of two that keeps the largest array in cache.

    That array may be a layer's activations, which grow with the inputs, or its weights,
    which do not; a program without data tells which.
    """

    def one(key: Key, points: jax.Array) -> jax.Array:
        return network.apply(sample_prior(network, key), points)

    points = jax.ShapeDtypeStruct(
        (num_points, network.hyperparameters.input_dim), jnp.float32
    )
    with jax.enable_x64(False):
        program = jax.make_jaxpr(one)(jax.random.key(0), points)
    per_network = _largest_array(program.jaxpr)
    size = MAX_CHUNK
    while size > 1 and size * per_network > _CHUNK_FLOATS:
        size //= 2
    return size


def _largest_array(program: Jaxpr) -> int:
    """Most numbers in one array that a program makes, those inside its calls too."""
    largest = 1
    for equation in program.eqns:
        for made in equation.outvars:
            shape: tuple[int, ...] = getattr(made.aval, "shape", ())
            largest = max(largest, math.prod(shape))
        for inner in jaxprs_in_params(equation.params):
            largest = max(largest, _largest_array(inner))
    return largest


def check_block_size(block_size: int | None) -> None:
    """Raise SpecError unless it is `None` or a whole number ≥ 1."""
    if block_size is not None and (
        not isinstance(block_size, Integral)
        or isinstance(block_size, bool)
        or block_size < 1
    ):
        raise SpecError(f"`block_size` is {block_size!r}; expected a whole number ≥ 1")


def draws_per_block(
    num_draws: int, block_size: int | None, chunk: int, numbers_per_draw: int
) -> int:
    """Networks in a block: about `block_size`, whole numbers of the largest chunk.

    Args:
        num_draws: Networks in all.
        block_size: As asked for, or `None` for a good size.
        chunk: Networks per chunk.
        numbers_per_draw: What a block hands on, for each network.
    """
    if block_size is None:
        block_size = min(
            _BLOCK_DRAWS, _BLOCK_CHUNKS * chunk, _BLOCK_FLOATS // numbers_per_draw
        )
    draws = min(block_size, num_draws)
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
