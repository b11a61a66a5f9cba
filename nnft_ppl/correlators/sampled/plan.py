"""What is measured, and how the work is cut: the sizes of a measurement.

In: a network, inputs, an estimator and the sizes of the devices. Out: a `Plan`, whose
sizes decide speed and memory, and no number beyond its rounding.
"""

from dataclasses import dataclass, field, replace
from typing import Self

import jax

from nnft_ppl._network import Network
from nnft_ppl._typing import Key
from nnft_ppl.correlators.sampled.draws import draws_preactivations
from nnft_ppl.correlators.sampled.estimators import Estimator, Inputs
from nnft_ppl.correlators.symmetric import num_entries
from nnft_ppl.ensemble.blocks import (
    chunk_size,
    draws_per_block,
    draws_per_dispatch,
    draws_per_piece,
    power_of_two_below,
)
from nnft_ppl.ensemble.device_sizes import DeviceSizes, sizes_of
from nnft_ppl.ensemble.model import numbers_per_network
from nnft_ppl.ensemble.network_size import check_network_size
from nnft_ppl.ensemble.out_of_memory import PieceLimit

_TARGET_BATCHES = 1 << 13
"""Batch means enough that their covariance is good to about a per cent."""


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
class Plan:
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

    @classmethod
    def plan(
        cls,
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
    ) -> Self:
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
        numbers = _numbers(network, inputs)
        check_network_size(network, numbers, held=not inputs.factor.shape[1])
        plan = cls(
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
        batch = batch_size(num_draws, plan.num_quantities, plan.block)
        plan = replace(plan, batch=batch)
        piece = draws_per_piece(
            num_draws,
            plan.block,
            block_size,
            memory,
            plan._bytes_per_draw,
            plan.fewest,
            sizes,
        )
        return replace(plan, piece=piece)

    def on(self, device: jax.Device) -> Self:
        """The same blocks and batches, in the sizes of a device of another kind."""
        sizes = sizes_of(device)
        if sizes == self.sizes:
            return self
        dispatch = draws_per_dispatch(_numbers(self.network, self.inputs), sizes)
        plan = replace(self, sizes=sizes, dispatch=dispatch)
        piece = draws_per_piece(
            self.num_draws,
            self.block,
            None,
            None,
            plan._bytes_per_draw,
            plan.fewest,
            sizes,
        )
        return replace(plan, piece=piece)

    def with_batches_for(self, num_draws: int) -> Self:
        """The same work, in batches that serve so many networks."""
        return self.with_batches_of(
            batch_size(num_draws, self.num_quantities, self.block)
        )

    def with_batches_of(self, batch: int) -> Self:
        """The same work in the same memory, in batches of so many networks."""
        plan = replace(self, batch=batch)
        piece = self.piece * self._bytes_per_draw / plan._bytes_per_draw
        piece = max(plan.fewest, min(power_of_two_below(piece), self.block))
        return replace(plan, piece=piece)

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
            size = chunk_size(self.network, len(self.inputs.points), self.sizes)
            return min(size, self.block)
        carried = self.sizes.chunk_numbers / self.num_rows
        drawn = self.sizes.chunk_normals / self.network.width / self._normals_per_unit
        fits = power_of_two_below(min(carried, drawn))
        return min(max(self.sizes.group, min(self.sizes.chunk, fits)), self.block)

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
        half = max(num_entries(self.num_legs, (k + 1) // 2) for k in self.orders)
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


def _numbers(network: Network, inputs: Inputs) -> int:
    """What one network takes: random numbers, and activations where none is held."""
    rank = inputs.factor.shape[1]
    if rank:
        return network.width * (len(inputs.points) + rank)
    return numbers_per_network(network)
