"""Exact connected correlators of networks of independent, identical neurons.

In: a `Network` whose architecture gives its neuron and its Gaussian last layer. Out:
connected correlators with bounds on their numerical error. Nothing is sampled and
nothing is expanded in 1/N.
"""

from collections.abc import Sequence
from math import factorial, prod
from numbers import Integral

import numpy as np
from jaxtyping import ArrayLike

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Packed
from nnft_ppl.correlators.partitions import MAX_ORDER, even_partitions
from nnft_ppl.correlators.quadrature import neuron_moments
from nnft_ppl.correlators.symmetric import entries, positions


def exact_cumulants(
    network: Network, x: ArrayLike, orders: Sequence[int]
) -> tuple[dict[int, Packed], dict[int, Packed]]:
    r"""Connected correlators of one output at the network's finite width N.

    With h = a φ/√N one neuron's contribution, a ~ N(0, σ_W²), the joint cumulant of the
    sum over N independent neurons is N times that of one. With m_k = (k−1)!! the
    standardised moment of a Gaussian output weight,

    .. math:: G^{(k)}_c = \sigma_W^k N^{1-k/2} \sum_\pi (-1)^{|\pi|-1} (|\pi|-1)!
        \prod_{B \in \pi} m_{|B|} E[\phi_B] \;+\; \sigma_b^2 \delta_{k2}

    over the partitions π of the legs into blocks B of even size. A joint cumulant has
    no factorials beside it: G4c is the coefficient of a product of four different
    sources, positive where tails are heavier than Gaussian.

    Args:
        network: Its architecture gives `neuron` and `readout`.
        x: Inputs, (point, input_dim).
        orders: Even numbers up to `MAX_ORDER`.

    Returns:
        By order, the connected correlators, output bias included, and their absolute
        errors, float64, (entry,), in the order of `correlators.symmetric.entries`. The
        error is a bound estimated from the quadrature, not a standard deviation.

    Raises:
        SpecError: An order or the inputs are out of range.
        UnavailableError: The architecture gives no neuron, or no quadrature serves it.

    Source: theory.md §2.
    """
    _check_orders(orders)
    points = network.check_inputs(x)
    neuron, readout = network.neuron(), network.readout()
    if neuron is None or readout is None:
        raise UnavailableError(
            f"architecture {network.name!r} gives no i.i.d. neuron, so its correlators "
            "have no exact form here; use measure_correlators"
        )
    # A partition of k legs has blocks of every even size up to k.
    needed = range(2, max(orders) + 1, 2)
    moments, errors = neuron_moments(neuron, points, needed)
    connected, bounds = {}, {}
    for order in orders:
        value, bound = _cumulant(moments, errors, len(points), order)
        scale = readout.weight_std**order * network.width ** (1 - order / 2)
        connected[order], bounds[order] = scale * value, scale * bound
    if 2 in connected:
        connected[2] = connected[2] + readout.bias_std**2
    return connected, bounds


def _check_orders(orders: Sequence[int]) -> None:
    """Refuse orders that have no exact cumulants here."""
    allowed = list(range(2, MAX_ORDER + 1, 2))
    if not orders:
        raise SpecError(f"`orders` is empty; choose from {allowed}")
    for order in orders:
        if (
            not isinstance(order, Integral)
            or isinstance(order, bool)
            or order not in allowed
        ):
            raise SpecError(
                f"order {order!r} has no exact connected correlator; choose from "
                f"{allowed} (odd ones vanish by symmetry)"
            )


def _cumulant(
    moments: dict[int, Packed], errors: dict[int, Packed], num_points: int, order: int
) -> tuple[Packed, Packed]:
    """Joint cumulant of a φ with a ~ N(0, 1), all entries, and a bound on its error."""
    legs = entries(num_points, order)
    total, bound = np.zeros(len(legs)), np.zeros(len(legs))
    for partition in even_partitions(order):
        value = np.full(len(legs), _sign_and_multiplicity(len(partition)))
        largest = np.abs(value)
        for block in partition:
            size = len(block)
            weight = normal_moment(size)
            at = positions(num_points, legs[:, block])
            value = value * weight * moments[size][at]
            largest = largest * weight * (np.abs(moments[size]) + errors[size])[at]
        total += value
        # The largest the product can be, less its value, with the rounding of the sum.
        bound += largest - np.abs(value) + 4 * np.finfo(float).eps * largest
    return total, bound


def _sign_and_multiplicity(num_blocks: int) -> float:
    """(−1)^{|π|−1} (|π|−1)!, the weight of a partition in a cumulant."""
    return float((-1) ** (num_blocks - 1) * factorial(num_blocks - 1))


def normal_moment(order: int) -> int:
    """(k−1)!!, the moment of even order k of a standard normal number."""
    return prod(range(1, order, 2))
