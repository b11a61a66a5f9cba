"""Streaming means and their covariance over an ensemble that is never held.

In: a function from one chunk of keys to per-network values. Out: their mean over all
networks and the covariance of that mean. Memory is one block, whatever the number of
networks; draws are float32, sums over blocks float64.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Matrix, Packed
from nnft_ppl.ensemble.blocks import chunk_size, chunks_per_block, run_blocks
from nnft_ppl.ensemble.model import network_keys

_TARGET_BATCHES = 1 << 14
"""Batch means enough that their covariance is good to about a per cent."""


@dataclass(frozen=True, eq=False)
class Mean:
    """A mean over networks with the covariance of its error.

    Attributes:
        value: (quantity,) float64.
        covariance: (quantity, quantity) float64, of `value`, not of one network.
    """

    value: Packed
    covariance: Matrix


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


def stream_mean(
    values: Callable[[Key], jax.Array],
    num_quantities: int,
    network: Network,
    num_points: int,
    num_draws: int,
    *,
    key: Key,
    block_size: int | None,
    progress: bool,
    label: str,
) -> Mean:
    """Mean over networks 0 … num_draws−1 of `values`, and its covariance.

    Args:
        values: Keys of a chunk of networks -> (quantity, network) float32. Quantities
            should be centred near zero where their mean is far above their spread.
        num_quantities: Number of quantities.
        network: Sets the chunk size.
        num_points: Number of inputs, likewise.
        num_draws: Number of networks.
        key: The ensemble's key.
        block_size: See `sample_ensemble`.
        progress: Show a bar on a terminal.
        label: What the bar says.
    """
    chunk = chunk_size(network, num_points)
    chunks = chunks_per_block(chunk, min(block_size or num_draws, num_draws))
    chunks = min(chunks, chunks_per_block(chunk, block_size))
    batch = batch_size(num_draws, num_quantities, chunk)

    def one_chunk(key: Key, first: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        table = values(network_keys(key, first, chunk))
        number = first + jnp.arange(chunk, dtype=jnp.uint32)
        table = jnp.where(number < np.uint32(num_draws - 1) + 1, table, 0.0)
        means = table.reshape(num_quantities, chunk // batch, batch).mean(axis=2)
        # Only whole batches enter the covariance.
        last = number[batch - 1 :: batch]
        means = jnp.where(last < np.uint32(num_draws - 1) + 1, means, 0.0)
        return (
            table.sum(axis=1),
            means.sum(axis=1),
            jnp.matmul(means, means.T, precision=jax.lax.Precision.HIGHEST),
        )

    @jax.jit
    def block(key: Key, start: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        def step(
            sums: tuple[jax.Array, ...], first: jax.Array
        ) -> tuple[tuple[jax.Array, ...], None]:
            new = one_chunk(key, first)
            return tuple(a + b for a, b in zip(sums, new, strict=True)), None

        zeros = (
            jnp.zeros(num_quantities),
            jnp.zeros(num_quantities),
            jnp.zeros((num_quantities, num_quantities)),
        )
        starts = start + chunk * jnp.arange(chunks, dtype=jnp.uint32)
        sums, _ = jax.lax.scan(step, zeros, starts)
        return sums  # type: ignore[return-value]  # a triple in, a triple out

    total = np.zeros(num_quantities)
    batch_total = np.zeros(num_quantities)
    outer = np.zeros((num_quantities, num_quantities))
    for sums in run_blocks(
        lambda start: block(key, np.uint32(start)),  # type: ignore[arg-type]
        num_draws,
        chunk * chunks,
        progress=progress,
        label=label,
    ):
        total += np.asarray(sums[0], np.float64)
        batch_total += np.asarray(sums[1], np.float64)
        outer += np.asarray(sums[2], np.float64)
    num_batches = num_draws // batch
    centre = batch_total / num_batches
    scatter = outer - num_batches * np.outer(centre, centre)
    covariance = scatter / (num_batches - 1) * (batch / num_draws)
    return Mean(total / num_draws, 0.5 * (covariance + covariance.T))
