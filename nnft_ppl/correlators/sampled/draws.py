"""What each network contributes, before any product is taken."""

from functools import partial

import jax
from jaxtyping import Float

from nnft_ppl._network import Network
from nnft_ppl.correlators.sampled.estimators import Estimator, Inputs
from nnft_ppl.correlators.sampled.pallas_preactivations import kernel_draws
from nnft_ppl.correlators.sampled.preactivations import (
    has_independent_neurons,
    neuron_draws,
    num_sums,
)
from nnft_ppl.correlators.sampled.wide_preactivations import wide_neuron_draws
from nnft_ppl.ensemble.device_sizes import DeviceSizes
from nnft_ppl.ensemble.generator_names import ROUNDS
from nnft_ppl.ensemble.model import Stream, over_networks


def draws_preactivations(network: Network, generator: str) -> bool:
    """Whether networks are drawn from their preactivations, not their parameters."""
    return generator in ROUNDS and has_independent_neurons(network)


def network_draws(
    network: Network,
    estimator: Estimator,
    orders: tuple[int, ...],
    inputs: Inputs,
    stream: Stream,
    start: jax.Array,
    count: int,
    generator: str,
    sizes: DeviceSizes,
    *,
    one_kernel: bool,
) -> Float[jax.Array, "row draw"]:
    """What networks start … start+count−1 contribute, in scaled units.

    Args:
        network: What is drawn.
        estimator: What of it.
        orders: From `Estimator.drawn_orders`.
        inputs: Where, and in which units.
        stream: From `stream_at`.
        start: First network's number in the stream, uint32.
        count: Number of networks.
        generator: One of `GENERATORS`.
        sizes: Of the device.
        one_kernel: Draw by `kernel_draws`, which `pallas_service.serves` must allow.
    """
    if draws_preactivations(network, generator):
        outputs = estimator.draws_outputs
        num_outputs = network.hyperparameters.output_dim if outputs else 0
        neurons = neuron_draws
        if one_kernel:
            neurons = kernel_draws
        elif num_sums(len(inputs.points), num_outputs) <= sizes.fused_rows:
            neurons = partial(wide_neuron_draws, steps=sizes.steps)
        draws = neurons(
            network,
            inputs.factor,
            inputs.per_leg,
            stream,
            start,
            count,
            outputs=outputs,
            rounds=ROUNDS[generator],
        )
        return estimator.of_neurons(draws, network, inputs)
    one = estimator.of_network(network, orders, inputs)
    return over_networks(network, one, stream, start, count, generator, sizes)
