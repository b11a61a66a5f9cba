"""The sampling noise of measured correlators as independent modes.

In: an estimated covariance in natural units, often ill-conditioned, sometimes singular,
from heavy-tailed data. Out: an orthogonal basis and one variance per mode.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nnft_ppl._typing import Matrix

_ROUNDING = 1e-7
"""Rounding of second moments summed in float32, relative to the largest mode."""


class NoiseModes(NamedTuple):
    """Independent modes of the noise.

    Attributes:
        rotation: (entry, mode) orthogonal; modes = rotationᵀ (data / size).
        variance: (mode,) from sampling.
        rounding: Variance below which a mode is rounding, added to every mode.
        relative_noise: Root mean square over entries of sampling error over size.
    """

    rotation: Matrix
    variance: Float[np.ndarray, " mode"]
    rounding: float
    relative_noise: float


def no_noise(num_entries: int) -> NoiseModes:
    """The modes of exact data: the entries themselves."""
    return NoiseModes(np.eye(num_entries), np.zeros(num_entries), 0.0, 0.0)


def noise_modes(covariance: Matrix, num_batches: int) -> NoiseModes:
    """Eigenmodes of an estimated covariance.

    Args:
        covariance: Of the estimates, in natural units (entry, entry).
        num_batches: Batch means it was estimated from.
    """
    noise, rotation = np.linalg.eigh(covariance)
    inflation = _inverse_inflation(num_batches, len(noise))
    return NoiseModes(
        rotation=rotation,
        variance=np.maximum(noise * inflation, 0.0),
        rounding=float(_ROUNDING * noise[-1]),
        relative_noise=float(np.sqrt(np.mean(noise))),
    )


def _inverse_inflation(num_batches: int, num_entries: int) -> float:
    """Widening of a covariance that was estimated from few batches.

    The inverse of a sample covariance overestimates information by this factor, on
    average, for normal batch means (Hartlap, Simon, Schneider, 2007, equation 17).
    """
    return (num_batches - 1) / max(num_batches - num_entries - 2, 1)
