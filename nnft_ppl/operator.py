"""The other half of the plugin contract: one operator of the effective action.

An operator is a product of fields at one or more integration points y, integrated over
the box [−Λ, Λ]^d with a weight. Its diagrams follow from Wick contraction
(`nnft_ppl.eft.diagrams`); none is typed in.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nnft_ppl._errors import SpecError
from nnft_ppl._typing import Points


def unit_weight(*points: Points) -> np.ndarray:
    """Weight 1 at every integration point."""
    return np.ones(points[0].shape[:-1])


@dataclass(frozen=True, kw_only=True)
class Operator:
    """O = ∫ dy_1…dy_m w(y_1, …, y_m) Π_i f(y_{fields[i]}), in ΔS = Σ g O, P ∝ e^{−S}.

    Args:
        name: What the user writes.
        symbol: LaTeX, without dollar signs.
        fields: For each field, the integration point (0, 1, …) it sits at.
        weight: (one (..., dim) array per integration point) -> (...) weight.

    Source: theory.md §4.
    """

    name: str
    symbol: str
    fields: tuple[int, ...]
    weight: Callable[..., np.ndarray] = unit_weight

    def __post_init__(self) -> None:
        """Refuse field patterns that are no operator."""
        points = set(self.fields)
        if points != set(range(len(points))) or not points:
            raise SpecError(
                f"operator {self.name!r} has fields at points {self.fields}; expected "
                "points numbered 0, 1, … without gaps"
            )
        if len(self.fields) % 2:
            raise SpecError(
                f"operator {self.name!r} has {len(self.fields)} fields; expected an "
                "even number, because the ensemble is symmetric under f → −f"
            )

    @property
    def num_fields(self) -> int:
        """Number of fields: the order of the correlator it first contributes to."""
        return len(self.fields)

    @property
    def num_points(self) -> int:
        """Number of integration points."""
        return len(set(self.fields))
