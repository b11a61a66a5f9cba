"""Streaming means and their covariance over an ensemble that is never held.

In: a network, inputs and an estimator. Out: the mean over all networks of products, and
the covariance of that mean. Memory is a few pieces, whatever the number of networks;
draws and means of a few hundred are float32, everything that follows float64.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nnft_ppl._typing import Matrix, Packed
from nnft_ppl.correlators.sampled.device_programs import average_piece, draw_piece
from nnft_ppl.correlators.sampled.pallas_service import serves
from nnft_ppl.correlators.sampled.plan import Plan
from nnft_ppl.correlators.sampled.sums import Mean, Sums
from nnft_ppl.correlators.sampled.sums_in_place import Cut, sums_in_place
from nnft_ppl.ensemble.blocks import (
    device_mesh,
    stack_streams,
)
from nnft_ppl.ensemble.local import check_open
from nnft_ppl.ensemble.not_finite import NotFiniteError, not_finite

_COUNTED = 1 << 17
"""Networks looked at one by one where some give no numbers."""
_LARGEST = 1e30
"""Products below it, in units of the field, sum to numbers in float32."""


@dataclass(frozen=True, eq=False)
class Job(Plan):
    """A plan, and the sums over its blocks."""

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
        if self.sizes.sums_in_place:
            totals = self._sums_in_place(starts, counts, devices, piece)
        else:
            totals = self._sums_on_host(starts, counts, devices, piece)
        for start, count, total in zip(starts, counts, totals, strict=True):
            if not np.isfinite(total.values).all():
                bad = self._unusable(start, int(count), devices)
                raise NotFiniteError(not_finite(self.network, bad, start))
        return totals

    def _sums_in_place(
        self,
        starts: Sequence[int],
        counts: np.ndarray,
        devices: tuple[jax.Device, ...],
        piece: int,
    ) -> list[Sums]:
        mesh = device_mesh(devices)

        def draw(offset: int, counts: np.ndarray, piece: int) -> jax.Array:
            here = [start + offset for start in starts]
            return self._draws(here, counts, mesh, piece)

        cut = Cut(
            self.num_legs,
            self.orders,
            self.estimator.draws_outputs,
            self.sizes.fuses,
            self.num_quantities,
            self._group,
            self.part,
            self.batch,
            self.slice,
        )
        return sums_in_place(draw, cut, counts, mesh, piece, self._reordered)

    def _sums_on_host(
        self,
        starts: Sequence[int],
        counts: np.ndarray,
        devices: tuple[jax.Device, ...],
        piece: int,
    ) -> list[Sums]:
        totals = [Sums.zero(self.num_quantities) for _ in starts]
        for first, means in self._slices(starts, counts, devices, piece):
            for i, total in enumerate(totals):
                count = min(int(counts[i]) - first, self.slice)
                if count <= 0:
                    continue
                if not np.isfinite(means[i]).all():
                    bad = self._unusable(starts[i], int(counts[i]), devices)
                    raise NotFiniteError(not_finite(self.network, bad, starts[i]))
                part = Sums.of_slice(
                    means[i], count, self._group, self.batch, self._reordered
                )
                totals[i] = total.plus(part)
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
        found: list[np.ndarray] = []
        for first, means in one._slices(
            [start], np.array([count]), devices[:1], min(one.piece, self.piece)
        ):
            if first >= more and not np.concatenate(found).all():
                break  # enough of a block that takes long
            found.append((np.abs(means[0]) < _LARGEST).all(axis=1).ravel())
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
        mesh = device_mesh(devices)
        means = average_piece(
            self._draws(starts, counts, mesh, piece),
            counts.astype(np.uint32),
            mesh,
            self.num_legs,
            self.orders,
            self._group,
            self.part,
            self.estimator.draws_outputs,
            self.sizes.fuses,
        )
        return np.asarray(means)

    def _draws(
        self, starts: Sequence[int], counts: np.ndarray, mesh: Mesh, piece: int
    ) -> jax.Array:
        """What networks contribute, float32 (device, chunk, row, network)."""
        chunk = self.chunk
        streams, lows = stack_streams(self.key, starts)
        chunks = -(-counts // chunk)
        together = min(piece, max(self.dispatch, chunk))
        num_points, rank = self.inputs.factor.shape
        # No factor, no preactivations. The answer is the same for a whole ensemble.
        one_kernel = rank > 0 and serves(
            self.network,
            mesh.devices.flat[0],
            num_points,
            rank,
            outputs=self.estimator.draws_outputs,
        )
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
                self.sizes,
                one_kernel,
                chunk,
                together // chunk,
            )
            # Of large networks, which take long: one after another.
            parts.append(part if together == piece else jax.block_until_ready(part))
        return jnp.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]

    @cached_property
    def _reordered(self) -> tuple[Matrix, Packed] | None:
        kernel = np.asarray(self.inputs.kernel, np.float64)
        return self.estimator.reordered(kernel, self.num_legs, self.orders)

    def mean(self, sums: Sums, num_draws: int) -> Mean:
        """The mean over the first `num_draws` networks and its covariance."""
        return sums.mean(num_draws, self.batch)
