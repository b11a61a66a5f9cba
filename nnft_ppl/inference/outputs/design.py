"""Responses of the field's density to dimensionless couplings.

In: an action, a network, inputs and cutoffs. Out: arrays. Fits and simulations of raw
outputs share them, and a fit that was saved is checked against them.
"""

import numpy as np

from nnft_ppl._network import Network
from nnft_ppl._typing import Points
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.expansion import coupling_scale, design_matrix


def scaled_design(
    action: Action, network: Network, x: Points, cutoffs: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Responses of the connected 4-pt function to the dimensionless couplings.

    Returns:
        Responses (cutoff, entry, operator); their `coupling_scale` (cutoff, operator);
        and the largest error of a response.

    Raises:
        SpecError: An operator has no effect.
        FitError: An integral did not converge.
    """
    design = design_matrix(action, network, x, np.array(cutoffs), 4)
    scale = coupling_scale(action, cutoffs, {4: design}, network.propagator(x))
    per_operator = scale[:, None, :]
    return (
        design.values / per_operator,
        scale,
        float(np.max(design.error / per_operator)),
    )
