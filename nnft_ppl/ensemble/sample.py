"""Draws of the field at a set of inputs: the function-space ensemble, held in memory.

In: a `Network`, inputs, a key. Out: `Ensemble`. For statistics of large ensembles
`measure_correlators` streams instead and keeps no draw.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import ArrayLike

from nnft_ppl import store
from nnft_ppl._compile import compiled
from nnft_ppl._network import Network
from nnft_ppl._typing import Draws, Key, Points
from nnft_ppl.ensemble.blocks import (
    check_block_size,
    chunk_size,
    draws_per_block,
    run_blocks,
)
from nnft_ppl.ensemble.model import (
    check_key,
    check_num_draws,
    check_prior,
    network_keys,
    sample_prior,
    sampling_inputs,
)
from nnft_ppl.registry import network_from_json


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Independent draws of a random network, evaluated at a set of inputs.

    Attributes:
        network: What was drawn.
        x: Inputs, float64 (point, dim).
        values: f_j(x_i), float32 (draw, point, output).
    """

    network: Network
    x: Points
    values: Draws

    def __repr__(self) -> str:
        """Show what was drawn, not the values."""
        return (
            f"Ensemble({self.network!r}, {len(self.x)} inputs, "
            f"{len(self.values):,} draws)"
        )

    @property
    def data(self) -> xr.DataTree:
        """The ensemble as a DataTree: `values` and `x` in the root."""
        dataset = xr.Dataset(
            {
                "values": (("draw", "point", "output"), self.values),
                "x": (("point", "dim"), self.x),
            },
            attrs=store.provenance(
                "ensemble", network=json.loads(self.network.to_json())
            ),
        )
        return xr.DataTree(dataset)

    def save(self, path: str | Path) -> None:
        """Write as netCDF, in one step: the file is complete or absent."""
        store.write(self.data, path)

    @staticmethod
    def from_data(tree: xr.DataTree, network: Network | None = None) -> "Ensemble":
        """Rebuild from `data`, with the network where no plugin supplies it."""
        return Ensemble(
            network_from_json(store.metadata(tree)["network"], network),
            store.array(tree, "x"),
            store.array(tree, "values"),
        )


def sample_ensemble(
    network: Network,
    x: ArrayLike,
    num_draws: int,
    *,
    key: Key,
    block_size: int | None = None,
    progress: bool = False,
) -> Ensemble:
    """Draw `num_draws` networks from the prior and evaluate each at the inputs.

    Network j is a function of (key, j) alone, to the bit, whatever the block size.

    Args:
        network: From `nnft_ppl.network`.
        x: Inputs (point, input_dim), finite and distinct.
        num_draws: Number of networks, at most 2³¹.
        key: A JAX random key.
        block_size: Networks per dispatched block, rounded up to whole chunks; it
            trades memory for speed and changes no value.
        progress: Show a progress bar on a terminal.

    Returns:
        `Ensemble`, its values float32 (draw, point, output).

    Raises:
        SpecError: Inputs, number or key are unusable.
        PluginError: The prior does not run under NumPyro.
    """
    points = network.check_inputs(x, distinct=True)
    num_draws = check_num_draws(num_draws)
    check_block_size(block_size)
    key = check_key(key)
    check_prior(network)
    chunk = chunk_size(network, len(points))
    num_outputs = network.hyperparameters.output_dim
    draws = draws_per_block(num_draws, block_size, chunk, len(points) * num_outputs)
    chunks = draws // chunk
    values = np.empty((num_draws, len(points), num_outputs), np.float32)
    inputs = jnp.asarray(sampling_inputs(points))

    def block(first: int) -> jax.Array:
        values: jax.Array = _values(
            key, inputs, jnp.uint32(first), jnp.uint32(chunks), network, chunk, chunks
        )
        return values

    start = 0
    for part in run_blocks(block, num_draws, draws, progress=progress, label="sample"):
        stop = min(start + draws, num_draws)
        values[start:stop] = np.asarray(part)[: stop - start]
        start = stop
    return Ensemble(network, points, values)


def _value_block(
    key: Key,
    x: jax.Array,
    start: jax.Array,
    chunks: jax.Array,
    network: Network,
    chunk: int,
    max_chunks: int,
) -> jax.Array:
    """Outputs of networks start, start+1, …, shape (chunk·max_chunks, point, output).

    The trip count is data. One known to the compiler would let it fuse a loop of one
    trip in another way, and the last bits would depend on the block size.
    """

    def one_chunk(i: jax.Array, out: jax.Array) -> jax.Array:
        keys = network_keys(key, start + chunk * i, chunk)
        values = jax.vmap(lambda k: network.apply(sample_prior(network, k), x))(keys)
        return jax.lax.dynamic_update_slice_in_dim(out, values, chunk * i, 0)

    empty = jnp.zeros((chunk * max_chunks, len(x), network.hyperparameters.output_dim))
    values: jax.Array = jax.lax.fori_loop(jnp.uint32(0), chunks, one_chunk, empty)
    return values


_values = compiled(_value_block, ("network", "chunk", "max_chunks"))
