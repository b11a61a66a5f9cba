"""Streaming means and their covariance over an ensemble that is never held.

In: a function from one chunk of keys to per-network values. Out: their mean over all
networks and the covariance of that mean. Memory is one block, whatever the number of
networks; draws are float32, sums over blocks float64.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._typing import Key, Matrix, Packed
from nnft_ppl.ensemble.blocks import chunks_per_block, run_blocks
from nnft_ppl.ensemble.model import network_keys

type Sums = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
"""Of values, of whole-batch means, of their outer products and fourth powers."""

_TARGET_BATCHES = 1 << 14
"""Batch means enough that their covariance is good to about a per cent."""


@dataclass(frozen=True, eq=False)
class Mean:
    """A mean over networks with the covariance of its error.

    Attributes:
        value: (quantity,) float64.
        covariance: (quantity, quantity) float64, of `value`, not of one network.
        effective_batches: (quantity,) how many batch means the variance rests on,
            (Σ v²)²/Σ v⁴: a third of them for light tails, a handful when a few
            networks dominate and the error cannot be trusted.
    """

    value: Packed
    covariance: Matrix
    effective_batches: Packed


def batch_size(num_draws: int, num_quantities: int, chunk: int) -> int:
    """Networks averaged before the outer product: a power of two dividing `chunk`.

    Outer products are the cost of a full covariance, so networks are averaged first
    when enough batches remain: at least 2¹⁴ and eight times the number of quantities.
    """
    batches = max(_TARGET_BATCHES, 8 * num_quantities)
    size = 1
    while 2 * size <= chunk and num_draws // (2 * size) >= batches:
        size *= 2
    return size


def stream_mean[T](
    values: Callable[[Key, T], jax.Array],
    inputs: T,
    num_quantities: int,
    chunk: int,
    num_draws: int,
    *,
    key: Key,
    block_size: int | None,
    progress: bool,
    label: str,
) -> Mean:
    """Mean over networks 0 … num_draws−1 of `values`, and its covariance.

    Args:
        values: Keys of a chunk of networks, `inputs` -> (quantity, network) float32, of
            order one, and centred where the mean is far above the spread. Hashable:
            equal ones share one compiled program.
        inputs: Arrays passed through to `values`.
        num_quantities: Number of quantities.
        chunk: Networks per compiled loop body, from `chunk_size`.
        num_draws: Number of networks.
        key: The ensemble's key.
        block_size: See `sample_ensemble`.
        progress: Show a bar on a terminal.
        label: What the bar says.
    """
    chunks = chunks_per_block(chunk, min(block_size or num_draws, num_draws))
    chunks = min(chunks, chunks_per_block(chunk, block_size))
    batch = batch_size(num_draws, num_quantities, chunk)

    def block(start: int) -> Sums:
        sums: Sums = _block_sums(
            key,
            inputs,
            np.uint32(start),
            np.uint32(num_draws - 1),
            values,
            num_quantities,
            chunk,
            chunks,
            batch,
        )
        return sums

    total, batch_total, outer, fourth = (
        np.zeros(shape)
        for shape in (
            num_quantities,
            num_quantities,
            (num_quantities,) * 2,
            num_quantities,
        )
    )
    sums = (total, batch_total, outer, fourth)
    for part in run_blocks(
        block, num_draws, chunk * chunks, progress=progress, label=label
    ):
        for accumulated, new in zip(sums, part, strict=True):
            accumulated += np.asarray(new, np.float64)
    num_batches = num_draws // batch
    centre = batch_total / num_batches
    scatter = outer - num_batches * np.outer(centre, centre)
    covariance = scatter / (num_batches - 1) * (batch / num_draws)
    return Mean(
        total / num_draws,
        0.5 * (covariance + covariance.T),
        np.diag(outer) ** 2 / np.maximum(fourth, np.finfo(float).tiny),
    )


@partial(
    jax.jit, static_argnames=("values", "num_quantities", "chunk", "chunks", "batch")
)
def _block_sums(
    key: Key,
    inputs: Any,
    start: jax.Array,
    final: jax.Array,
    values: Callable[[Key, Any], jax.Array],
    num_quantities: int,
    chunk: int,
    chunks: int,
    batch: int,
) -> Sums:
    """Sums over the networks start … of one block, none beyond number `final`."""

    def step(sums: Sums, first: jax.Array) -> tuple[Sums, None]:
        table = values(network_keys(key, first, chunk), inputs)
        number = first + jnp.arange(chunk, dtype=jnp.uint32)
        table = jnp.where(number <= final, table, 0.0)
        means = table.reshape(num_quantities, chunk // batch, batch).mean(axis=2)
        # Only whole batches enter the covariance.
        means = jnp.where(number[batch - 1 :: batch] <= final, means, 0.0)
        new = (
            table.sum(axis=1),
            means.sum(axis=1),
            jnp.matmul(means, means.T, precision=jax.lax.Precision.HIGHEST),
            jnp.sum(means**4, axis=1),
        )
        return jax.tree.map(jnp.add, sums, new), None

    zeros = (
        jnp.zeros(num_quantities),
        jnp.zeros(num_quantities),
        jnp.zeros((num_quantities, num_quantities)),
        jnp.zeros(num_quantities),
    )
    starts = start + chunk * jnp.arange(chunks, dtype=jnp.uint32)
    return jax.lax.scan(step, zeros, starts)[0]
