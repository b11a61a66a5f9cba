"""Sums of products of draws over all of them, a block at a time, in float64."""

from collections.abc import Iterator
from math import prod

import numpy as np
from jaxtyping import Float

from nnft_ppl.correlators.drawn.units import Units
from nnft_ppl.correlators.drawn.values import Values
from nnft_ppl.correlators.sampled.sums import Sums
from nnft_ppl.correlators.symmetric import entries, num_entries, positions

_NUMBERS = 1 << 22
"""Products in a block: 32 MB."""


def block_size(num_quantities: int) -> int:
    """Draws of a block: a power of two that depends on the number of products alone."""
    fits = max(1, _NUMBERS // num_quantities)
    return min(1 << 14, max(1 << 8, 1 << (fits.bit_length() - 1)))


def products(
    field: Float[np.ndarray, "leg draw"], orders: tuple[int, ...]
) -> Float[np.ndarray, "quantity draw"]:
    """f_1 … f_k of every draw, packed, all orders concatenated."""
    num_legs, count = field.shape
    total = np.empty((sum(num_entries(num_legs, k) for k in orders), count))
    lower, start = field, 0
    for order in range(1, max(orders) + 1):
        if order > 1:
            table = entries(num_legs, order)
            lower = lower[positions(num_legs, table[:, :-1])] * field[table[:, -1]]
        if order in orders:
            total[start : start + len(lower)] = lower
            start += len(lower)
    return total


def standard_blocks(
    values: Values, units: Units, size: int
) -> Iterator[tuple[int, Float[np.ndarray, "leg draw"]]]:
    """Chain and draws in units, block by block."""
    for chain in range(values.num_chains):
        for block in values.blocks(chain, size):
            yield chain, units.of(block)


def sum_products(
    values: Values, units: Units, orders: tuple[int, ...], batch: int
) -> Sums:
    """Sums of all products, and of means over batches, none of which is of two chains.

    Args:
        values: The draws.
        units: Theirs.
        orders: Of the products.
        batch: Draws in a batch: a power of two, no larger than a block.
    """
    num_legs = len(units.scale)
    num_quantities = sum(num_entries(num_legs, k) for k in orders)
    size = block_size(num_quantities)
    total = Sums.zero(num_quantities)
    for _, field in standard_blocks(values, units, size):
        count = field.shape[1]
        filled = np.pad(products(field, orders), ((0, 0), (0, -count % batch)))
        means = filled.reshape(num_quantities, -1, batch).mean(axis=2)
        total = total.plus(Sums.of_slice(means[None], count, batch, batch, None))
    return total


def entry_units(units: Units, orders: tuple[int, ...]) -> Float[np.ndarray, " entry"]:
    """What an entry in units is multiplied by, all orders concatenated."""
    legs = len(units.scale)
    return np.concatenate(
        [prod(units.scale[column] for column in entries(legs, k).T) for k in orders]
    )
