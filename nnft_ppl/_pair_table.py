"""Tables of a function over all pairs of inputs, within bounded memory.

In: a function of one pair of inputs. Out: its table over two sets of inputs, float64.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Wrapped

from nnft_ppl._arrays import returned_numbers
from nnft_ppl._typing import Matrix, Points

_PAIRS_AT_ONCE = 1 << 18
"""Pairs of inputs in one call of a compiled kernel: some 100 MB with quadrature."""
_BLOCK_BYTES = 1 << 30
"""Working memory of such a call, beyond which the pairs are fewer."""


def all_pairs(
    function: Callable[[jax.Array, jax.Array], jax.Array],
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """What depends on one input alone is computed once for it: vmap hoists it."""

    def row(a: jax.Array, columns: jax.Array) -> jax.Array:
        return jax.vmap(lambda b: function(a, b))(columns)

    return jax.vmap(row, in_axes=(0, None))


def pair_table(
    rows_by_columns: Wrapped, rows: Points, columns: Points, what: str
) -> Matrix:
    """The table over all pairs in float64, a block of them at a time to bound memory.

    Args:
        rows_by_columns: A compiled function of two sets of inputs.
        rows: One set.
        columns: The other.
        what: What the function is, for messages.

    Raises:
        PluginError: It does not give one real number for a pair.
    """
    with jax.enable_x64(True):
        step = max(1, min(len(rows), _PAIRS_AT_ONCE // len(columns)))
        # What a pair needs differs by orders of magnitude between architectures. The
        # program is compiled once: the calls below find it again.
        program = rows_by_columns.lower(jnp.asarray(rows[:step]), jnp.asarray(columns))
        memory = program.compile().memory_analysis()
        excess = 0.0 if memory is None else memory.temp_size_in_bytes / _BLOCK_BYTES
    if excess > step and len(columns) > 1:  # a single row is too much
        pieces = min(len(columns), math.ceil(excess / step))
        parts = np.array_split(columns, pieces)
        tables = [pair_table(rows_by_columns, rows, part, what) for part in parts]
        return np.hstack(tables)
    if excess > 1:
        step = max(1, int(step / excess))
    values = np.empty((len(rows), len(columns)))
    with jax.enable_x64(True):
        there = jnp.asarray(columns)
        for start in range(0, len(rows), step):
            # The last rows again rather than another shape, which would be compiled.
            first = max(0, min(start, len(rows) - step))
            part = rows_by_columns(jnp.asarray(rows[first : first + step]), there)
            shape = (step, len(columns))
            values[first : first + step] = returned_numbers(what, part, shape)
    return values
