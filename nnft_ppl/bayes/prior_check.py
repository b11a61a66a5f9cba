"""Whether targets are such as networks of the prior give at all.

In: a network, data, the noise. Out: a warning where no posterior can be worth reading,
however well it is computed: raw units, or scales that were never chosen.
"""

import warnings

import numpy as np
import scipy.linalg

from nnft_ppl._network import Network
from nnft_ppl.bayes.by_weights import PosteriorWarning
from nnft_ppl.bayes.data import Data
from nnft_ppl.bayes.scales import Scales

_SURPRISING = 5.0
"""Standard deviations, root mean square over targets; 1 is expected."""


def warn_of_surprise(network: Network, data: Data, scales: Scales) -> bool:
    """Say where targets are far from all that the prior and the noise give.

    Measured is yᵀ (K + σ²)⁻¹ y over the number of targets, 1 on average where the data
    are of the Gaussian process with the kernel K of the network. Nothing is said where
    K is not known, there is no noise, or a scale is to be inferred.

    Returns:
        Whether something was said.

    Warns:
        PosteriorWarning: Its root is more than 5.
    """
    noise_std = scales.noise_std
    if not network.has_kernel or scales.laws or not isinstance(noise_std, float):
        return False
    if noise_std == 0:
        return False
    covariance = network.kernel(data.x) + noise_std**2 * np.eye(len(data.x))
    factor = scipy.linalg.cho_factor(covariance, lower=True)
    squares = (data.y * scipy.linalg.cho_solve(factor, data.y)).sum()
    surprise = float(np.sqrt(squares / data.y.size))
    if surprise > _SURPRISING:
        warnings.warn(
            f"the targets are {surprise:.3g} standard deviations (root mean square) "
            "from what these networks and this noise give, where 1 is expected: the "
            "answer is that of a wrong prior. Standardise inputs and targets, or "
            "choose weight_std, bias_std and the noise to their size",
            PosteriorWarning,
            stacklevel=3,
        )
    return surprise > _SURPRISING
