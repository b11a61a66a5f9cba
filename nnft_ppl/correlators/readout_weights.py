"""The law of one output weight, as correlators need it: moments and cumulants.

In: a `Network`. Out: numbers by order, or a clear refusal where the law is so
heavy-tailed that a correlator does not exist at finite width.
"""

from collections.abc import Mapping
from math import isfinite, prod

import numpy as np

from nnft_ppl._errors import UnavailableError
from nnft_ppl._network import Network
from nnft_ppl.correlators.wick import connected_from_moments


def normal_moment(order: int) -> int:
    """(k−1)!!, the moment of even order k of a standard normal number."""
    return prod(range(1, order, 2))


def weight_moments(network: Network, highest: int) -> dict[int, float]:
    """K -> E[a^k]/E[a²]^{k/2} of one output weight, up to order `highest`.

    Of even k alone where the weight is symmetric.

    Args:
        network: One with a linear last layer.
        highest: Order.

    Raises:
        UnavailableError: The weights have no such moment, so that neither has the
            output: the correlator does not exist at any finite width.
    """
    readout = network.readout()
    law = None if readout is None else readout.weight_moment
    moments: dict[int, float] = {}
    odd = None if readout is None else readout.odd_weight_moment
    for order in range(1, highest + 1):
        if order % 2 and odd is None:
            continue
        of_order = odd if order % 2 else law
        moment = float(normal_moment(order) if of_order is None else of_order(order))
        if not isfinite(moment):
            below = (
                f"ask for orders up to {order - (2 if odd is None else 1)}"
                if order > 2
                else "choose weights of finite variance"
            )
            raise UnavailableError(
                f"the output weights of {network.name!r} have no moment of order "
                f"{order}, so its {order}-pt function does not exist at finite width; "
                f"{below}"
            )
        moments[order] = moment
    return moments


def bias_mean(network: Network) -> float:
    """Mean of the output bias; 0 where no readout tells it."""
    readout = network.readout()
    return 0.0 if readout is None else readout.bias_mean


def weight_cumulants(moments: Mapping[int, float]) -> dict[int, float]:
    """The cumulants of the standardised weight: 1, excess kurtosis, …; 0 if normal."""
    packed = {k: np.array([moment]) for k, moment in moments.items()}
    return {k: float(connected_from_moments(packed, 1, k)[0][0]) for k in moments}
