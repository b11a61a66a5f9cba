"""What is taken off before products: a mean and a 2-pt function near those measured.

Averages do not depend on them but for rounding, so that a few networks serve where the
architecture does not tell; with the exact 2-pt function some estimators are unbiased.
"""

from collections.abc import Callable

import numpy as np

from nnft_ppl._network import Network
from nnft_ppl._typing import Packed, Points
from nnft_ppl.correlators.readout_weights import bias_mean
from nnft_ppl.correlators.sampled.estimators import Estimator
from nnft_ppl.correlators.sampled.measurement import Measurement, known_kernel
from nnft_ppl.correlators.symmetric import entries, num_entries


def references(
    network: Network,
    points: Points,
    orders: tuple[int, ...],
    estimator: Estimator,
    pilot: Callable[[Measurement], Packed],
) -> tuple[Packed, Packed | None]:
    """The 2-pt function, packed over legs, and the mean or `None` for none.

    Args:
        network: What is drawn.
        points: Inputs.
        orders: All even orders, or all from 1.
        estimator: By which route.
        pilot: Averages of a few networks, all orders of a measurement concatenated.
    """
    num_legs = len(points) * network.hyperparameters.output_dim
    kernel, mean = None, None
    lowest: tuple[int, ...] = (2,)
    if network.has_kernel:
        kernel, lowest = known_kernel(network, points, estimator), ()
    if estimator.takes_off_mean and 1 in orders:
        lowest = (1, 2)
    elif estimator.takes_off_mean and not estimator.leaves_out_bias:
        known = bias_mean(network)  # about which the field is symmetric
        mean = np.full(num_legs, known) if known else None
    if not lowest:
        assert kernel is not None
        return kernel, mean
    none = np.zeros(num_entries(num_legs, 2))
    found = pilot(Measurement(network, points, lowest, estimator, none, mean))
    if 1 in lowest:
        mean, found = found[:num_legs], found[num_legs:]
        first, second = entries(num_legs, 2).T
        found = found - mean[first] * mean[second]
    return found if kernel is None else kernel, mean
