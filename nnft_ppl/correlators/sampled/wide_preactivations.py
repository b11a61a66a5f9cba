"""Networks of i.i.d. hidden neurons, very many side by side, for compilers that fuse.

The same networks as in `preactivations.py`, from the same numbers. Every sum over units
is an array of its own, and all are of one shape, so that a trip of the loop is one
kernel that draws, activates and adds: between trips nothing but the sums is in memory.
Several counters a trip keep the sums, which are read and written once in it, from
being the most of its work.
"""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._network import Network
from nnft_ppl.correlators.sampled.preactivations import (
    STEPS_PER_SUM,
    Rows,
    num_sums,
)
from nnft_ppl.ensemble.generator import free_normal_pairs
from nnft_ppl.ensemble.model import Stream

type Word = jax.Array | np.uint32


def wide_neuron_draws(
    network: Network,
    factor: jax.Array,
    per_leg: jax.Array,
    stream: Stream,
    start: jax.Array,
    count: int,
    *,
    outputs: bool,
    rounds: int,
    steps: int,
) -> jax.Array:
    """What `neuron_draws` gives, but for rounding: (row, network), float32.

    Args:
        network: With independent neurons.
        factor: From `preactivation_factor`, float32.
        per_leg: (leg,) the field at each leg is multiplied by it.
        stream: From `stream_at`.
        start: First network's number in the stream, uint32.
        count: Number of networks.
        outputs: Give the output at each leg, bias included; else the random kernel
            of one output, packed over pairs of inputs, bias left out.
        rounds: Of the cipher, from `ROUNDS`.
        steps: Counters of a unit in a trip, each for two units; a power of two, at most
            `STEPS_PER_SUM`.
    """
    neuron, readout = network.neuron(), network.gaussian_readout()
    assert neuron is not None
    assert neuron.activation is not None
    assert readout is not None
    activation = neuron.activation
    width, num_outputs = network.width, network.hyperparameters.output_dim
    num_points, rank = factor.shape
    scale = readout.weight_std / width**0.5 * per_leg[::num_outputs]
    variance = jnp.sum(factor**2, axis=1)
    numbers = start + jnp.arange(count, dtype=jnp.uint32)
    per_step = rank + (num_outputs if outputs else 0)

    def features(normal: Rows) -> list[jax.Array]:
        """Of one unit, at each input."""
        found = []
        for i in range(num_points):
            z = factor[i, 0] * normal[0]
            for k in range(1, rank):
                z = z + factor[i, k] * normal[k]
            value = activation(z, jnp.broadcast_to(variance[i], (count,)))
            found.append(scale[i] * value)
        return found

    def terms(normal: Rows) -> Iterator[jax.Array]:
        """What one unit adds to each sum; legs run over outputs faster."""
        at = features(normal)
        if outputs:
            return (f * normal[rank + o] for f in at for o in range(num_outputs))
        return (f * g for i, f in enumerate(at) for g in at[i:])

    def pair_at(element: Word) -> tuple[jax.Array, jax.Array]:
        return free_normal_pairs(stream.words, numbers, element, rounds=rounds)

    def two_units(step: Word) -> list[Rows]:
        """The normal numbers of both: a counter gives a pair of them."""
        first = step * np.uint32(per_step)
        pairs = [pair_at(first + np.uint32(k)) for k in range(per_step)]
        return [tuple(pair[turn] for pair in pairs) for turn in range(2)]

    def add(units: list[Rows], total: Rows) -> Rows:
        """In one pass over the sums."""
        parts = zip(*map(terms, units), strict=True)
        return tuple(row + sum(part) for row, part in zip(total, parts, strict=True))

    def trip(steps: int, start: Word, i: jax.Array, total: Rows) -> Rows:
        first = start + i * np.uint32(steps)
        units = [unit for s in range(steps) for unit in two_units(first + np.uint32(s))]
        return add(units, total)

    zeros = (jnp.zeros(count),) * num_sums(num_points, num_outputs if outputs else 0)
    all_steps = width // 2
    groups, rest = divmod(all_steps, STEPS_PER_SUM)

    def sum_of(i: jax.Array, total: Rows) -> Rows:
        first = i * np.uint32(STEPS_PER_SUM)
        part = _loop(STEPS_PER_SUM // steps, partial(trip, steps, first), zeros)
        return tuple(a + b for a, b in zip(total, part, strict=True))

    total = _loop(groups, sum_of, zeros)
    begun = np.uint32(groups * STEPS_PER_SUM)
    total = _loop(rest // steps, partial(trip, steps, begun), total)
    begun = np.uint32(all_steps - rest % steps)
    total = _loop(rest % steps, partial(trip, 1, begun), total)
    if width % 2:
        total = add(two_units(np.uint32(all_steps))[:1], total)
    if outputs:
        first = np.uint32(all_steps * per_step)
        offset = readout.bias_std * per_leg[::num_outputs]
        bias = [pair_at(first + np.uint32(o))[1] for o in range(num_outputs)]
        biases = (offset[i] * b for i in range(num_points) for b in bias)
        total = tuple(a + b for a, b in zip(total, biases, strict=True))
    return jnp.stack(total)


def _loop(trips: int, body: Callable[[jax.Array, Rows], Rows], total: Rows) -> Rows:
    """body(trips − 1, … body(0, total)).

    The number of trips is known to the compiler: a device that has to ask the host
    whether to go on waits for the answer at each. A loop of none is left out.
    """
    if trips == 0:
        return total
    summed: Rows = jax.lax.fori_loop(np.uint32(0), np.uint32(trips), body, total)
    return summed
