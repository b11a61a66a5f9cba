"""Priors on dimensionless couplings and on the model discrepancy.

c_i = O(1/N) is natural for a quartic operator: c_i is its share of the connected
correlator in units of the Gaussian moment, which for every network with N independent
units falls as 1/N. Both signs are equally likely; a positive excess kurtosis means a
negative λ_0 (theory.md §6, §8).
"""

import math
from dataclasses import dataclass

import numpy as np

from nnft_ppl._errors import SpecError
from nnft_ppl.eft.action import Action


@dataclass(frozen=True, kw_only=True)
class Prior:
    """c_i ~ N(0, (natural_size/N)^{k−2}), s ~ HalfNormal(discrepancy_scale).

    k is the number of fields of the operator: a connected k-pt function of N units
    falls as N^{1−k/2} relative to the Gaussian moment.

    Args:
        natural_size: Prior standard deviation of N·c for four fields. The default is
            wide: λ_0 of HMS's three nets has 0.6, 5 and 53, and operators that nearly
            cancel one another reach some hundreds.
        discrepancy_scale: Scale of the relative discrepancy s; at 1 an action that
            explains nothing at all is not surprising.

    Raises:
        SpecError: A scale is not positive and finite.
    """

    natural_size: float = 300.0
    discrepancy_scale: float = 1.0

    def __post_init__(self) -> None:
        """Check both scales."""
        for name in ("natural_size", "discrepancy_scale"):
            value = getattr(self, name)
            if (
                not isinstance(value, (int, float))
                or isinstance(value, bool)
                or not (math.isfinite(value) and value > 0)
            ):
                raise SpecError(f"prior `{name}` is {value!r}; expected a number > 0")

    def coupling_scales(self, width: int, action: Action) -> np.ndarray:
        """(operator,) standard deviation of each dimensionless coupling at width N."""
        fields = np.array([operator.num_fields for operator in action.operators])
        return np.asarray((self.natural_size / width) ** (fields / 2 - 1))
