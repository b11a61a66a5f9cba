"""The other half of the plugin contract: one operator of the effective action.

An operator is a product of fields, plain or differentiated, at one or more integration
points y, integrated over the action's measure with a weight. Its diagrams follow from
Wick contraction (`nnft_ppl.eft.diagrams`); none is typed in.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nnft_ppl._arguments import is_whole
from nnft_ppl._errors import SpecError, shown
from nnft_ppl._travel import Reduced, by_value
from nnft_ppl._typing import Points

_MANY = 100
"""More factors S_GP than any order that is computed has."""


def unit_weight(*points: Points) -> np.ndarray:
    """Weight 1 at every integration point."""
    return np.ones(points[0].shape[:-1])


@dataclass(frozen=True)
class ProductWeight:
    """A weight of several points as a sum of products, w = Σ_t Π_p u_p(y_p)[t].

    Integrals over several points then factorise, which is what makes them possible in
    more than one dimension.

    Args:
        factors: Per integration point, (..., dim) -> (..., term).
    """

    factors: tuple[Callable[[Points], np.ndarray], ...]

    def __call__(self, *points: Points) -> np.ndarray:
        """The weight itself, (..., dim) per point -> (...)."""
        terms = [u(y) for u, y in zip(self.factors, points, strict=True)]
        return np.asarray(np.prod(terms, axis=0).sum(axis=-1))


@dataclass(frozen=True, kw_only=True)
class Operator:
    r"""One term of the action, ΔS = Σ g O, P ∝ e^{−S}.

    .. math:: O = \int dμ(y_0) \ldots dμ(y_m)\, w(y_0, \ldots, y_m)
        \prod_i \partial^{(i)} f(y_{\mathrm{fields}[i]}) \; S_{GP}^q

    f is the field less its mean; of operators with one field the mean is made.

    Args:
        name: What the user writes.
        symbol: LaTeX, without dollar signs.
        fields: For each field, the integration point (0, 1, …) it sits at.
        derivatives: For each field 0, or a number that exactly two fields share: these
            carry ∂_a and ∂_a, summed over the directions a. Empty for none at all;
            (0, 0, 1, 1) with four fields at one point is f² |∇f|².
        quadratic_forms: q, further factors S_GP = ½ ∫∫ f K⁻¹ f with two fields each.
        weight: (one (..., dim) array per integration point) -> (...) weight, or a
            `ProductWeight`; one that depends on several points in another way is
            integrated over pairs of points, which is slow beyond one dimension.

    Source: theory.md §4.
    """

    name: str
    symbol: str
    fields: tuple[int, ...] = ()
    derivatives: tuple[int, ...] = ()
    quadratic_forms: int = 0
    weight: Callable[..., np.ndarray] = unit_weight
    weight_symbol: str = ""

    def __post_init__(self) -> None:
        """Refuse field patterns that are no operator."""
        self._check_kinds()
        points = set(self.fields)
        if points != set(range(len(points))):
            raise SpecError(
                f"operator {self.name!r} has fields at points {self.fields}; expected "
                "points numbered 0, 1, … without gaps"
            )
        if self.quadratic_forms < 0 or not self.num_fields:
            raise SpecError(
                f"operator {self.name!r} has fields {self.fields} and "
                f"{self.quadratic_forms} quadratic forms; expected at least one field"
            )
        labels = Counter(label for label in self.derivatives if label)
        if (self.derivatives and len(self.derivatives) != len(self.fields)) or any(
            count != 2 for count in labels.values()
        ):
            raise SpecError(
                f"operator {self.name!r} has derivatives {self.derivatives} for fields "
                f"at {self.fields}; expected one number per field, 0 for none, each "
                "other number exactly twice"
            )
        if isinstance(self.weight, ProductWeight) and len(self.weight.factors) != len(
            points
        ):
            raise SpecError(
                f"operator {self.name!r} has {len(points)} integration points and a "
                f"product weight of {len(self.weight.factors)} factors; expected one "
                "factor per point"
            )

    def _check_kinds(self) -> None:
        for part, fits, expected in (
            ("name", isinstance(self.name, str), "a text"),
            ("symbol", _is_latex(self.symbol), "LaTeX without dollar signs"),
            ("fields", _are_whole(self.fields), "whole numbers"),
            ("derivatives", _are_whole(self.derivatives), "whole numbers"),
            (
                "quadratic_forms",
                is_whole(self.quadratic_forms) and self.quadratic_forms <= _MANY,
                f"a whole number up to {_MANY}",
            ),
            ("weight", callable(self.weight), "a function"),
            (
                "weight_symbol",
                _is_latex(self.weight_symbol),
                "LaTeX without dollar signs",
            ),
        ):
            if not fits:
                raise SpecError(
                    f"operator {shown(self.name)} has `{part}` "
                    f"{shown(getattr(self, part))}; expected {expected}"
                )

    def __reduce__(self) -> Reduced:
        """For pickle; one of a plugin goes by name, see `nnft_ppl.registry`."""
        return by_value(
            self,
            f"the operator {self.name!r}",
            "define its functions at the top of a module",
        )

    @property
    def num_fields(self) -> int:
        """Number of fields: the order of the correlator it first contributes to."""
        return len(self.fields) + 2 * self.quadratic_forms

    @property
    def num_points(self) -> int:
        """Number of integration points."""
        return len(set(self.fields))

    @property
    def is_differential(self) -> bool:
        """Whether a field carries a derivative."""
        return any(self.derivatives)


def _is_latex(text: object) -> bool:
    """For a place in an equation, which has its dollar signs already."""
    return isinstance(text, str) and "$" not in text


def _are_whole(numbers: object) -> bool:
    return isinstance(numbers, Sequence) and all(map(is_whole, numbers))
