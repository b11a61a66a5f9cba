"""Where `kernel_draws` may take the place of `neuron_draws`, found by trying.

In: a network and a device. Out: yes or no. The kernel goes by interfaces that JAX calls
unstable, and cards differ: where anything is amiss the answer is no, and XLA serves.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._compile import shared
from nnft_ppl._network import Network
from nnft_ppl.correlators.sampled.pallas_preactivations import (
    NETWORKS_PER_PROGRAM,
    NETWORKS_PER_THREAD,
    activation_of,
    kernel_sums,
)
from nnft_ppl.correlators.sampled.preactivations import (
    has_independent_neurons,
    num_sums,
)
from nnft_ppl.ensemble.generator import free_normal_pairs
from nnft_ppl.ensemble.generator_names import DEFAULT_GENERATOR, ROUNDS

_GENERATIONS = ("8", "9", "10")
"""Compute capabilities for which kernels have been compiled: Ampere to Blackwell. For
7.5 and 12.0 the compiler refused."""
_REGISTERS = 255
"""Of a thread; what finds no room in them goes to memory and back at every unit."""
_ERROR = 1e-4
"""Of the trial, relative to the largest sum; rounding leaves some 1e-6."""
_TRIAL = (
    np.array([1, 2, 0], np.uint32),
    np.ones((1, 1), np.float32),
    np.ones(1, np.float32),
    np.zeros(1, np.float32),
)
"""For `kernel_sums`: a stream, and one input where z has variance 1."""
_ROUNDS = ROUNDS[DEFAULT_GENERATOR]
"""Of the trial; more rounds are more of the same."""


def serves(
    network: Network,
    device: jax.Device,
    num_points: int,
    rank: int,
    *,
    outputs: bool,
) -> bool:
    """Whether `kernel_draws` is to be used on a device, in place of `neuron_draws`.

    True where the sums fit into registers, the activation is made of functions that
    the kernel's compiler has, and a small trial on the device agrees with XLA. To be
    asked outside of what JAX traces; the answer is kept.

    Args:
        network: Any.
        device: Where networks are to be drawn.
        num_points: Number of inputs.
        rank: Of `preactivation_factor`.
        outputs: As for `neuron_draws`.
    """
    generation, _, _ = str(getattr(device, "compute_capability", "")).partition(".")
    num_outputs = network.hyperparameters.output_dim if outputs else 0
    return (
        generation in _GENERATIONS
        and has_independent_neurons(network)
        and _num_registers(num_points, rank, num_outputs) <= _REGISTERS
        and _lowers(network)
        and _agrees(network, device)
    )


def _num_registers(num_points: int, rank: int, num_outputs: int) -> int:
    """What a thread holds while it goes over the units: a rule of thumb.

    Sums, features and normal numbers of two units, for each of its networks; the factor
    and what multiplies features and bias, for all. Of some twenty shapes compiled for
    an H100, with the error function, none up to 260 by this rule was short of registers
    (13 inputs of rank 2 come to 255, 30 outputs to 252), from 268 on some were, and
    above 288 all. What that costs was not measured.
    """
    sums = num_sums(num_points, num_outputs)
    of_one = sums + num_points + 2 * (rank + num_outputs)
    of_all = num_points * (rank + 1 + (num_outputs > 0))
    return NETWORKS_PER_THREAD * of_one + of_all


@shared
def _lowers(network: Network) -> bool:
    """Whether the activation, traced into a kernel, can be lowered for a card."""
    try:
        _trial(network).trace(*_TRIAL).lower(lowering_platforms=("cuda",))
    except Exception:  # of an activation of any kind, by any version of JAX
        return False
    return True


@shared
def _agrees(network: Network, device: jax.Device) -> bool:
    """Whether a card gives in a small trial what XLA gives there."""
    activation, (first, second, _) = activation_of(network), _TRIAL[0]

    def expected() -> jax.Array:
        networks = jnp.arange(NETWORKS_PER_PROGRAM, dtype=jnp.uint32)
        pair = free_normal_pairs(
            (first, second), networks, np.uint32(0), rounds=_ROUNDS
        )
        variance = jnp.ones(NETWORKS_PER_PROGRAM, jnp.float32)
        one, other = (activation(normal, variance) for normal in pair)
        return (one**2 + other**2)[None]

    try:
        with jax.default_device(device):
            found = np.asarray(_trial(network)(*_TRIAL))
            right = np.asarray(jax.jit(expected)())
    except Exception:  # whatever a compiler says
        return False
    largest = np.abs(right).max(initial=0.0, where=np.isfinite(right))
    return np.allclose(found, right, rtol=0.0, atol=_ERROR * largest, equal_nan=True)


def _trial(network: Network) -> jax.stages.Wrapped:
    """The kernel for random kernels of two units, one program of it."""
    return jax.jit(
        partial(
            kernel_sums,
            activation_of(network),
            2,
            0,
            NETWORKS_PER_PROGRAM,
            rounds=_ROUNDS,
        )
    )
