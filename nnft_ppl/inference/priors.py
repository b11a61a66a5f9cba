"""Priors on dimensionless couplings and on the model discrepancy.

c_i = O(1/N) is natural: c_i is the operator's share of the connected correlator in
units of the Gaussian moment, which for every network with N independent units falls as
1/N. Positive and negative signs are equally likely; a positive excess kurtosis means a
negative λ_0 (theory.md §6, §8).
"""

import math
from dataclasses import dataclass

from nnft_ppl._errors import SpecError


@dataclass(frozen=True, kw_only=True)
class Prior:
    """c_i ~ N(0, (natural_size/N)²), s ~ HalfNormal(discrepancy_scale).

    Args:
        natural_size: Prior standard deviation of N·c_i. The default covers HMS's three
            nets (0.6, 5 and 53) within two standard deviations.
        discrepancy_scale: Scale of the relative discrepancy s; at 1 an action that
            explains nothing at all is not surprising.

    Raises:
        SpecError: A scale is not positive and finite.
    """

    natural_size: float = 30.0
    discrepancy_scale: float = 1.0

    def __post_init__(self) -> None:
        """Check both scales."""
        for name in ("natural_size", "discrepancy_scale"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise SpecError(f"prior `{name}` is {value!r}; expected a number > 0")

    def coupling_scale(self, width: int) -> float:
        """Standard deviation of each dimensionless coupling at width N."""
        return self.natural_size / width
