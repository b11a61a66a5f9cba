"""What a `Quadrature` takes and gives: checked cutoffs, sums with errors and slopes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import ArrayLike, Float

from nnft_ppl._arrays import real_numbers
from nnft_ppl._errors import SpecError

type Cutoffs = Float[np.ndarray, " cutoff"]
type Table = Float[np.ndarray, "cutoff row column"]


@dataclass(frozen=True, eq=False)
class PairSums:
    """∫ dμ_Λ(y) left(y) right(y)ᵀ per cutoff.

    Args:
        values: (cutoff, l, r), cutoffs in the order given.
        error: Absolute error, same shape: the change on the last refinement (an upper
            bound where that converges), plus rounding, plus three standard errors
            where directions are sampled.
        slope: d values/d log Λ, same shape, or `None` when it was not asked for.
    """

    values: Table
    error: Table
    slope: Table | None


def check_cutoffs(cutoffs: ArrayLike | Sequence[float]) -> Cutoffs:
    """Cutoffs as a float64 array; `math.inf` is allowed.

    Raises:
        SpecError: No cutoffs, or one that is no number, NaN, zero or negative.
    """
    given = real_numbers("cutoffs", cutoffs, "(number of cutoffs,)")
    values = np.atleast_1d(given)
    if values.ndim != 1 or not values.size:
        raise SpecError(
            f"cutoffs have shape {values.shape}; expected a list of at least one"
        )
    bad = values[~(values > 0)]
    if bad.size:
        raise SpecError(
            f"cutoff {float(bad[0])!r} is not allowed; the integrals reach out to Λ, "
            "so give numbers > 0 (or math.inf where the integral converges)"
        )
    return values


def check_distinct_cutoffs(cutoffs: Sequence[float]) -> tuple[float, ...]:
    """The cutoffs as floats.

    Raises:
        SpecError: See `check_cutoffs`; or one is given twice.
    """
    values = tuple(check_cutoffs(cutoffs).tolist())
    if len(set(values)) < len(values):
        raise SpecError(f"`cutoffs` {list(values)} holds a value twice")
    return values
