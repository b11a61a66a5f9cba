"""The program that draws networks, trains them and evaluates them at every time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import ArrayLike

from nnft_ppl._compile import compiled
from nnft_ppl._network import Network
from nnft_ppl._typing import Key
from nnft_ppl.ensemble.device_sizes import DeviceSizes
from nnft_ppl.ensemble.model import Stream, numbered_keys
from nnft_ppl.training import flow, langevin
from nnft_ppl.training.descent import descend
from nnft_ppl.training.gradients import linearised, product
from nnft_ppl.training.learner import Learner
from nnft_ppl.training.linear import learned
from nnft_ppl.training.network_blocks import over_chunks
from nnft_ppl.training.relaxation import relax
from nnft_ppl.training.standardised import Standardised, sites_of

type _Interval = tuple[jax.Array, jax.Array, jax.Array]
"""Its duration, number of steps and size of each."""


def _train(
    streams: Stream,
    starts: ArrayLike,
    chunks: ArrayLike,
    points: jax.Array,
    targets: jax.Array,
    new_points: jax.Array,
    intervals: _Interval,
    temperature: jax.Array,
    mesh: Mesh,
    network: Network,
    method: str,
    train: str,
    parametrization: str,
    sizes: DeviceSizes,
    chunk: int,
    max_chunks: int,
) -> jax.Array:
    """Outputs at new inputs and the loss, (device, chunk, time, new leg + 1, network).

    Args:
        streams: One for each device.
        starts: First network of each device.
        chunks: How many chunks of networks are wanted; the rest is zero.
        points: (point, dim).
        targets: (leg,).
        new_points: (new, dim).
        intervals: (time,) each: between the times that are asked for.
        temperature: Of Langevin dynamics.
        mesh: Of the devices.
        network: What is drawn.
        method: One of `plan.METHODS`.
        train: One of `plan.TRAINED`.
        parametrization: `ntk` or `standard`.
        sizes: Of the devices.
        chunk: Networks treated together.
        max_chunks: Chunks that there is room for.
    """
    sites = sites_of(network)
    learner = Learner(sites, sites.rates(parametrization, train), points, targets)

    def of_chunk(stream: Stream, numbers: jax.Array) -> jax.Array:
        drawn = sites.draw(stream, numbers, sizes)
        keys = numbered_keys(stream.key, numbers)

        def one(values: Standardised, key: Key) -> jax.Array:
            if train == "readout":
                return _readout_alone(
                    learner, values, new_points, intervals, method, temperature, key
                )
            start, advance, values_of = _dynamics(
                learner, values, method, key, temperature
            )

            def reach(state: Any, interval: _Interval) -> tuple[Any, jax.Array]:
                state = advance(state, interval)
                values = values_of(state)
                outputs = sites.outputs(values, new_points)
                loss = learner.loss(values)
                return state, jnp.concatenate([outputs, loss[None]])

            _, found = jax.lax.scan(reach, start, intervals)
            return found

        return jax.vmap(one, out_axes=-1)(drawn, keys)

    return over_chunks(of_chunk, streams, starts, chunks, mesh, chunk, max_chunks)


train_networks = compiled(
    _train,
    (
        "mesh",
        "network",
        "method",
        "train",
        "parametrization",
        "sizes",
        "chunk",
        "max_chunks",
    ),
)


def _dynamics(
    learner: Learner,
    values: Standardised,
    method: str,
    key: Key,
    temperature: jax.Array,
) -> tuple[Any, Callable[[Any, _Interval], Any], Callable[[Any], Standardised]]:
    """The first state, how it passes an interval, and its parameters."""
    if method == "gradient_descent":
        return (
            values,
            lambda state, interval: descend(learner, state, *interval[1:]),
            lambda state: state,
        )
    if method == "langevin":
        return (
            langevin.begin(learner, values, key),
            lambda state, interval: langevin.wander(
                learner, state, *interval[1:], temperature, key
            ),
            lambda state: state.values,
        )
    return (
        flow.begin(learner, values),
        lambda state, interval: flow.flow(learner, state, interval[0]),
        lambda state: state.values,
    )


def _readout_alone(
    learner: Learner,
    values: Standardised,
    new_points: jax.Array,
    intervals: _Interval,
    method: str,
    temperature: jax.Array,
    key: Key,
) -> jax.Array:
    """What `linear` or `relaxation` says, (time, new leg + 1)."""
    there = learner.linearised(values)
    new = linearised(learner.sites, values, new_points, learner.rates)
    if method == "langevin":
        first = jnp.concatenate([values[name].ravel() for name in there.jacobian])
        return relax(there, new, first, learner.targets, intervals[0], temperature, key)
    modes = there.modes()
    across = product(new.joined(), modes.rows.T)
    residual = there.outputs - learner.targets
    durations, steps, sizes = intervals
    descends = method == "gradient_descent"
    times = jnp.cumsum(steps if descends else durations).astype(residual.dtype)

    def at(time: jax.Array) -> jax.Array:
        factors = learned(modes.sizes**2, time, sizes[0] if descends else None)
        step = modes.sizes * factors * product(modes.vectors.T, residual)
        left = residual - product(modes.vectors, modes.sizes * step)
        outputs = new.outputs - product(across, step)
        return jnp.append(outputs, jnp.sum(left**2) / 2)

    return jax.vmap(at)(times)
