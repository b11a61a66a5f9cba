"""The size of many numbers in one."""

from collections.abc import Sequence

import numpy as np


def rms(values: np.ndarray | Sequence[float]) -> float:
    """The root mean square over all axes."""
    return float(np.sqrt(np.mean(np.square(values))))
