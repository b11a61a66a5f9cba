"""Streaming means and their covariance over an ensemble that is never held.

In: a network, inputs and an estimator. Out: the mean over all networks of products, and
the covariance of that mean. Memory is a few pieces, whatever the number of networks;
draws and means of a few hundred are float32, everything that follows float64.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Matrix, Packed
from nnft_ppl.correlators.sampled.device_programs import average_piece, draw_piece
from nnft_ppl.correlators.sampled.draws import draws_preactivations
from nnft_ppl.correlators.sampled.estimators import Estimator, Inputs
from nnft_ppl.correlators.sampled.sums import Mean, Sums
from nnft_ppl.correlators.symmetric import num_entries
from nnft_ppl.ensemble.blocks import (
    chunk_size,
    device_mesh,
    draws_per_block,
    draws_per_dispatch,
    draws_per_piece,
    power_of_two_below,
    stack_streams,
)
from nnft_ppl.ensemble.device_sizes import DeviceSizes, sizes_of
from nnft_ppl.ensemble.local import check_open
from nnft_ppl.ensemble.model import numbers_per_network
from nnft_ppl.ensemble.network_size import check_network_size
from nnft_ppl.ensemble.not_finite import NotFiniteError, not_finite
from nnft_ppl.ensemble.out_of_memory import PieceLimit

_TARGET_BATCHES = 1 << 13
"""Batch means enough that their covariance is good to about a per cent."""
_COUNTED = 1 << 17
"""Networks looked at one by one where some give no numbers."""
_LARGEST = 1e30
"""Products below it, in units of the field, sum to numbers in float32."""


def batch_size(num_draws: int, num_quantities: int, block: int) -> int:
    """Networks averaged before the outer product: a power of two, a block at most.

    Outer products are the cost of a full covariance, so networks are averaged first
    when enough batches remain: at least 2¹³ and eight times the number of quantities.
    """
    batches = max(_TARGET_BATCHES, 8 * num_quantities)
    size = 1
    while 2 * size <= block and num_draws // (2 * size) >= batches:
        size *= 2
    return size


@dataclass(frozen=True, eq=False)
class Job:
    """What is averaged, over which networks, and how the work is cut.

    Attributes:
        network: What is drawn.
        inputs: Where, and in which units.
        orders: All even orders from 2 up to the highest.
        estimator: By which route.
        generator: One of `GENERATORS`.
        key: The ensemble's key.
        num_draws: Number of networks.
        sizes: Of the devices.
        block: Networks in a block.
        batch: Networks averaged before the outer product.
        piece: Networks averaged together.
        dispatch: Networks drawn together, at most.
        limit: Lowers the piece where memory runs out; shared by copies.
    """

    network: Network
    inputs: Inputs
    orders: tuple[int, ...]
    estimator: Estimator
    generator: str
    key: Key
    num_draws: int
    sizes: DeviceSizes
    block: int
    batch: int
    piece: int
    dispatch: int
    limit: PieceLimit = field(default_factory=PieceLimit)

    @staticmethod
    def plan(
        network: Network,
        inputs: Inputs,
        orders: tuple[int, ...],
        estimator: Estimator,
        generator: str,
        *,
        key: Key,
        num_draws: int,
        block_size: int | None = None,
        memory: int | None = None,
        sizes: DeviceSizes | None = None,
    ) -> "Job":
        """Choose the sizes.

        Args:
            network: What is drawn.
            inputs: Where, and in which units.
            orders: All even orders from 2 up to the highest.
            estimator: By which route.
            generator: One of `GENERATORS`.
            key: The ensemble's key.
            num_draws: Number of networks.
            block_size: Networks dispatched together, or `None` for a good size.
            memory: Bytes that they may take, or `None`.
            sizes: Of the devices; those of this process where `None`.

        Raises:
            SpecError: One network is too large to be drawn.
        """
        sizes = sizes or sizes_of(jax.local_devices()[0])
        rank = inputs.factor.shape[1]
        numbers = (
            network.width * (len(inputs.points) + rank)
            if rank
            else numbers_per_network(network)
        )
        check_network_size(network, numbers, held=not rank)
        job = Job(
            network,
            inputs,
            orders,
            estimator,
            generator,
            key,
            num_draws,
            sizes,
            block=draws_per_block(num_draws, numbers, sizes),
            batch=1,
            piece=1,
            dispatch=draws_per_dispatch(numbers, sizes),
        )
        batch = batch_size(num_draws, job.num_quantities, job.block)
        job = replace(job, batch=batch)
        piece = draws_per_piece(
            num_draws,
            job.block,
            block_size,
            memory,
            job._bytes_per_draw,
            job.fewest,
            sizes,
        )
        return replace(job, piece=piece)

    def with_batches_for(self, num_draws: int) -> "Job":
        """The same work, in batches that serve so many networks."""
        return self.with_batches_of(
            batch_size(num_draws, self.num_quantities, self.block)
        )

    def with_batches_of(self, batch: int) -> "Job":
        """The same work in the same memory, in batches of so many networks."""
        job = replace(self, batch=batch)
        piece = self.piece * self._bytes_per_draw / job._bytes_per_draw
        piece = max(job.fewest, min(power_of_two_below(piece), self.block))
        return replace(job, piece=piece)

    @property
    def _bytes_per_draw(self) -> float:
        """Draws and means on the device, means once more where slices are cut."""
        return 4 * self.num_rows + 8 * self.num_quantities / self._group

    @property
    def num_legs(self) -> int:
        """Legs of a correlator: inputs times outputs."""
        return len(self.inputs.per_leg)

    @property
    def num_quantities(self) -> int:
        """Entries of all orders."""
        return sum(num_entries(self.num_legs, k) for k in self.orders)

    @property
    def drawn(self) -> tuple[int, ...]:
        """Orders of the cumulants drawn."""
        return self.estimator.drawn_orders(self.network, self.orders)

    @property
    def num_rows(self) -> int:
        """Numbers that a network contributes before products."""
        return self.estimator.num_rows(self.network, self.num_legs, self.orders)

    @property
    def chunk(self) -> int:
        """Networks per chunk: the same however the work is cut."""
        if not draws_preactivations(self.network, self.generator):
            return chunk_size(self.network, len(self.inputs.points), self.sizes)
        carried = self.sizes.chunk_numbers / self.num_rows
        drawn = self.sizes.chunk_normals / self.network.width / self._normals_per_unit
        fits = power_of_two_below(min(carried, drawn))
        return max(self.sizes.group, min(self.sizes.chunk, fits))

    @property
    def _normals_per_unit(self) -> int:
        rank = self.inputs.factor.shape[1]
        if not self.estimator.draws_outputs:
            return rank
        return rank + self.network.hyperparameters.output_dim

    @property
    def part(self) -> int:
        """Networks whose products are taken together."""
        fits = power_of_two_below(self.sizes.product_numbers / self._numbers_per_draw)
        wanted = max(self.sizes.group, min(self.sizes.chunk, fits))
        return min(wanted, self.block)

    @property
    def _numbers_per_draw(self) -> float:
        """Of the products of a network that are held, its share in means included.

        Of the highest order only means are: the products of others make them.
        """
        rows, quantities = self.num_rows, self.num_quantities
        if not self.estimator.draws_outputs and len(self.drawn) > 1:
            return rows + 2 * quantities
        lower = quantities - num_entries(self.num_legs, self.orders[-1])
        half = max(num_entries(self.num_legs, k // 2) for k in self.orders)
        outer = half**2 if self.estimator.draws_outputs else max(lower, 1) * rows
        return rows + lower + (outer + quantities) / self._group

    @property
    def fewest(self) -> int:
        """Networks in a piece, at least."""
        return max(self.part, self.chunk)

    @property
    def slice(self) -> int:
        """Networks summed at a time in float64, whatever the piece."""
        batches = power_of_two_below(self.sizes.slice_numbers / self.num_quantities)
        return min(max(batches * self.batch, self.part), self.block)

    @property
    def _group(self) -> int:
        """Networks averaged on the device."""
        return min(self.batch, self.sizes.group)

    def starts(self, first: int = 0) -> range:
        """First networks of the blocks that begin at `first` or later."""
        return range(first, self.num_draws, self.block)

    def sums(
        self, starts: Sequence[int], devices: tuple[jax.Device, ...]
    ) -> list[Sums]:
        """Sums of the blocks that begin at `starts`, at most one for each device.

        Without any, the programs are compiled.

        Warns:
            OutOfMemoryWarning: Memory ran out; smaller pieces are used.

        Raises:
            NotFiniteError: Networks give no numbers.
            SpecError: Memory runs out with the smallest pieces, too.
        """
        # A device without a block of its own has no networks.
        padded = [*starts, *[self.num_draws] * (len(devices) - len(starts))]
        return self.limit.fitting(
            self.piece,
            self.fewest,
            lambda piece: self._sums(padded, devices, piece)[: len(starts)],
        )

    def _sums(
        self, starts: Sequence[int], devices: tuple[jax.Device, ...], piece: int
    ) -> list[Sums]:
        counts = np.array([min(self.block, self.num_draws - start) for start in starts])
        totals = [Sums.zero(self.num_quantities) for _ in starts]
        for first, means in self._slices(starts, counts, devices, piece):
            for i, total in enumerate(totals):
                count = min(int(counts[i]) - first, self.slice)
                if count <= 0:
                    continue
                if not np.isfinite(means[i]).all():
                    bad = self._unusable(starts[i], int(counts[i]), devices)
                    raise NotFiniteError(not_finite(self.network, bad, starts[i]))
                totals[i] = total.plus(self._reduce(means[i], count))
        return totals

    def _unusable(
        self, start: int, count: int, devices: tuple[jax.Device, ...]
    ) -> np.ndarray:
        """(network,) which networks from `start` on keep sums from being numbers.

        They are drawn once more, and their products taken one by one: `count` of them
        that make a block, and as many more as tell in a moment how common it is.
        """
        more = min(self.dispatch, _COUNTED, self.num_draws - start)
        count, one = max(count, more), self.with_batches_of(1)
        found = [
            (np.abs(means[0]) < _LARGEST).all(axis=1).ravel()
            for _, means in one._slices(
                [start], np.array([count]), devices[:1], min(one.piece, self.piece)
            )
        ]
        return ~np.concatenate(found)[:count]

    def _slices(
        self,
        starts: Sequence[int],
        counts: np.ndarray,
        devices: tuple[jax.Device, ...],
        piece: int,
    ) -> Iterator[tuple[int, np.ndarray]]:
        """First network of a slice and its means, (device, part, quantity, group)."""
        first, parts = 0, self.slice // self.part
        held: list[np.ndarray] = []
        # One piece of nothing where there are no networks: its programs are compiled.
        for offset in range(0, max(counts.max(), 1), piece):
            left = np.clip(counts - offset, 0, piece)
            here = [start + offset for start in starts]
            held.append(self._piece(here, left, devices, piece))
            is_last = offset + piece >= counts.max()
            if not is_last and sum(part.shape[1] for part in held) < parts:
                continue
            means = np.concatenate(held, axis=1)
            held.clear()
            for begin in range(0, means.shape[1], parts):
                yield first, means[:, begin : begin + parts]
                first += self.slice

    def _piece(
        self,
        starts: Sequence[int],
        counts: np.ndarray,
        devices: tuple[jax.Device, ...],
        piece: int,
    ) -> np.ndarray:
        """Means over groups of networks, float32 (device, part, quantity, group)."""
        mesh, chunk = device_mesh(devices), self.chunk
        streams, lows = stack_streams(self.key, starts)
        chunks = -(-counts // chunk)
        together = min(piece, max(self.dispatch, chunk))
        parts = []
        for offset in range(0, piece, together):
            check_open()
            left = np.clip(chunks - offset // chunk, 0, together // chunk)
            part = draw_piece(
                streams,
                lows + np.uint32(offset),
                left.astype(np.uint32),
                self.inputs,
                mesh,
                self.network,
                self.estimator,
                self.drawn,
                self.generator,
                chunk,
                together // chunk,
            )
            # Of large networks, which take long: one after another.
            parts.append(part if together == piece else jax.block_until_ready(part))
        draws = jnp.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
        means = average_piece(
            draws,
            counts.astype(np.uint32),
            mesh,
            self.num_legs,
            self.orders,
            self._group,
            self.part,
            self.estimator.draws_outputs,
        )
        return np.asarray(means)

    def _reduce(self, means: np.ndarray, count: int) -> Sums:
        """Sums over the first `count` networks of a slice, (part, quantity, group)."""
        size = self._group
        groups = np.moveaxis(means, 0, 1).astype(np.float64)
        groups = groups.reshape(self.num_quantities, -1)
        whole = count // self.batch
        batches = groups[:, : whole * self.batch // size]
        batches = batches.reshape(len(groups), whole, self.batch // size).mean(axis=2)
        values = size * groups.sum(axis=1)
        if self._reordered is not None:
            matrix, constant = self._reordered
            values = matrix @ values + count * constant
            batches = matrix @ batches + constant[:, None]
        squares = batches * batches  # NumPy's power is slow
        return Sums(
            values,
            batches.sum(axis=1),
            batches @ batches.T,
            (squares * batches).sum(axis=1),
            (squares * squares).sum(axis=1),
        )

    @cached_property
    def _reordered(self) -> tuple[Matrix, Packed] | None:
        kernel = np.asarray(self.inputs.kernel, np.float64)
        return self.estimator.reordered(kernel, self.num_legs, self.orders)

    def mean(self, sums: Sums, num_draws: int) -> Mean:
        """The mean over the first `num_draws` networks and its covariance."""
        return sums.mean(num_draws, self.batch)
