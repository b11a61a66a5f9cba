"""How much work a kind of device is given at a time: one table for each.

A core runs one loop, whose arrays should stay in its cache. An accelerator runs each
trip of a loop as a launch of its own, which is worth it where very many networks stand
side by side; its memory is the limit. Everything else is the same code.
"""

from dataclasses import dataclass

import jax

_UNKNOWN_MEMORY = 1 << 33
"""Bytes of an accelerator that does not tell: 8 GiB, of a small one."""


@dataclass(frozen=True)
class DeviceSizes:
    """Sizes of the work on one kind of device; all are powers of two but `rounds`.

    What is drawn does not depend on them beyond the rounding of float32.

    Attributes:
        chunk: Networks side by side in one compiled loop body, at most.
        chunk_numbers: Numbers in a chunk's largest array, at most.
        chunk_normals: Normal numbers drawn for a chunk, at most.
        group: Networks whose products are averaged in float32 before anything is summed
            in float64, at most, and the fewest that a block or piece has room for.
        product_numbers: Numbers in products taken together, at most.
        fused_rows: Sums over units that one kernel carries, at most, so that it draws,
            activates and adds without writing any of it; 0 where a compiler makes
            a loop of every array.
        steps: Counters of a unit in one trip of that loop; each gives two units.
        block_draws: Networks in a block, unless there are very many.
        few_blocks: With fewer, blocks are smaller, so that all devices are busy to the
            end.
        many_blocks: Beyond so many they are larger: each costs a message and a sum of
            its own.
        least_normals: Numbers drawn in a block, at least: fewer would not be worth its
            sums.
        most_normals: At most: more would leave too much undone when a run ends.
        most_normals_of_many: The same of a run that takes hours.
        piece_bytes: Memory of a piece where none is asked for.
        slice_numbers: Means of batches held in float64, at most.
        rounds: Rounds of blocks that run at a time; `None`: as many as keep all cores
            busy.
        sums_in_place: Outer products and sums are taken on the device, in float64, so
            that nothing but these leaves it.
    """

    chunk: int
    chunk_numbers: int
    chunk_normals: int
    group: int
    product_numbers: int
    fused_rows: int
    steps: int
    block_draws: int
    few_blocks: int
    many_blocks: int
    least_normals: int
    most_normals: int
    most_normals_of_many: int
    piece_bytes: int
    slice_numbers: int
    rounds: int | None
    sums_in_place: bool

    @property
    def fuses(self) -> bool:
        """Whether a compiler makes one kernel of several arrays."""
        return self.fused_rows > 0


CPU = DeviceSizes(
    chunk=1 << 9,
    chunk_numbers=1 << 19,  # 2 MiB, about a core's cache
    chunk_normals=1 << 62,  # no matter
    group=1 << 9,
    product_numbers=1 << 62,
    fused_rows=0,
    steps=1,
    block_draws=1 << 17,
    few_blocks=1 << 5,
    many_blocks=1 << 13,
    least_normals=1 << 23,  # some milliseconds
    most_normals=1 << 28,  # a second
    most_normals_of_many=1 << 32,
    piece_bytes=1 << 26,
    slice_numbers=1 << 21,  # 16 MiB
    rounds=None,
    sums_in_place=False,
)


def accelerator_sizes(memory: int, *, float64: bool) -> DeviceSizes:
    """Sizes for a device that runs each trip of a loop as a launch of its own.

    Chunk and steps are those that were fastest on one NVIDIA H200: 2²⁰ networks, and
    four units a trip. XLA gives a kernel for a GPU 96 arrays at most, here each sum
    before and after.

    Args:
        memory: Bytes that it has.
        float64: Whether it computes in float64.
    """
    unit = 1 << (memory.bit_length() - 1)
    return DeviceSizes(
        chunk=1 << 20,
        # A 64th: there are several, and their random numbers, of two rounds.
        chunk_numbers=max(unit >> 8, 1 << 19),
        chunk_normals=1 << 32,  # some 20 ms
        group=1 << 9,
        product_numbers=max(unit >> 7, 1 << 19),
        fused_rows=40,
        steps=2,
        block_draws=1 << 24,
        few_blocks=1 << 2,
        many_blocks=1 << 10,
        least_normals=1 << 30,  # some milliseconds
        most_normals=1 << 36,  # less than a second
        most_normals_of_many=1 << 40,
        piece_bytes=max(unit >> 5, 1 << 26),
        slice_numbers=max(unit >> 9, 1 << 21),
        rounds=2,  # the next is prepared while one runs
        sums_in_place=float64,
    )


def sizes_of(device: jax.Device) -> DeviceSizes:
    """The sizes for a device, by its kind and memory."""
    if device.platform == "cpu":
        return CPU
    told = device.memory_stats() or {}
    memory = told.get("bytes_limit", _UNKNOWN_MEMORY)
    return accelerator_sizes(memory, float64=device.platform in ("gpu", "cuda", "rocm"))
