"""Networks of i.i.d. hidden neurons on a card, as one kernel: `neuron_draws` by Pallas.

In: what `neuron_draws` takes. Out: what it gives, network by network to the rounding of
float32: the same counters, the same normal numbers, the same sums of sums. A thread
holds the sums of its networks in registers from unit to unit, so that nothing but sums
reaches memory.

The kernel is written for Mosaic GPU, which Pallas keeps: its Triton backend is to be
removed from JAX, and has no error function. Lane semantics, which are not the default,
have most elementwise functions, by NVIDIA's libdevice, as exact as float32.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module
from itertools import combinations_with_replacement
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jaxtyping import ArrayLike

from nnft_ppl._network import Network
from nnft_ppl.correlators.sampled.preactivations import STEPS_PER_SUM, num_sums
from nnft_ppl.ensemble.generator import free_normal_pairs
from nnft_ppl.ensemble.model import Stream

NETWORKS_PER_PROGRAM = 256
"""Of 128 and 256 the faster on an H200, in a trial with Triton."""
NETWORKS_PER_THREAD = 2
"""128 threads are a program of Mosaic GPU."""

type Activation = Callable[[jax.Array, jax.Array], jax.Array]


def kernel_draws(
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

    Arguments and result are those of `neuron_draws`. Networks are drawn by the program,
    and those beyond `count` thrown away.
    """
    readout = network.gaussian_readout()
    assert readout is not None  # has_independent_neurons has seen to it
    width, num_outputs = network.width, network.hyperparameters.output_dim
    per_input = per_leg[::num_outputs]
    return kernel_sums(
        activation_of(network),
        width,
        num_outputs if outputs else 0,
        count,
        jnp.stack([*stream.words, start]),
        factor,
        readout.weight_std / width**0.5 * per_input,
        readout.bias_std * per_input,
        rounds=rounds,
    )


def activation_of(network: Network) -> Activation:
    """The neuron's, of preactivation and variance."""
    neuron = network.neuron()
    assert neuron is not None  # has_independent_neurons has seen to it
    assert neuron.activation is not None
    return neuron.activation


