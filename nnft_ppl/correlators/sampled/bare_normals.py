"""Normal numbers and nothing else: the floor of what a sampled network costs.

As many lie side by side as networks of a chunk: few on the CPU, in a core's cache; so
many that an accelerator is filled by them, and their sums stay in its registers and
second-level cache. It goes on for long enough that starting a program takes no time to
speak of.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._compile import compiled
from nnft_ppl._typing import Key
from nnft_ppl.ensemble.device_sizes import DeviceSizes
from nnft_ppl.ensemble.generator import (
    Words,
    free_normal_pairs,
    normal_pairs,
)
from nnft_ppl.ensemble.generator_names import DEFAULT_GENERATOR, ROUNDS

ROWS = 4
"""Pairs of each lane in a step."""
_LEAST_SECONDS = 0.02
_MOST_STEPS = 1 << 20
_ROUNDS = ROUNDS[DEFAULT_GENERATOR]


def fused_normals(
    words: tuple[Words, Words], steps: int, sizes: DeviceSizes, low: int
) -> jax.Array:
    """Sum of `num_normals` numbers of the default generator.

    Args:
        words: From `stream_words`.
        steps: Of the loop; one program serves any number.
        sizes: Of the device.
        low: The first network's number; those of a chunk follow.
    """
    filled = _filled_wide if sizes.fuses else _filled
    return filled(words, np.uint32(steps), lanes=sizes.chunk, low=np.uint32(low))


def num_normals(steps: int, sizes: DeviceSizes) -> int:
    """How many `fused_normals` draws."""
    return 2 * ROWS * sizes.chunk * steps


def jax_normals(key: Key, steps: int, size: int) -> jax.Array:
    """Sum of size·steps numbers of `jax.random.normal`."""
    return _filled_by_jax(key, np.uint32(steps), size=size)


def steps_that_last(words: tuple[Words, Words], sizes: DeviceSizes) -> int:
    """Steps, a power of two, that take a fiftieth of a second or more.

    Args:
        words: From `stream_words`.
        sizes: Of the device.
    """
    steps = 1
    jax.block_until_ready(fused_normals(words, steps, sizes, 0))  # compiles
    while steps < _MOST_STEPS:
        begun = time.perf_counter()
        jax.block_until_ready(fused_normals(words, steps, sizes, 0))
        if time.perf_counter() - begun >= _LEAST_SECONDS:
            break
        steps *= 2
    return steps


def _fill(
    words: tuple[Words, Words], steps: Words, lanes: int, low: Words
) -> jax.Array:
    numbers = low + jnp.arange(lanes, dtype=jnp.uint32)[None]
    row = jnp.arange(ROWS, dtype=jnp.uint32)[:, None]

    def step(i: jax.Array, total: jax.Array) -> jax.Array:
        elements = i * np.uint32(ROWS) + row
        first, second = normal_pairs(words, numbers, elements, rounds=_ROUNDS)
        return total + first + second

    zeros = jnp.zeros((ROWS, lanes))
    total: jax.Array = jax.lax.fori_loop(jnp.uint32(0), steps, step, zeros)
    return total.sum()


def _fill_wide(
    words: tuple[Words, Words], steps: Words, lanes: int, low: Words
) -> jax.Array:
    numbers = low + jnp.arange(lanes, dtype=jnp.uint32)

    def step(i: jax.Array, total: jax.Array) -> jax.Array:
        for row in range(ROWS):  # one kernel, which keeps them in registers
            element = i * np.uint32(ROWS) + np.uint32(row)
            first, second = free_normal_pairs(words, numbers, element, rounds=_ROUNDS)
            total = total + first + second
        return total

    zeros = jnp.zeros(lanes)
    total: jax.Array = jax.lax.fori_loop(jnp.uint32(0), steps, step, zeros)
    return total.sum()


def _fill_by_jax(key: Key, steps: Words, size: int) -> jax.Array:
    def step(i: jax.Array, total: jax.Array) -> jax.Array:
        return total + jax.random.normal(jax.random.fold_in(key, i), (size,))

    total: jax.Array = jax.lax.fori_loop(jnp.uint32(0), steps, step, jnp.zeros(size))
    return total.sum()


_filled = compiled(_fill, ("lanes",))
_filled_wide = compiled(_fill_wide, ("lanes",))
_filled_by_jax = compiled(_fill_by_jax, ("size",))
