"""What many networks give, drawn and worked on chunk by chunk on every device.

In: a function of a chunk of networks. Out: its results, block by block, in order.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import ArrayLike

from nnft_ppl._network import Network
from nnft_ppl._typing import Key
from nnft_ppl.ensemble.blocks import (
    device_mesh,
    in_chunks,
    on_each_device,
    power_of_two_below,
    stack_streams,
)
from nnft_ppl.ensemble.device_sizes import DeviceSizes, sizes_of
from nnft_ppl.ensemble.local import run_locally
from nnft_ppl.ensemble.model import Stream, numbers_per_network

type Program = Callable[[Stream, np.ndarray, np.ndarray, Mesh, int, int], jax.Array]
"""Streams, first networks, chunks wanted, devices, networks in a chunk, most chunks ->
(device, chunk, …, network)."""

_CHUNK_SHARE = 1 << 5
"""Of the numbers of a device's chunk: there are gradients and steps beside them. On a
core they are 64 kB, which stay in the cache from step to step."""
_BLOCK_WORK = 1 << 31
"""Products in a block: a second or so of one core."""
_BLOCK_DRAWS, _FEW_BLOCKS = 1 << 12, 1 << 3


def chunk_of(network: Network, num_points: int, sizes: DeviceSizes) -> int:
    """Networks that are trained side by side: a matter of network and inputs alone."""
    numbers = numbers_per_network(network)
    units = -(-numbers // (1 + network.hyperparameters.input_dim))
    most = sizes.chunk_numbers / _CHUNK_SHARE / max(numbers, units * num_points)
    return min(sizes.chunk, power_of_two_below(most))


def over_chunks(
    function: Callable[[Stream, jax.Array], jax.Array],
    streams: Stream,
    starts: ArrayLike,
    chunks: ArrayLike,
    mesh: Mesh,
    chunk: int,
    max_chunks: int,
) -> jax.Array:
    """function(stream, numbers of a chunk of networks), (device, chunk, …, network)."""

    def local(stream: Stream, start: jax.Array, chunks: jax.Array) -> jax.Array:
        def one(first: jax.Array) -> jax.Array:
            numbers = first + jax.numpy.arange(chunk, dtype=jax.numpy.uint32)
            with jax.default_matmul_precision("highest"):
                return function(stream, numbers)

        return in_chunks(one, start, chunks, chunk, max_chunks)

    return on_each_device(local, mesh, streams, starts, chunks)


def block_of(
    network: Network,
    num_points: int,
    work: float,
    num_draws: int,
    devices: tuple[jax.Device, ...],
) -> int:
    """Networks in a block.

    Args:
        network: What is drawn.
        num_points: Inputs that it is evaluated at together.
        work: Evaluations of one network at all these inputs, roughly.
        num_draws: Networks in all.
        devices: Each takes a block at a time.
    """
    chunk = chunk_of(network, num_points, sizes_of(devices[0]))
    each = work * num_points * numbers_per_network(network)
    wanted = min(_BLOCK_WORK / each, num_draws / _FEW_BLOCKS, _BLOCK_DRAWS)
    # Of one chunk alone the compiler would make another program.
    return max(2 * chunk, power_of_two_below(wanted))


def network_blocks(
    program: Program,
    network: Network,
    num_points: int,
    starts: range,
    *,
    key: Key,
    devices: tuple[jax.Device, ...],
) -> Generator[np.ndarray, None, None]:
    """(network, …) of all networks, a block at a time.

    Args:
        program: From `over_chunks`, compiled.
        network: What is drawn.
        num_points: Inputs that it is evaluated at together.
        starts: First networks of blocks, a step of `block_of` apart, and where all end.
        key: Network j is a function of (key, j).
        devices: Each takes a block at a time.
    """
    chunk = chunk_of(network, num_points, sizes_of(devices[0]))
    block, num_draws = starts.step, starts.stop

    def run(starts: Sequence[int], devices: tuple[jax.Device, ...]) -> list[np.ndarray]:
        # A device without networks of its own has none to draw.
        padded = [*starts, *[num_draws] * (len(devices) - len(starts))]
        streams, lows = stack_streams(key, padded)
        left = [min(block, num_draws - start) for start in padded]
        chunks = np.array([-(-count // chunk) for count in left], np.uint32)
        mesh = device_mesh(devices)
        found = program(streams, lows, chunks, mesh, chunk, block // chunk)
        first = np.moveaxis(np.asarray(found), -1, 2)
        parts = first.reshape(len(padded), block, *first.shape[3:])
        return [part[:count] for part, count in zip(parts, left, strict=True)][
            : len(starts)
        ]

    with closing(run_locally(run, starts, devices)) as blocks:
        yield from blocks