def kernel_sums(
    activation: Activation,
    width: int,
    num_outputs: int,
    count: int,
    counter: ArrayLike,
    factor: ArrayLike,
    scale: ArrayLike,
    offset: ArrayLike,
    *,
    rounds: int,
) -> jax.Array:
    """What networks add up over their units, float32 (sum, network).

    Args:
        activation: Of the neuron.
        width: Number of units.
        num_outputs: 0 for random kernels.
        count: Number of networks.
        counter: (3,) the stream's words and the first network's number, uint32.
        factor: (point, rank).
        scale: (point,) of features.
        offset: (point,) of the bias, a standard normal number for each output.
        rounds: Of the cipher, from `ROUNDS`.
    """
    gpu = _mosaic_gpu()
    num_points, rank = jnp.shape(factor)
    programs = -(-count // NETWORKS_PER_PROGRAM)
    call = gpu.kernel(
        partial(_program, activation, width, num_outputs, num_points, rank, rounds),
        out_type=jax.ShapeDtypeStruct(
            (num_sums(num_points, num_outputs), programs * NETWORKS_PER_PROGRAM),
            np.float32,
        ),
        grid=(programs,),
        grid_names=("program",),
        compiler_params=gpu.CompilerParams(
            lowering_semantics=gpu.LoweringSemantics.Lane
        ),
    )
    numbers = jnp.concatenate([jnp.ravel(factor), scale, offset])
    sums: jax.Array = call(counter, numbers.astype(jnp.float32))
    return sums[:, :count]


def _mosaic_gpu() -> Any:
    """The backend's module: half a second to import, and of use on a card alone."""
    return import_module("jax.experimental.pallas.mosaic_gpu")


def _program(
    activation: Activation,
    width: int,
    num_outputs: int,
    num_points: int,
    rank: int,
    rounds: int,
    counter_ref: Any,
    numbers_ref: Any,
    sums_ref: Any,
) -> None:
    """One of the grid: the sums of `NETWORKS_PER_PROGRAM` networks.

    Arguments as of `kernel_sums`; the references are to the card's memory.
    """
    gpu = _mosaic_gpu()
    shape = (NETWORKS_PER_PROGRAM,)
    layout = gpu.Layout.WG_STRIDED(shape, vec_size=NETWORKS_PER_THREAD)
    index = jax.lax.axis_index("program").astype(jnp.int32)
    here = pl.ds(index * np.int32(NETWORKS_PER_PROGRAM), NETWORKS_PER_PROGRAM)
    rows, per_step = range(num_sums(num_points, num_outputs)), rank + num_outputs

    def laid_out(array: jax.Array) -> Any:
        """Over the threads, alike for all arrays."""
        return gpu.layout_cast(array, layout)

    def everywhere(scalar: ArrayLike) -> Any:
        return laid_out(jax.lax.broadcast_in_dim(scalar, shape, ()))

    words, first = (counter_ref[0], counter_ref[1]), counter_ref[2]
    first = first + index.astype(jnp.uint32) * np.uint32(NETWORKS_PER_PROGRAM)
    networks = first + laid_out(jax.lax.iota(jnp.uint32, NETWORKS_PER_PROGRAM))
    numbers = [numbers_ref[i] for i in range(num_points * (rank + 2))]
    factor = [numbers[i * rank : (i + 1) * rank] for i in range(num_points)]
    scale, offset = numbers[num_points * rank :][:num_points], numbers[-num_points:]
    variance = [everywhere(_total(f * f for f in row)) for row in factor]

    def units(step: Any) -> list[tuple[jax.Array, ...]]:
        """Normal numbers of two units: a counter gives a pair of them."""
        first = step * np.uint32(per_step)
        elements = [first + np.uint32(k) for k in range(per_step)]
        pairs = [
            free_normal_pairs(words, networks, element, rounds=rounds)
            for element in elements
        ]
        return list(zip(*pairs, strict=True))

    def feature(point: int, normal: Sequence[jax.Array]) -> jax.Array:
        products = (f * n for f, n in zip(factor[point], normal[:rank], strict=True))
        value = activation(_total(products), variance[point]).astype(jnp.float32)
        scaled: jax.Array = scale[point] * value
        return scaled

    def add_unit(
        sums: Sequence[jax.Array], normal: Sequence[jax.Array]
    ) -> list[jax.Array]:
        features = [feature(point, normal) for point in range(num_points)]
        if num_outputs:  # legs run over outputs faster than over inputs
            terms = [f * weight for f in features for weight in normal[rank:]]
        else:
            terms = [a * b for a, b in combinations_with_replacement(features, 2)]
        return [total + term for total, term in zip(sums, terms, strict=True)]

    def add_step(i: jax.Array, sums: Sequence[jax.Array]) -> Sequence[jax.Array]:
        for normal in units(i.astype(jnp.uint32)):
            sums = add_unit(sums, normal)
        return sums

    def sums_over(first: Any, last: Any) -> Sequence[jax.Array]:
        zeros = [everywhere(np.float32(0)) for _ in rows]
        sums: Sequence[jax.Array] = jax.lax.fori_loop(first, last, add_step, zeros)
        return sums

    def add_sums(i: jax.Array, nothing: jax.Array) -> jax.Array:
        """Sums of sums lie in memory: registers have room for one of the two."""
        first = i * np.int32(STEPS_PER_SUM)
        for row, part in enumerate(sums_over(first, first + np.int32(STEPS_PER_SUM))):
            sums_ref[row, here] = laid_out(sums_ref[row, here]) + part
        return nothing

    steps = width // 2
    whole = steps // STEPS_PER_SUM
    if whole:
        for row in rows:
            sums_ref[row, here] = everywhere(np.float32(0))
        jax.lax.fori_loop(np.int32(0), np.int32(whole), add_sums, np.int32(0))
    sums = sums_over(np.int32(whole * STEPS_PER_SUM), np.int32(steps))
    last, bias = units(np.uint32(steps))
    if width % 2:
        sums = add_unit(sums, last)
    for row, total in enumerate(sums):
        if num_outputs:
            point, output = divmod(row, num_outputs)
            total = total + offset[point] * bias[output]
        if whole:
            total = total + laid_out(sums_ref[row, here])
        sums_ref[row, here] = total


def _total(terms: Iterable[jax.Array]) -> jax.Array:
    """Their sum, without the 0 that `sum` begins with."""
    total, *rest = terms
    for term in rest:
        total = total + term
    return total
