"""Exact connected correlators of networks of independent, identical neurons.

In: a `Network` whose architecture gives its neuron and its last layer. Out: connected
correlators with bounds on their numerical error. Nothing is sampled and nothing is
expanded in 1/N.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import ArrayLike, Int

from nnft_ppl._arguments import is_whole
from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Packed
from nnft_ppl.correlators.neuron.moments import neuron_moments
from nnft_ppl.correlators.partitions import (
    MAX_ORDER,
    cumulant_weight,
    partitions,
)
from nnft_ppl.correlators.readout_weights import weight_moments
from nnft_ppl.correlators.symmetric import entries, positions


def exact_cumulants(
    network: Network, x: ArrayLike, orders: Sequence[int]
) -> tuple[dict[int, Packed], dict[int, Packed]]:
    r"""Connected correlators at the network's finite width N.

    With h_i = a_i φ/√N one neuron's contribution to output i, a_i of variance σ_W², the
    joint cumulant of the sum over N independent neurons is N times that of one. With
    m_k the standardised moment of an output weight, (k−1)!! if normal, and zero if k is
    odd and the weight symmetric,

    .. math:: G^{(k)}_c = \sigma_W^k N^{1-k/2} \sum_\pi (-1)^{|\pi|-1} (|\pi|-1)!
        \prod_{B \in \pi} E[\phi_B] \prod_i m_{n_i(B)} \;+\;
        \mu_b \delta_{k1} + \sigma_b^2 \delta_{k2}

    over the partitions π of the legs into blocks B, n_i(B) of them of output i; of even
    size alone where weights are symmetric, and of odd functions the mean μ_b of the
    bias is then all. A joint cumulant has no factorials beside it: G4c is the
    coefficient of a product of four different sources, positive where tails are heavier
    than Gaussian.

    Args:
        network: Its architecture gives `neuron` and `readout`.
        x: Inputs, (point, input_dim).
        orders: Numbers up to `MAX_ORDER`.

    Returns:
        By order, the connected correlators, output bias included, and their absolute
        errors, float64, (entry,), in the order of `correlators.symmetric.entries` over
        legs (see `Correlators.legs`). The error is a bound estimated from the
        quadrature, not a standard deviation.

    Raises:
        SpecError: An order or the inputs are out of range.
        UnavailableError: The architecture gives no neuron, no quadrature serves it, or
            the output weights lack a moment.

    Source: theory.md §2.
    """
    _check_orders(orders)
    points = network.check_inputs(x)
    # A partition of k legs has blocks of every even size up to k. Weights without a
    # moment come first: then there is nothing to measure either.
    weights = weight_moments(network, max(2, *orders))
    neuron, readout = network.neuron(), network.readout()
    if neuron is None or readout is None:
        raise UnavailableError(
            f"architecture {network.name!r} gives no i.i.d. neuron, so its correlators "
            "have no exact form here; use measure_correlators"
        )
    wanted = {k + k % 2 for k in weights} | set(weights)
    moments, errors = neuron_moments(neuron, points, tuple(sorted(wanted)))
    num_outputs = network.hyperparameters.output_dim
    connected, bounds = {}, {}
    for order in orders:
        value, bound = _cumulant(
            moments, errors, weights, len(points), num_outputs, order
        )
        scale = readout.weight_std**order * network.width ** (1 - order / 2)
        connected[order], bounds[order] = scale * value, scale * bound
    if 1 in connected:
        connected[1] = connected[1] + readout.bias_mean
    if 2 in connected:
        first, second = entries(len(points) * num_outputs, 2).T % num_outputs
        connected[2] = connected[2] + readout.bias_std**2 * (first == second)
    return connected, bounds


def _check_orders(orders: Sequence[int]) -> None:
    """Refuse orders that have no exact cumulants here."""
    allowed = list(range(1, MAX_ORDER + 1))
    if not orders:
        raise SpecError(f"`orders` is empty; choose from {allowed}")
    for order in orders:
        if not is_whole(order) or order not in allowed:
            raise SpecError(
                f"order {order!r} has no exact connected correlator; choose from "
                f"{allowed}"
            )


def _cumulant(
    moments: Mapping[int, Packed],
    errors: Mapping[int, Packed],
    weights: Mapping[int, float],
    num_points: int,
    num_outputs: int,
    order: int,
) -> tuple[Packed, Packed]:
    """Joint cumulant of a_i φ, E[a_i²] = 1, all entries, and a bound on its error."""
    points, outputs = np.divmod(entries(num_points * num_outputs, order), num_outputs)
    total, bound = np.zeros(len(points)), np.zeros(len(points))
    for partition in partitions(order, weights):
        value = np.full(len(points), cumulant_weight(len(partition)))
        largest = np.abs(value)
        for block in partition:
            size = len(block)
            weight = _block_weight(weights, outputs[:, block], num_outputs)
            at = positions(num_points, points[:, block])
            value = value * weight * moments[size][at]
            largest = largest * weight * (np.abs(moments[size]) + errors[size])[at]
        total += value
        # The largest the product can be, less its value, with the rounding of the sum.
        bound += largest - np.abs(value) + 4 * np.finfo(float).eps * largest
    return total, bound


def _block_weight(
    weights: Mapping[int, float],
    outputs: Int[np.ndarray, "entry leg"],
    num_outputs: int,
) -> Packed:
    """E[Π a] over the legs of a block: those of different outputs are independent."""
    moment = np.zeros(outputs.shape[1] + 1)
    moment[0] = 1.0
    for order, value in weights.items():
        if order < len(moment):
            moment[order] = value
    counts = [(outputs == i).sum(axis=1) for i in range(num_outputs)]
    return np.prod(moment[np.array(counts)], axis=0)
