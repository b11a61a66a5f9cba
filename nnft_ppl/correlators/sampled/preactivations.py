"""Networks of i.i.d. hidden neurons, drawn from their preactivations at the inputs.

z_j is Gaussian with covariance S at the inputs, so that rank(S) normal numbers are all
that a unit needs, however many weights it has: never more than there are inputs. Units
are scanned with networks along the vector lanes, and no layer reaches memory.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Points
from nnft_ppl.ensemble.generator import normal_pairs
from nnft_ppl.ensemble.model import Stream

_NEGLIGIBLE = 1e-14
"""Variance relative to the largest: a part in 10⁷ of z, the precision of float32."""
STEPS_PER_SUM = 64
"""Units in a sum of sums are twice it, so that wide sums do not lose digits."""

type Rows = tuple[jax.Array, ...]


def has_independent_neurons(network: Network) -> bool:
    """Whether networks can be drawn from preactivations alone."""
    neuron = network.neuron()
    return (
        neuron is not None
        and neuron.activation is not None
        and network.gaussian_readout() is not None
    )


def preactivation_factor(network: Network, points: Points) -> Matrix:
    """F with F Fᵀ = S, float64 (point, rank): z = F ε for one hidden unit.

    Args:
        network: With a neuron.
        points: Inputs, float64.
    """
    neuron = network.neuron()
    assert neuron is not None  # has_independent_neurons has seen to it
    with jax.enable_x64(True):
        x = jnp.asarray(points)
        rows = jax.vmap(jax.vmap(neuron.covariance, (None, 0)), (0, None))(x, x)
        covariance = np.asarray(rows, np.float64)
    std = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    scale = np.where(std > 0, std, 1.0)
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    kept = values > _NEGLIGIBLE * max(values[-1], 0.0)
    kept[-1] = True  # where S vanishes the rank is still one
    root = vectors[:, kept] * np.sqrt(np.maximum(values[kept], 0.0))
    return np.asarray(std[:, None] * root)


def num_sums(num_points: int, num_outputs: int) -> int:
    """Sums over units: outputs at inputs or, where there are none, pairs of inputs."""
    return num_points * num_outputs or num_points * (num_points + 1) // 2


def neuron_draws(
    network: Network,
    factor: jax.Array,
    per_leg: jax.Array,
    stream: Stream,
    start: jax.Array,
    count: int,
    *,
    outputs: bool,
    rounds: int,
) -> jax.Array:
    """Random kernels, or outputs, of networks start … start+count−1; networks last.

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
    """
    neuron, readout = network.neuron(), network.gaussian_readout()
    assert neuron is not None
    assert neuron.activation is not None
    assert readout is not None
    activation = neuron.activation
    width, num_outputs = network.width, network.hyperparameters.output_dim
    num_points, rank = factor.shape
    unit = readout.weight_std / width**0.5
    scale = (unit * per_leg[::num_outputs])[:, None]
    variance = jnp.broadcast_to(
        jnp.sum(factor**2, axis=1)[:, None], (num_points, count)
    )
    numbers = start + jnp.arange(count, dtype=jnp.uint32)[None]
    per_step = rank + (num_outputs if outputs else 0)

    def pairs(elements: jax.Array) -> tuple[jax.Array, jax.Array]:
        return normal_pairs(stream.words, numbers, elements[:, None], rounds=rounds)

    def feature(normal: jax.Array) -> jax.Array:
        preactivation = factor[:, :1] * normal[:1]
        for k in range(1, rank):
            preactivation = preactivation + factor[:, k : k + 1] * normal[k : k + 1]
        value: jax.Array = scale * activation(preactivation, variance)
        if outputs and num_outputs == 1:
            return value
        # The barrier keeps each of its users from computing it again.
        held: jax.Array = jax.lax.optimization_barrier(value)
        return held

    def add_units(total: Rows, normals: Sequence[jax.Array]) -> Rows:
        """In one pass over the sums, which lie in a slower memory than registers."""
        units = [(normal, feature(normal)) for normal in normals]
        if outputs:
            return tuple(
                row + sum(normal[rank + o][None] * f for normal, f in units)
                for o, row in enumerate(total)
            )
        return tuple(
            row + sum(f[i : i + 1] * f[i:] for _, f in units)
            for i, row in enumerate(total)
        )

    def step(i: jax.Array, total: Rows) -> Rows:
        """Two units: a counter gives a pair of normal numbers."""
        elements = i * np.uint32(per_step) + jnp.arange(per_step, dtype=jnp.uint32)
        return add_units(total, pairs(elements))

    sizes = [num_points] * num_outputs if outputs else range(num_points, 0, -1)
    zeros = tuple(jnp.zeros((size, count)) for size in sizes)
    steps = width // 2

    def sum_of(i: jax.Array, total: Rows) -> Rows:
        first = i * np.uint32(STEPS_PER_SUM)
        part = jax.lax.fori_loop(first, first + STEPS_PER_SUM, step, zeros)
        return tuple(a + b for a, b in zip(total, part, strict=True))

    total = jax.lax.fori_loop(
        np.uint32(0), np.uint32(steps // STEPS_PER_SUM), sum_of, zeros
    )
    whole = steps - steps % STEPS_PER_SUM
    total = jax.lax.fori_loop(np.uint32(whole), np.uint32(steps), step, total)
    elements = np.uint32(steps * per_step) + jnp.arange(
        per_step + num_outputs, dtype=jnp.uint32
    )
    last, bias = pairs(elements)
    if width % 2:
        total = add_units(total, [last[:per_step]])
    if not outputs:
        # Held, or each user would ask of every number which row it is from.
        kernel: jax.Array = jax.lax.optimization_barrier(jnp.concatenate(total))
        return kernel
    offset = readout.bias_std * per_leg[::num_outputs, None]
    # Legs run over outputs faster than over inputs.
    field = [row + offset * bias[o][None] for o, row in enumerate(total)]
    return jnp.stack(field, axis=1).reshape(num_points * num_outputs, count)
