"""Outputs so small or large that their correlators leave the range of float64.

A k-pt function is of the size of the field to the power k, its covariance to the power
2k. Beyond the range numbers silently become 0 or infinity, and ratios of them NaN.
"""

import numpy as np

from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network

_DECADES = 300
"""Of float64, on either side of 1, that sizes are kept within."""
_DECADES_32 = 36
"""The same of float32, in which networks are sampled."""


def check_sizes(
    network: Network, sizes: np.ndarray, order: int, *, sampled: bool
) -> None:
    """Refuse outputs whose k-pt functions numbers do not hold.

    Args:
        network: Whose outputs they are.
        sizes: Their standard deviations, in float64; 0 is allowed.
        order: The highest k.
        sampled: Whether networks are drawn and a covariance is made.

    Raises:
        SpecError: One is too small or too large.
    """
    decades = _DECADES // order
    if sampled:
        decades = min(_DECADES_32, _DECADES // (2 * order))
    with np.errstate(divide="ignore"):
        bad = (sizes > 0) & (np.abs(np.log10(sizes)) > decades)
    if bad.any():
        raise SpecError(
            f"outputs of {network.name!r} are of size {sizes[bad][0]:.1g} here; their "
            f"{order}-pt function can be had from 1e-{decades} to 1e{decades}. Bring "
            "`weight_std` or the inputs nearer to 1, or ask for a lower order"
        )
