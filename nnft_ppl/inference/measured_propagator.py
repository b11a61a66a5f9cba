"""What the error of a measured kernel does to predictions.

In: a network whose kernel is an average over networks, an action and its couplings.
Out: the covariance, as a factor, of the connected correlators that these predict, the
kernel being known to its error alone. All propagators of a diagram are off together, so
the diagrams are done again with each block of networks left out of the kernel.

Source: J. W. Tukey, Annals of Mathematical Statistics 29, 614 (1958), the jackknife.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from nnft_ppl._network import Network
from nnft_ppl._typing import Points
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.expansion import expand


def measured_error(
    network: Network,
    action: Action,
    x: Points,
    cutoffs: Sequence[float],
    couplings: Float[np.ndarray, "cutoff operator"],
) -> Float[np.ndarray, "cutoff entry block"]:
    """F with F Fᵀ the covariance of the predicted correlators, at every cutoff.

    Args:
        network: With a measured kernel.
        action: Its orders are predicted, concatenated.
        x: Inputs.
        cutoffs: Of the measure.
        couplings: g.
    """
    draws = network.kernel_draws
    assert draws is not None  # the caller has seen to it
    parts = [
        replace(network, kernel_draws=replace(draws, left_out=block))
        for block in draws.blocks
    ]
    found = np.array([predicted(p, action, x, cutoffs, couplings) for p in parts])
    scatter = np.moveaxis(found - found.mean(axis=0), 0, -1)
    # The variance of so few is itself uncertain; it is that of a t distribution.
    freedom = len(parts) - 1
    widening = freedom / (freedom - 2)
    return np.asarray(scatter * np.sqrt(widening * freedom / len(parts)))


def predicted(
    network: Network,
    action: Action,
    x: Points,
    cutoffs: Sequence[float],
    couplings: Float[np.ndarray, "cutoff operator"],
) -> Float[np.ndarray, "cutoff entry"]:
    """Connected correlators of all orders of the action."""
    expansion = expand(action, network, x, np.array(cutoffs), action.orders)
    return np.array(
        [
            np.concatenate([expansion.connected(k, i, g) for k in action.orders])
            for i, g in enumerate(couplings)
        ]
    )
