"""Priors on dimensionless couplings and on the model discrepancy.

c_i = O(1/N) is natural for a quartic operator: c_i is its share of the connected
correlator in units of the Gaussian moment, which for every network with N independent
units falls as 1/N. How large N·c is differs between networks and is inferred too, one
size for all operators of an action. Both signs are equally likely; a positive excess
kurtosis means a negative λ_0 (theory.md §6, §8).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nnft_ppl._arguments import check_kind, check_number
from nnft_ppl.eft.action import Action

_MAX_SPREAD = 5.0
"""A factor 22000 either way; beyond, the prior says nothing and grids get coarse."""


class SizePrior(NamedTuple):
    """Prior of the relative size r = τ / natural_size: log r ~ N(0, spread²).

    Attributes:
        spread: Standard deviation of log r, > 0.
        powers: (operator,) prior standard deviations of c go as r^power.
    """

    spread: float
    powers: np.ndarray


class Parameters(NamedTuple):
    """Draws of everything that has a prior, at one cutoff.

    Attributes:
        couplings: Dimensionless, (…, operator).
        discrepancy: s, (…); `None` where it is not a parameter.
        natural_size: τ, (…); `None` where it is fixed.
    """

    couplings: np.ndarray
    discrepancy: np.ndarray | None
    natural_size: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class Prior:
    """c_i ~ N(0, (τ/N)^{k−2}), log τ ~ N(log natural_size, spread²), s half-normal.

    k is the number of fields of the operator: a connected k-pt function of N units
    falls as N^{1−k/2} relative to the Gaussian moment. τ, the natural size, is common
    to the operators of an action. With one field, k = 2 is taken: a mean is a
    background, of the size of the field at any width.

    Args:
        natural_size: Median of τ, the prior standard deviation of N·c for four fields.
        spread: Standard deviation of log τ; 0 fixes τ at `natural_size`. By default 95
            % of the prior of τ is between 1.6 and 570: λ_0 of HMS's three nets has N·c
            of 0.6, 5 and 53, and operators that nearly cancel one another reach some
            hundreds. A τ that adapts charges each kind for its own size alone.
        discrepancy_scale: Scale of the half-normal prior of the relative discrepancy s;
            at 1 an action that explains nothing at all is not surprising.

    Raises:
        SpecError: A scale is not positive and finite, or the spread out of range.
    """

    natural_size: float = 30.0
    spread: float = 1.5
    discrepancy_scale: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers and make them floats."""
        scale = (lambda s: 0 < s < math.inf, "a scale of the prior, a number > 0")
        spread = (
            lambda s: 0 <= s <= _MAX_SPREAD,
            "a spread of the prior, a number from 0, which fixes the natural size, "
            f"to {_MAX_SPREAD:g}",
        )
        for name, allowed in (
            ("natural_size", scale),
            ("spread", spread),
            ("discrepancy_scale", scale),
        ):
            number = check_number(name, getattr(self, name), *allowed)
            object.__setattr__(self, name, number)

    @property
    def is_hierarchical(self) -> bool:
        """Whether the natural size is inferred."""
        return self.spread > 0

    @staticmethod
    def powers(action: Action) -> np.ndarray:
        """(operator,) k/2 − 1 of each, k its number of fields; 0 for one field."""
        fields = np.array([operator.num_fields for operator in action.operators])
        return np.asarray(np.maximum(fields / 2 - 1, 0.0))

    def size_prior(self, action: Action) -> SizePrior | None:
        """Prior of τ / natural_size for the operators of `action`; `None` if fixed."""
        if not self.is_hierarchical:
            return None
        return SizePrior(self.spread, self.powers(action))

    def scales_at(
        self, natural_size: float | np.ndarray, width: int, action: Action
    ) -> np.ndarray:
        """(…, operator) standard deviation of each c at width N, given τ (…)."""
        size = np.asarray(natural_size)[..., None]
        return np.asarray((size / width) ** self.powers(action))

    def coupling_scales(self, width: int, action: Action) -> np.ndarray:
        """(operator,) scales of c at width N with τ at its root mean square.

        With four fields these are the standard deviations of the prior, τ integrated
        out: for whoever needs a normal prior of the same width.
        """
        size = self.natural_size * math.exp(self.spread**2)
        return self.scales_at(size, width, action)

    def draw(
        self,
        rng: np.random.Generator,
        shape: tuple[int, ...],
        width: int,
        action: Action,
        *,
        discrepancy: bool,
    ) -> Parameters:
        """Independent draws of the given shape."""
        normals = rng.standard_normal((*shape, len(action.operators)))
        s = self.discrepancy_scale * np.abs(rng.standard_normal(shape))
        size = self.natural_size * np.exp(self.spread * rng.standard_normal(shape))
        return Parameters(
            self.scales_at(size, width, action) * normals,
            s if discrepancy else None,
            size if self.is_hierarchical else None,
        )

    def log_density(
        self, draws: Parameters, width: int, action: Action
    ) -> dict[str, np.ndarray]:
        """Log prior density of each parameter; of the couplings given the size.

        Returns:
            `dimensionless` (…, operator), and `discrepancy` and `natural_size` (…)
            where they are parameters.
        """
        size = self.natural_size if draws.natural_size is None else draws.natural_size
        scales = self.scales_at(size, width, action)
        found = {
            "dimensionless": _log_normal(draws.couplings / scales) - np.log(scales)
        }
        if draws.discrepancy is not None:
            # The density of one side of a normal distribution, doubled.
            scale = self.discrepancy_scale
            found["discrepancy"] = _log_normal(draws.discrepancy / scale) + np.log(
                2 / scale
            )
        if draws.natural_size is not None:
            logs = np.log(draws.natural_size)
            z = (logs - math.log(self.natural_size)) / self.spread
            found["natural_size"] = _log_normal(z) - math.log(self.spread) - logs
        return found


def prior_or_default(prior: Prior | None) -> Prior:
    """The prior that was given, or `Prior()` for `None`.

    Raises:
        SpecError: It is no `Prior`.
    """
    if prior is None:
        return Prior()
    check_kind("prior", prior, Prior)
    return prior


def _log_normal(z: np.ndarray) -> np.ndarray:
    """Log density of the standard normal distribution."""
    return np.asarray(-0.5 * (z**2 + np.log(2 * np.pi)))
