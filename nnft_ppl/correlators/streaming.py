"""Streaming means and their covariance over an ensemble that is never held.

In: a network, inputs and an estimator. Out: the mean over all networks of what the
estimator averages, and the covariance of that mean. Memory is one block, whatever the
number of networks; draws are float32, sums over blocks float64.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._compile import compiled
from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Matrix, Packed
from nnft_ppl.correlators.estimators import (
    Inputs,
    drawn_orders,
    entry_values,
    network_draws,
)
from nnft_ppl.correlators.symmetric import num_entries
from nnft_ppl.ensemble.blocks import (
    MAX_CHUNK,
    chunk_size,
    draws_per_block,
    run_blocks,
)
from nnft_ppl.ensemble.model import network_keys

type Sums = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]
"""Of values, of whole-batch means, of their outer products, 3rd and 4th powers."""

_ROUNDING = 1e-6
_TARGET_BATCHES = 1 << 14
"""Batch means enough that their covariance is good to about a per cent."""


@dataclass(frozen=True, eq=False)
class Mean:
    """A mean over networks with the covariance of its error.

    Attributes:
        value: (quantity,) float64.
        covariance: (quantity, quantity) float64, of `value`, not of one network.
        effective_batches: (quantity,) how many batch means the variance rests on,
            (Σ d²)²/Σ d⁴ of their deviations d: a third of them for light tails, a
            handful when a few networks dominate and the error cannot be trusted, zero
            when the values do not vary though they are not zero.
        num_batches: Batch means behind the covariance.
    """

    value: Packed
    covariance: Matrix
    effective_batches: Packed
    num_batches: int


def batch_size(num_draws: int, num_quantities: int) -> int:
    """Networks averaged before the outer product: a power of two, a chunk at most.

    Outer products are the cost of a full covariance, so networks are averaged first
    when enough batches remain: at least 2¹⁴ and eight times the number of quantities.
    """
    batches = max(_TARGET_BATCHES, 8 * num_quantities)
    size = 1
    while 2 * size <= MAX_CHUNK and num_draws // (2 * size) >= batches:
        size *= 2
    return size


def stream_mean(
    network: Network,
    inputs: Inputs,
    orders: tuple[int, ...],
    estimator: str,
    num_draws: int,
    *,
    key: Key,
    block_size: int | None,
    progress: bool,
    label: str,
) -> Mean:
    """Mean over networks 0 … num_draws−1 of `entry_values`, and its covariance.

    Two compiled programs: one draws a block and knows the network, the other takes
    products and sums and knows only shapes, so that it serves every width.

    Args:
        network: What is drawn.
        inputs: Where, and in which units.
        orders: Even orders from 2 up.
        estimator: One of `ESTIMATORS`.
        num_draws: Number of networks.
        key: The ensemble's key.
        block_size: See `sample_ensemble`.
        progress: Show a bar on a terminal.
        label: What the bar says.
    """
    num_legs = len(inputs.per_leg)
    num_quantities = sum(num_entries(num_legs, k) for k in orders)
    chunk = chunk_size(network, len(inputs.points))
    block = draws_per_block(num_draws, block_size, chunk, num_quantities)
    batch = batch_size(num_draws, num_quantities)
    drawn = drawn_orders(network, estimator, orders)

    def run(start: int) -> Sums:
        draws = _draw(
            key,
            inputs,
            jnp.uint32(start),
            network,
            estimator,
            drawn,
            chunk,
            block // chunk,
        )
        sums: Sums = _sum(
            draws,
            inputs.kernel,
            jnp.uint32(num_draws - start),
            num_legs,
            orders,
            estimator,
            batch,
        )
        return sums

    vector = (num_quantities,)
    shapes = (vector, vector, 2 * vector, vector, vector)
    total, batch_total, outer, cubes, fourth = sums = [np.zeros(s) for s in shapes]
    for part in run_blocks(run, num_draws, block, progress=progress, label=label):
        for accumulated, new in zip(sums, part, strict=True):
            accumulated += np.asarray(new, np.float64)
    num_batches = num_draws // batch
    centre = batch_total / num_batches
    scatter = outer - num_batches * np.outer(centre, centre)
    covariance = scatter / (num_batches - 1) * (batch / num_draws)
    return Mean(
        total / num_draws,
        0.5 * (covariance + covariance.T),
        _effective_batches(
            num_batches, centre, np.stack([np.diag(outer), cubes, fourth])
        ),
        num_batches,
    )


def _effective_batches(number: int, mean: Packed, powers: Matrix) -> Packed:
    """(Σ d²)²/Σ d⁴ with d the deviation from the mean, from sums of powers 2, 3, 4.

    Values that vary by less than rounding give 0, unless they are all zero (infinity):
    a sample that misses a heavy tail altogether looks constant.
    """
    second, third, fourth = powers
    scatter = second - number * mean**2
    with np.errstate(divide="ignore", invalid="ignore"):
        quartic = fourth - mean * (4 * third - 6 * mean * second)
        quartic = quartic - 3 * number * mean**4
        effective = scatter**2 / quartic
    varies = scatter > number * (_ROUNDING * mean) ** 2
    effective = np.clip(np.where(quartic > 0, effective, number), 0, number)
    # A fourth power beyond float32 is itself the mark of a few dominant networks.
    effective = np.where(np.isfinite(scatter + quartic), effective, 0.0)
    return np.where(varies, effective, np.where(mean == 0, np.inf, 0.0))


def _draw_block(
    key: Key,
    inputs: Inputs,
    start: jax.Array,
    network: Network,
    estimator: str,
    orders: tuple[int, ...],
    chunk: int,
    chunks: int,
) -> jax.Array:
    """Draws of networks start, start+1, …, shape (row, chunk·chunks)."""
    starts = start + chunk * jnp.arange(chunks, dtype=jnp.uint32)
    draws = jax.lax.map(
        lambda first: network_draws(
            network, estimator, orders, network_keys(key, first, chunk), inputs
        ),
        starts,
    )
    return jnp.moveaxis(draws, 0, 1).reshape(draws.shape[1], -1)


_draw = compiled(_draw_block, ("network", "estimator", "orders", "chunk", "chunks"))


def _sum_block(
    draws: jax.Array,
    kernel: jax.Array,
    count: jax.Array,
    num_legs: int,
    orders: tuple[int, ...],
    estimator: str,
    batch: int,
) -> Sums:
    """Sums over the first `count` networks of one block."""

    def step(sums: Sums, part: tuple[jax.Array, jax.Array]) -> tuple[Sums, None]:
        draws, number = part
        table = entry_values(draws, kernel, num_legs, orders, estimator)
        table = jnp.where(number < count, table, 0.0)
        means = table.reshape(len(table), -1, batch).mean(axis=2)
        # Only whole batches enter the covariance.
        means = jnp.where(number[batch - 1 :: batch] < count, means, 0.0)
        new = (
            table.sum(axis=1),
            means.sum(axis=1),
            jnp.matmul(means, means.T, precision=jax.lax.Precision.HIGHEST),
            jnp.sum(means**3, axis=1),
            jnp.sum(means**4, axis=1),
        )
        return jax.tree.map(jnp.add, sums, new), None

    size = sum(num_entries(num_legs, k) for k in orders)
    zeros = (
        jnp.zeros(size),
        jnp.zeros(size),
        jnp.zeros((size, size)),
        jnp.zeros(size),
        jnp.zeros(size),
    )
    parts = draws.reshape(len(draws), -1, MAX_CHUNK).swapaxes(0, 1)
    numbers = jnp.arange(draws.shape[1], dtype=jnp.uint32).reshape(-1, MAX_CHUNK)
    return jax.lax.scan(step, zeros, (parts, numbers))[0]


_sum = compiled(_sum_block, ("num_legs", "orders", "estimator", "batch"))
