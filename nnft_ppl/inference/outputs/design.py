"""Responses of the field's density to dimensionless couplings.

In: an action, a network, inputs and cutoffs. Out: arrays. Fits and simulations of raw
outputs share them, and a fit that was saved is checked against them.
"""

import numpy as np

from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._rms import rms
from nnft_ppl._typing import Points
from nnft_ppl.correlators.wick import gaussian_moment
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.expansion import design_matrix


def scaled_design(
    action: Action, network: Network, x: Points, cutoffs: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Responses of the connected 4-pt function to the dimensionless couplings.

    Returns:
        Responses (cutoff, entry, operator); scale (cutoff, operator), c = g · scale,
        so that c is the rms of G4c over that of Σ_3 KK, the output bias left out of K;
        and the largest error of a response.

    Raises:
        SpecError: An operator has no effect.
        FitError: An integral did not converge.
    """
    design, error = design_matrix(action, network, x, np.array(cutoffs), 4)
    natural = rms(gaussian_moment(network.propagator(x), 4))
    scale = np.sqrt(np.mean(design**2, axis=1)) / natural
    if not (scale > 0).all():
        cutoff, operator = np.argwhere(~(scale > 0))[0]
        raise SpecError(
            f"operator {action.names[operator]!r} has no effect on these inputs at "
            f"cutoff {cutoffs[cutoff]}; choose a larger cutoff or leave it out"
        )
    per_operator = scale[:, None, :]
    return design / per_operator, scale, float(np.max(error / per_operator))
