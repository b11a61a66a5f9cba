"""Sizes of the work: chunks, pieces and blocks, and a chunk's loop on every device.

A *chunk* is the fixed number of networks that one compiled loop body treats; it depends
on the network, the inputs and the kind of device alone, so that network j comes out the
same to the bit however the work is cut. A *piece* is a whole number of chunks,
dispatched together: it takes memory. A *block* is the unit that is summed, saved and
sent to other hosts. All are powers of two; `device_sizes.py` says how large.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr, jaxprs_in_params
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as Spec
from jaxtyping import ArrayLike

from nnft_ppl._arguments import check_whole, is_whole
from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Key
from nnft_ppl.ensemble.device_sizes import DeviceSizes
from nnft_ppl.ensemble.local import max_in_flight
from nnft_ppl.ensemble.model import Stream, numbers_per_network, sample_prior, stream_at


@lru_cache(maxsize=64)
def chunk_size(network: Network, num_points: int, sizes: DeviceSizes) -> int:
    """Networks per chunk: a power of two that keeps the largest array small enough.

    That array may be a layer's activations, which grow with the inputs, or its weights,
    which do not; a program without data tells which.
    """

    def one(key: Key, points: jax.Array) -> jax.Array:
        return network.apply(sample_prior(network, key), points)

    points = jax.ShapeDtypeStruct(
        (num_points, network.hyperparameters.input_dim), jnp.float32
    )
    with jax.enable_x64(False):
        program = jax.make_jaxpr(one)(seed_key(0), points)
    per_network = _largest_array(program.jaxpr)
    numbers = numbers_per_network(network)
    most = min(sizes.chunk_numbers / per_network, sizes.chunk_normals / numbers)
    return min(sizes.chunk, power_of_two_below(most))


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


def power_of_two_below(number: float) -> int:
    """The largest power of two that is not above `number`, at least 1."""
    return 1 << max(0, int(math.log2(max(number, 1))))


def check_block_size(block_size: int | None) -> None:
    """Raise SpecError unless it is `None` or a whole number ≥ 1."""
    if block_size is not None:
        check_whole("block_size", block_size)


def check_memory(memory: int | None, block_size: int | None) -> int | None:
    """Bytes for pieces in flight, or SpecError."""
    if memory is None:
        return None
    if not is_whole(memory) or memory < 1 << 20:
        raise SpecError(f"`memory` is {memory!r}; expected bytes, {1 << 20} or more")
    if block_size is not None:
        raise SpecError("`memory` and `block_size` are both given; expected one")
    return int(memory)


def draws_per_block(num_draws: int, numbers_per_draw: int, sizes: DeviceSizes) -> int:
    """Networks in a block.

    Args:
        num_draws: Networks in all.
        numbers_per_draw: Random numbers that one takes.
        sizes: Of the device.
    """
    least, most, most_of_many = (
        power_of_two_below(numbers / numbers_per_draw)
        for numbers in (
            sizes.least_normals,
            sizes.most_normals,
            sizes.most_normals_of_many,
        )
    )
    few = power_of_two_below(num_draws / sizes.few_blocks)
    many = power_of_two_below(num_draws / sizes.many_blocks)
    wanted = min(sizes.block_draws, max(few, least), most)
    return max(sizes.group, wanted, min(many, most_of_many))


def draws_per_dispatch(numbers_per_draw: int, sizes: DeviceSizes) -> int:
    """Networks that one program draws: a second's worth of large ones.

    Args:
        numbers_per_draw: Random numbers that one takes.
        sizes: Of the device.
    """
    return power_of_two_below(sizes.most_normals / numbers_per_draw)


def draws_per_piece(
    num_draws: int,
    block: int,
    block_size: int | None,
    memory: int | None,
    bytes_per_draw: float,
    fewest: int,
    sizes: DeviceSizes,
) -> int:
    """Networks dispatched together, a power of two; a block at most, or the fewest.

    Args:
        num_draws: Networks in all.
        block: From `draws_per_block`.
        block_size: As asked for, rounded to a power of two, or `None`.
        memory: Bytes that pieces in flight may take, or `None` for a good size.
        bytes_per_draw: What a network takes while its piece is in flight.
        fewest: Networks that must be together.
        sizes: Of the device.
    """
    if block_size is None:
        share = sizes.piece_bytes if memory is None else memory / max_in_flight(1)
        block_size = power_of_two_below(share / bytes_per_draw)
    enough = 1 << (min(num_draws, int(block_size)) - 1).bit_length()
    return max(fewest, min(enough, block))


def in_chunks(
    chunk_of: Callable[[jax.Array], jax.Array],
    start: jax.Array,
    chunks: jax.Array,
    chunk: int,
    max_chunks: int,
) -> jax.Array:
    """chunk_of(start), chunk_of(start + chunk), …, stacked along a first axis.

    Not joined along the axis of networks: rows of a piece lie a power of two apart,
    where a cache has few places for them.

    The trip count is data. One known to the compiler would let it fuse a loop of one
    trip in another way, and the last bits would depend on how the work is cut.

    Args:
        chunk_of: First network's number -> (...).
        start: First network's number, uint32.
        chunks: How many are wanted, uint32; the rest is zero.
        chunk: Networks in each.
        max_chunks: How many there is room for.
    """
    shape = jax.eval_shape(chunk_of, start)
    empty = jnp.zeros((max_chunks, *shape.shape), shape.dtype)

    def step(i: jax.Array, stacked: jax.Array) -> jax.Array:
        # Where there is room for one chunk alone, no slice is updated, and the compiler
        # would fuse what makes the chunk in yet another way.
        part = jax.lax.optimization_barrier(chunk_of(start + chunk * i))
        return stacked.at[i].set(part)

    filled: jax.Array = jax.lax.fori_loop(jnp.uint32(0), chunks, step, empty)
    return filled


def device_mesh(devices: Sequence[jax.Device]) -> Mesh:
    """The devices in a row."""
    return Mesh(np.array(devices), ("device",), axis_types=(AxisType.Auto,))


def on_each_device(
    local: Callable[..., jax.Array], mesh: Mesh, streams: Stream, *arguments: ArrayLike
) -> jax.Array:
    """local(stream, its argument …) on every device, stacked along a first axis.

    Args:
        local: Of one stream and one of each of the arguments.
        mesh: From `device_mesh`.
        streams: From `stack_streams`, one for each device.
        arguments: With a first axis of the devices.
    """

    def one(streams: Stream, *arguments: jax.Array) -> jax.Array:
        words = streams.words[0][0], streams.words[1][0]
        key = jax.random.wrap_key_data(streams.key[0], impl="threefry2x32")
        stream = Stream(words, key)
        return local(stream, *(a[0] for a in arguments))[None]

    many: jax.Array = jax.shard_map(
        one,
        mesh=mesh,
        in_specs=Spec("device"),
        out_specs=Spec("device"),
        check_vma=False,
    )(streams, *map(jnp.asarray, arguments))
    return many


def stack_streams(key: Key, starts: Sequence[int]) -> tuple[Stream, np.ndarray]:
    """Streams that hold the networks `starts`, stacked, and their numbers there."""
    found = [stream_at(key, start) for start in starts]
    words = np.array([stream.words for stream, _ in found], np.uint32)
    keys = np.stack([np.asarray(jax.random.key_data(s.key)) for s, _ in found])
    stream = Stream((words[:, 0], words[:, 1]), jnp.asarray(keys))
    return stream, np.array([low for _, low in found])
