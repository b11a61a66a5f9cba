"""The two programs that run on the devices: networks are drawn, products averaged.

In: a stream for every device and how many networks it is to draw. Out: what each
network contributes, and means of products over groups of networks; float32.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as Spec
from jaxtyping import ArrayLike

from nnft_ppl._compile import compiled
from nnft_ppl._network import Network
from nnft_ppl.correlators.sampled.draws import network_draws
from nnft_ppl.correlators.sampled.estimators import Estimator, Inputs
from nnft_ppl.correlators.sampled.network_products import means_over_networks
from nnft_ppl.correlators.sampled.wide_products import wide_means
from nnft_ppl.ensemble.blocks import in_chunks, on_each_device
from nnft_ppl.ensemble.device_sizes import DeviceSizes
from nnft_ppl.ensemble.model import Stream


def _draw(
    streams: Stream,
    starts: ArrayLike,
    chunks: ArrayLike,
    inputs: Inputs,
    mesh: Mesh,
    network: Network,
    estimator: Estimator,
    orders: tuple[int, ...],
    generator: str,
    sizes: DeviceSizes,
    one_kernel: bool,
    chunk: int,
    max_chunks: int,
) -> jax.Array:
    """Draws of networks from each of `starts` on, (device, chunk, row, network)."""

    def local(stream: Stream, start: jax.Array, chunks: jax.Array) -> jax.Array:
        return in_chunks(
            lambda first: network_draws(
                network,
                estimator,
                orders,
                inputs,
                stream,
                first,
                chunk,
                generator,
                sizes,
                one_kernel=one_kernel,
            ),
            start,
            chunks,
            chunk,
            max_chunks,
        )

    return on_each_device(local, mesh, streams, starts, chunks)


draw_piece = compiled(
    _draw,
    (
        "mesh",
        "network",
        "estimator",
        "orders",
        "generator",
        "sizes",
        "one_kernel",
        "chunk",
        "max_chunks",
    ),
)


def _average(
    draws: jax.Array,
    counts: ArrayLike,
    mesh: Mesh,
    num_legs: int,
    orders: tuple[int, ...],
    group: int,
    part: int,
    outputs: bool,
    fuses: bool,
) -> jax.Array:
    """Means over groups, (device, part, quantity, group); beyond a count they are 0.

    A program of its own: it knows only shapes, so that it serves every width.
    """
    one = part_means(num_legs, orders, group, part, outputs, fuses)

    def local(draws: jax.Array, count: jax.Array) -> jax.Array:
        parts = draws.shape[0] * draws.shape[2] // part
        wanted = (count + np.uint32(part - 1)) // np.uint32(part)
        return in_chunks(
            lambda first: one(draws, first, count), jnp.uint32(0), wanted, part, parts
        )

    many: jax.Array = jax.shard_map(
        lambda draws, counts: local(draws[0], counts[0])[None],
        mesh=mesh,
        in_specs=Spec("device"),
        out_specs=Spec("device"),
        check_vma=False,
    )(draws, counts)
    return many


average_piece = compiled(
    _average, ("mesh", "num_legs", "orders", "group", "part", "outputs", "fuses")
)


def part_means(
    num_legs: int,
    orders: tuple[int, ...],
    group: int,
    part: int,
    outputs: bool,
    fuses: bool,
) -> Callable[[jax.Array, jax.Array, jax.Array], jax.Array]:
    """Draws, first network of a part, how many count -> (quantity, group) of the part.

    Args:
        num_legs: Number of legs.
        orders: All even orders from 2 up to the highest.
        group: Networks in a group.
        part: Networks in a part.
        outputs: Draws are outputs.
        fuses: Whether the compiler does.
    """
    means = wide_means if fuses else means_over_networks

    def of_part(draws: jax.Array, first: jax.Array, count: jax.Array) -> jax.Array:
        some = _cut(draws, first, part)
        number = first + jnp.arange(part, dtype=jnp.uint32)
        # The barrier keeps each product from cutting it out again.
        some = jax.lax.optimization_barrier(jnp.where(number < count, some, 0.0))
        return means(some, num_legs, orders, group, outputs=outputs)

    return of_part


def _cut(draws: jax.Array, first: jax.Array, part: int) -> jax.Array:
    """Networks first … first+part−1 of (chunk, row, network): (row, network)."""
    _, rows, chunk = draws.shape
    if part < chunk:
        start = first // np.uint32(chunk), np.uint32(0), first % np.uint32(chunk)
        return jax.lax.dynamic_slice(draws, start, (1, rows, part))[0]
    some = jax.lax.dynamic_slice_in_dim(
        draws, first // np.uint32(chunk), part // chunk, 0
    )
    return some.swapaxes(0, 1).reshape(rows, part)
