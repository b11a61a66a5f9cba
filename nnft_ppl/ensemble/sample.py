"""Draws of the field at a set of inputs: the function-space ensemble, held in memory.

In: a `Network`, inputs, a key. Out: `Ensemble`. For statistics of large ensembles
`measure_correlators` streams instead and keeps no draw.
"""

import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.sharding import Mesh
from jaxtyping import ArrayLike

from nnft_ppl import store
from nnft_ppl._arrays import real_array
from nnft_ppl._compile import compiled
from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Draws, Key, Points
from nnft_ppl.ensemble.blocks import (
    check_block_size,
    chunk_size,
    device_mesh,
    draws_per_block,
    draws_per_piece,
    in_chunks,
    on_each_device,
    stack_streams,
)
from nnft_ppl.ensemble.device_sizes import DeviceSizes, sizes_of
from nnft_ppl.ensemble.fingerprint import network_record, recorded_network
from nnft_ppl.ensemble.generator_names import DEFAULT_GENERATOR
from nnft_ppl.ensemble.local import choose_devices, run_locally
from nnft_ppl.ensemble.model import (
    Stream,
    check_generator,
    check_key,
    check_num_draws,
    check_prior,
    numbers_per_network,
    over_networks,
    sampling_inputs,
)
from nnft_ppl.ensemble.network_size import check_network_size
from nnft_ppl.ensemble.not_finite import (
    NotFiniteWarning,
    not_finite,
    which_are_not_finite,
)
from nnft_ppl.ensemble.outputs import check_outputs
from nnft_ppl.ensemble.progress import Monitor, Pace, watching


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Independent draws of a random network, evaluated at a set of inputs.

    Attributes:
        network: What was drawn.
        x: Inputs, float64 (point, dim).
        values: f_j(x_i), float32 (draw, point, output).

    Raises:
        SpecError: The inputs are not those of the network, or the values no real
            numbers of that shape.
    """

    network: Network
    x: Points
    values: Draws

    def __post_init__(self) -> None:
        """Refuse values of something else."""
        points = self.network.check_inputs(self.x, distinct=True)
        num_outputs = self.network.hyperparameters.output_dim
        shape = f"(draw, point, output) = (draws, {len(points)}, {num_outputs})"
        values = np.asarray(real_array("`values`", self.values, shape))
        if values.ndim != 3 or values.shape[1:] != (len(points), num_outputs):
            raise SpecError(
                f"`values` have shape {values.shape}; expected {shape}, of "
                f"{len(points)} inputs and output_dim {num_outputs}"
            )
        object.__setattr__(self, "x", points)
        object.__setattr__(self, "values", values)

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
            attrs=store.provenance("ensemble", **network_record(self.network)),
        )
        return xr.DataTree(dataset)

    def save(self, path: str | Path) -> None:
        """Write as netCDF, in one step: the file is complete or absent."""
        store.write(self.data, path)

    @staticmethod
    def from_data(tree: xr.DataTree, network: Network | None = None) -> "Ensemble":
        """Rebuild from `data`, with the network where no plugin supplies it."""
        return Ensemble(
            recorded_network(store.metadata(tree), network),
            store.array(tree, "x"),
            store.array(tree, "values"),
        )


def sample_ensemble(
    network: Network,
    x: ArrayLike,
    num_draws: int,
    *,
    key: Key,
    generator: str = DEFAULT_GENERATOR,
    devices: Sequence[jax.Device] | int | None = None,
    block_size: int | None = None,
    progress: bool | Monitor = False,
) -> Ensemble:
    """Draw `num_draws` networks from the prior and evaluate each at the inputs.

    Network j is a function of (key, j) alone, to the bit, whatever the block size and
    however many devices. Under `jax.distributed` every process draws them all.

    Args:
        network: From `nnft_ppl.network`.
        x: Inputs (point, input_dim), finite and distinct.
        num_draws: Number of networks.
        key: A JAX random key.
        generator: `fused13` fills normal sites from `ensemble.generator`; so does
            `fused`, with other numbers, by a cipher of 20 rounds in place of 13; `jax`
            samples every site by `jax.random`.
        devices: Devices of this process to use, or how many; all when `None`.
        block_size: Networks dispatched together, rounded to a power of two; it
            trades memory for speed and changes no value.
        progress: Show a bar, or in a log a line now and then, or a function
            that is told.

    Returns:
        `Ensemble`, its values float32 (draw, point, output).

    Warns:
        NotFiniteWarning: Networks give NaN or overflow; they stay in the ensemble, to
            be looked at.

    Raises:
        SpecError: Inputs, number, key or devices are unusable.
        PluginError: The prior does not run under NumPyro, or what the architecture's
            functions return is not real or of a wrong shape.
    """
    points = network.check_inputs(x, distinct=True)
    num_draws = check_num_draws(num_draws)
    check_block_size(block_size)
    check_generator(generator)
    key = check_key(key)
    used = choose_devices(devices)
    check_prior(network)
    check_outputs(network)
    inputs = jnp.asarray(sampling_inputs(points))
    sizes = sizes_of(used[0])
    chunk = chunk_size(network, len(points), sizes)
    num_outputs = network.hyperparameters.output_dim
    numbers = numbers_per_network(network)
    check_network_size(network, numbers, held=True)
    block = draws_per_block(num_draws, numbers, sizes)
    bytes_per_draw = 4 * len(points) * num_outputs
    fewest = max(chunk, sizes.group)
    piece = draws_per_piece(
        num_draws, block, block_size, None, bytes_per_draw, fewest, sizes
    )
    try:
        values = np.empty((num_draws, len(points), num_outputs), np.float32)
    except (MemoryError, ValueError) as error:
        raise SpecError(
            f"`num_draws` is {num_draws}: {num_draws * bytes_per_draw / 1e12:.3g} TB "
            "of values; measure_correlators streams and keeps none"
        ) from error

    def draw(
        starts: Sequence[int], devices: tuple[jax.Device, ...]
    ) -> list[np.ndarray]:
        # A device without networks of its own has none to draw.
        padded = [*starts, *[num_draws] * (len(devices) - len(starts))]
        streams, lows = stack_streams(key, padded)
        left = [min(piece, num_draws - start) for start in padded]
        part = _values(
            streams,
            lows,
            np.array([-(-count // chunk) for count in left], np.uint32),
            inputs,
            device_mesh(devices),
            network,
            generator,
            sizes,
            chunk,
            piece // chunk,
        )
        # Networks are last; they come first in the ensemble.
        first = np.moveaxis(np.asarray(part), -1, 2)
        return list(first.reshape(len(padded), piece, *first.shape[3:]))[: len(starts)]

    pace, done, bad = Pace(0), 0, np.zeros(num_draws, bool)
    with (
        watching(progress, "sample") as monitor,
        closing(run_locally(draw, range(0, num_draws, piece), used)) as parts,
    ):
        for part in parts:
            stop = min(done + piece, num_draws)
            values[done:stop] = part[: stop - done]
            bad[done:stop] = which_are_not_finite(values[done:stop])
            done = stop
            if monitor is not None:
                monitor(pace.at(done, num_draws, None))
    if bad.any():
        warnings.warn(not_finite(network, bad), NotFiniteWarning, stacklevel=2)
    return Ensemble(network, points, values)


def _value_piece(
    streams: Stream,
    starts: ArrayLike,
    chunks: ArrayLike,
    x: jax.Array,
    mesh: Mesh,
    network: Network,
    generator: str,
    sizes: DeviceSizes,
    chunk: int,
    max_chunks: int,
) -> jax.Array:
    """Outputs of networks from each of `starts` on.

    (device, chunk, point, output, draw).
    """

    def local(stream: Stream, start: jax.Array, chunks: jax.Array) -> jax.Array:
        def chunk_of(first: jax.Array) -> jax.Array:
            return over_networks(
                network,
                lambda params: network.apply(params, x),
                stream,
                first,
                chunk,
                generator,
                sizes,
            )

        return in_chunks(chunk_of, start, chunks, chunk, max_chunks)

    return on_each_device(local, mesh, streams, starts, chunks)


_values = compiled(
    _value_piece, ("mesh", "network", "generator", "sizes", "chunk", "max_chunks")
)
