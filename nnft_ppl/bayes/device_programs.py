"""The programs that run on the devices: networks drawn, the field given the data.

In: numbers of networks, for every device as many. Out: for each network its features Φ,
drawn in float32 as everywhere; from these, in float64, what `linear_model` gives.
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
from nnft_ppl.bayes.features import kernel_features
from nnft_ppl.bayes.linear_model import condition, draw_field
from nnft_ppl.ensemble.blocks import in_chunks, on_each_device
from nnft_ppl.ensemble.device_sizes import DeviceSizes
from nnft_ppl.ensemble.model import Stream, over_numbers


def _draw_features(
    streams: Stream,
    numbers: ArrayLike,
    chunks: ArrayLike,
    scales: tuple[ArrayLike, ...],
    points: jax.Array,
    mesh: Mesh,
    network: Network,
    generator: str,
    names: tuple[str, ...],
    chunk: int,
    sizes: DeviceSizes,
) -> jax.Array:
    """Φ of networks, (device, network, point, feature), float32.

    Args:
        streams: One for each device.
        numbers: (device, network) in the stream, uint32.
        chunks: (device,) how many chunks of them are wanted; the rest is zero.
        scales: (device, network) of each of `names`.
        points: (point, dim).
        mesh: Of the devices.
        network: What is drawn.
        generator: One of `GENERATORS`.
        names: Of the network's scales that differ from network to network.
        chunk: Networks treated together.
        sizes: Of the devices.
    """
    count = jnp.shape(numbers)[1]

    def local(
        stream: Stream, numbers: jax.Array, chunks: jax.Array, *scales: jax.Array
    ) -> jax.Array:
        def chunk_of(first: jax.Array) -> jax.Array:
            part, *scaled = (
                jax.lax.dynamic_slice_in_dim(array, first, chunk)
                for array in (numbers, *scales)
            )
            drawn = over_numbers(
                network,
                lambda network, params: kernel_features(network, params, points),
                stream,
                part,
                generator,
                sizes,
                dict(zip(names, scaled, strict=True)),
            )
            return jnp.moveaxis(drawn, -1, 0)

        parts = in_chunks(chunk_of, jnp.uint32(0), chunks, chunk, count // chunk)
        return parts.reshape(count, *parts.shape[2:])

    return on_each_device(local, mesh, streams, numbers, chunks, *scales)


draw_features = compiled(
    _draw_features, ("mesh", "network", "generator", "names", "chunk", "sizes")
)


def _condition(
    features: jax.Array,
    noise: ArrayLike,
    rows: ArrayLike,
    new_rows: ArrayLike,
    y: ArrayLike,
    mesh: Mesh,
    group: int,
) -> jax.Array:
    """`Given` of every network, flat: (device, network, 1 + new·output + new).

    The log evidence of a network whose features are not finite is NaN.

    Args:
        features: From `draw_features`.
        noise: σ, (device, network).
        rows: Which points the data are at.
        new_rows: Which points the new inputs are.
        y: (point, output).
        mesh: Of the devices.
        group: Networks treated together.
    """

    def one(features: jax.Array, noise: jax.Array) -> jax.Array:
        # Rows are picked while they are narrow: a tenth of the time with few data.
        given = condition(
            features[rows].astype(jnp.float64),
            features[new_rows].astype(jnp.float64),
            jnp.asarray(y),
            noise,
        )
        log_evidence = jnp.where(
            jnp.isfinite(features).all(), given.log_evidence, jnp.nan
        )
        return jnp.concatenate([log_evidence[None], given.mean.ravel(), given.variance])

    return _over_networks(one, mesh, group, features, noise)


condition_networks = compiled(_condition, ("mesh", "group"))


def _draw_fields(
    features: jax.Array,
    noise: ArrayLike,
    keys: ArrayLike,
    rows: ArrayLike,
    new_rows: ArrayLike,
    y: ArrayLike,
    mesh: Mesh,
    group: int,
) -> jax.Array:
    """A draw of f given the data at the data and new inputs, for every network.

    (device, network, point + new, output); arguments as `_condition`, and the words of
    a key for each network.
    """

    def one(features: jax.Array, noise: jax.Array, key: jax.Array) -> jax.Array:
        wide, targets = features.astype(jnp.float64), jnp.asarray(y)
        first, second = jax.random.split(
            jax.random.wrap_key_data(key, impl="threefry2x32")
        )
        shape = (wide.shape[1], targets.shape[1])
        weights = draw_field(
            wide[rows],
            targets,
            noise,
            jax.random.normal(first, shape, jnp.float64),
            jax.random.normal(second, targets.shape, jnp.float64),
        )
        asked = wide[jnp.concatenate([jnp.asarray(rows), jnp.asarray(new_rows)])]
        field: jax.Array = jnp.matmul(asked, weights, precision="highest")
        return field

    return _over_networks(one, mesh, group, features, noise, keys)


draw_fields = compiled(_draw_fields, ("mesh", "group"))


def _over_networks(
    one: Callable[..., jax.Array], mesh: Mesh, group: int, *arrays: ArrayLike
) -> jax.Array:
    """one(…) of every network on every device, `group` of them side by side.

    Args:
        one: Of one network's arrays.
        mesh: Of the devices.
        group: Divides the number of networks.
        arrays: (device, network, …).
    """

    def local(*arrays: jax.Array) -> jax.Array:
        count = arrays[0].shape[1]
        grouped = [
            array[0].reshape(count // group, group, *array.shape[2:])
            for array in arrays
        ]
        found: jax.Array = jax.lax.map(
            lambda each: jax.vmap(one)(*each), tuple(grouped)
        )
        return found.reshape(1, count, *found.shape[2:])

    many: jax.Array = jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(Spec("device"),) * len(arrays),
        out_specs=Spec("device"),
        check_vma=False,
    )(*(jnp.asarray(np.asarray(a) if isinstance(a, np.ndarray) else a) for a in arrays))
    return many
