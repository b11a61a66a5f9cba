r"""The squared size of a measured vector, with what noise adds to it taken out.

For an estimate v = g + noise of covariance C, |v|² − tr C is unbiased for |g|², and for
normal noise Var |v|² = 4 g·C g + 2 tr C².
"""

import numpy as np

from nnft_ppl._typing import Matrix, Packed

SEEN = 3.0
"""Standard errors of the square from which on a size is more than noise."""


def noise_free_square(values: Packed, covariance: Matrix) -> tuple[float, float]:
    """|v|² − tr C, of any sign, and one standard error of it.

    v·C v overestimates g·C g by tr C². What is left is not let below 0, so that where
    noise dominates the error is rather too large.

    Args:
        values: (entry,) v.
        covariance: (entry, entry) C, of these estimates.
    """
    noise = float(np.sum(covariance**2))
    signal = max(float(values @ covariance @ values) - noise, 0.0)
    square = float(values @ values) - float(np.trace(covariance))
    return square, (4 * signal + 2 * noise) ** 0.5
