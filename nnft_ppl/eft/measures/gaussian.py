"""A soft cutoff: all of space, faraway points with little weight."""

from dataclasses import dataclass

import numpy as np

from nnft_ppl.eft.measures.measure import Measure
from nnft_ppl.eft.mesh.regions import Profile, Region, Setting, ball_region

_STEPS = np.array([-6.0, -3.0, 0.0, 1.0, 3.0, 6.0, 9.0, 12.5])  # e^{−12.5²/2} < 1e-33


@dataclass(frozen=True)
class GaussianCutoff(Measure):
    """∫ dy exp(−|y|²/(2Λ²)) over all space: a soft cutoff. Dimensions as `Ball`."""

    name = "gaussian"
    script = "nnft.GaussianCutoff()"

    def integral(self, point: str) -> str:
        """LaTeX of ∫ dμ; see `Measure`."""
        return rf"\int d^d{point}\,e^{{-|{point}|^2/2\Lambda^2}}"

    def region(self, setting: Setting) -> Region:
        """Nodes with a weight instead of an edge."""
        # In many dimensions r^{d−1} e^{−r²/2Λ²} is all near √(d − 1) Λ.
        steps = _STEPS + np.sqrt(setting.dim - 1)
        return ball_region(setting, Profile(_weight, _slope, steps[steps > 0]))


def _weight(ratio: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-(ratio**2) / 2))


def _slope(ratio: np.ndarray) -> np.ndarray:
    return np.asarray(_weight(ratio) * ratio**2)
