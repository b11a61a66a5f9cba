"""Sums over the networks of a block on the device that draws them, in float64.

In: draws of pieces, which stay there. Out: `Sums`; they alone come to the host, so that
what it does and what it receives does not grow with the number of networks.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec
from jaxtyping import ArrayLike

from nnft_ppl._compile import compiled
from nnft_ppl._typing import Matrix, Packed
from nnft_ppl.correlators.sampled.device_programs import part_means
from nnft_ppl.correlators.sampled.sums import Sums

type Draw = Callable[[int, np.ndarray, int], jax.Array]
"""Networks past the first of a block, how many on each device, and at most: draws,
(device, chunk, row, network)."""


type Parts = tuple[jax.Array, ...]


class Cut(NamedTuple):
    """What products are taken of, and over how many networks.

    Attributes:
        num_legs: Number of legs.
        orders: All even orders from 2 up to the highest.
        outputs: Draws are outputs.
        fuses: Whether the compiler does.
        num_quantities: Entries of all orders.
        group: Networks averaged in float32.
        part: Networks whose products are taken together.
        batch: Networks averaged before the outer product.
        slice: Networks whose batches are held together.
    """

    num_legs: int
    orders: tuple[int, ...]
    outputs: bool
    fuses: bool
    num_quantities: int
    group: int
    part: int
    batch: int
    slice: int

    @property
    def held(self) -> int:
        """Networks whose mean is held in float64: of a batch, as far as it is near."""
        return min(self.batch, self.part)


def sums_in_place(
    draw: Draw,
    cut: Cut,
    counts: np.ndarray,
    mesh: Mesh,
    piece: int,
    reordered: tuple[Matrix, Packed] | None,
) -> list[Sums]:
    """Sums of a block on each device.

    Args:
        draw: Gives the pieces.
        cut: How they are summed.
        counts: Networks of each block; where all are 0 programs are compiled.
        mesh: From `device_mesh`.
        piece: Networks drawn together; it and a slice are powers of two.
        reordered: From `Estimator.reordered`.
    """
    end, step = max(int(counts.max()), 1), min(piece, cut.slice)
    total: Parts | None = None
    for offset in range(0, end, step):
        in_piece, in_slice = offset % piece, offset % cut.slice
        if in_piece == 0:
            left = np.clip(counts - offset, 0, piece)
            draws = draw(offset, left, piece)
        with jax.enable_x64(True):
            if in_slice == 0:
                means = _no_means(cut, mesh)
            means = _add_means(
                means,
                draws,
                left.astype(np.uint32),
                np.uint32(in_piece),
                -(-np.clip(left - in_piece, 0, step) // cut.part),
                in_slice // cut.part,
                mesh,
                cut,
            )
            # One piece after another: another block is under way meanwhile.
            jax.block_until_ready(means)
            if in_slice + step == cut.slice or offset + step >= end:
                here = np.clip(counts - (offset - in_slice), 0, cut.slice)
                sums = _reduce(means, here, reordered, mesh, cut)
                total = sums if total is None else jax.tree.map(jnp.add, total, sums)
    assert total is not None
    on_host = [np.asarray(part) for part in total]
    return [Sums(*(part[i] for part in on_host)) for i in range(len(counts))]


def _no_means(cut: Cut, mesh: Mesh) -> jax.Array:
    """Room for the means of a slice, (device, part, quantity, mean), float64."""
    held = cut.part // cut.held
    shape = mesh.size, cut.slice // cut.part, cut.num_quantities, held
    return jnp.zeros(shape, jnp.float64, device=NamedSharding(mesh, Spec("device")))


def _with_means_of(
    means: jax.Array,
    draws: jax.Array,
    counts: ArrayLike,
    first: ArrayLike,
    parts: ArrayLike,
    position: ArrayLike,
    mesh: Mesh,
    cut: Cut,
) -> jax.Array:
    """`means` with those of some parts of a piece put in.

    Args:
        means: From `_no_means`.
        draws: Of the piece.
        counts: Networks of the piece, on each device; others do not count.
        first: First network of the parts in the piece, uint32.
        parts: How many parts, on each device.
        position: The place of the first among the means.
        mesh: From `device_mesh`.
        cut: How they are summed.
    """
    one = part_means(
        cut.num_legs, cut.orders, cut.group, cut.part, cut.outputs, cut.fuses
    )

    def local(
        means: jax.Array,
        draws: jax.Array,
        count: jax.Array,
        parts: jax.Array,
        first: jax.Array,
        position: jax.Array,
    ) -> jax.Array:
        def put(i: jax.Array, means: jax.Array) -> jax.Array:
            found = one(draws, first + i.astype(jnp.uint32) * cut.part, count)
            found = found.astype(jnp.float64).reshape(*means.shape[1:], -1)
            return means.at[position + i].set(found.mean(axis=-1))

        filled: jax.Array = jax.lax.fori_loop(jnp.zeros_like(parts), parts, put, means)
        return filled

    on_each, everywhere = (Spec("device"),) * 4, (Spec(),) * 2
    many: jax.Array = jax.shard_map(
        lambda means, draws, counts, parts, first, position: local(
            means[0], draws[0], counts[0], parts[0], first, position
        )[None],
        mesh=mesh,
        in_specs=(*on_each, *everywhere),
        out_specs=Spec("device"),
        check_vma=False,
    )(means, draws, *map(jnp.asarray, (counts, parts, first, position)))
    return many


_add_means = compiled(_with_means_of, ("mesh", "cut"))


def _sums_of(
    means: jax.Array,
    counts: ArrayLike,
    reordered: tuple[ArrayLike, ArrayLike] | None,
    mesh: Mesh,
    cut: Cut,
) -> Parts:
    """The parts of `Sums` over the first `counts` networks, (device, …)."""

    def local(
        means: jax.Array,
        count: jax.Array,
        reordered: tuple[jax.Array, jax.Array] | None,
    ) -> Parts:
        groups = jnp.moveaxis(means, 0, 1).reshape(cut.num_quantities, -1)
        values = cut.held * groups.sum(axis=1)
        batches = groups.reshape(len(groups), -1, cut.batch // cut.held).mean(axis=2)
        if reordered is not None:
            matrix, constant = reordered
            values = matrix @ values + count * constant
            batches = matrix @ batches + constant[:, None]
        number = jnp.arange(batches.shape[1])
        batches = jnp.where(number < count // cut.batch, batches, 0.0)
        squares = batches * batches
        return (
            values,
            batches.sum(axis=1),
            batches @ batches.T,
            (squares * batches).sum(axis=1),
            (squares * squares).sum(axis=1),
        )

    many: Parts = jax.shard_map(
        lambda means, counts, reordered: jax.tree.map(
            lambda part: part[None], local(means[0], counts[0], reordered)
        ),
        mesh=mesh,
        in_specs=(Spec("device"), Spec("device"), Spec()),
        out_specs=Spec("device"),
        check_vma=False,
    )(means, jnp.asarray(counts), jax.tree.map(jnp.asarray, reordered))
    return many


_reduce = compiled(_sums_of, ("mesh", "cut"))
