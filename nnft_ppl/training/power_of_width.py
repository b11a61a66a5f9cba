"""A size as a power of the width, fitted to squares from which noise is taken out."""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from nnft_ppl._typing import Matrix
from nnft_ppl.correlators.noise_free_square import SEEN

_MISFIT = 0.01
"""Chance below which a power law is given up for the smallest width."""
_NEXT_ORDER = 3.0
"""Typical b of the correction exp(b/width + c/width²); its square is that of c."""
_GRID = 400
"""Widths among which the last one above a tolerance is looked for."""


@dataclass(frozen=True)
class Power:
    """A size as a power of the width.

    Attributes:
        exponent: p of size ∝ width^p; NaN where noise leaves fewer than two widths.
        error: One standard error of p; infinite then.
        size: At `centre`, but for the next powers; NaN then.
        centre: Geometric mean of the widths fitted.
        first: Smallest width that the power law describes; 0 then.
        next_powers: b and c of the factor exp(b/width + c/width²).
        covariance: Of log size, p, b and c.
    """

    exponent: float
    error: float
    size: float
    centre: float
    first: int
    next_powers: tuple[float, float]
    covariance: Matrix

    def width_below(self, tolerance: float) -> tuple[float, float]:
        """Where the size falls to `tolerance`, and its error; NaN if it does not.

        `first`, without an error, where the size is below it there: narrower ones are
        none that the law is known for.
        """
        if not self.exponent < 0:
            return np.nan, np.inf
        parameters = np.array([np.log(self.size), self.exponent, *self.next_powers])

        def terms(log_width: float) -> np.ndarray:
            inverse = np.exp(-log_width)
            around = log_width - np.log(self.centre)
            return np.array([1.0, around, inverse, inverse**2])

        def over(log_width: float) -> float:
            return float(parameters @ terms(log_width) - np.log(tolerance))

        start = np.log(self.first)
        # The next powers are largest at `first`: at the end all are made up for.
        rest = np.abs(parameters[2:]) @ terms(start)[2:]
        most = np.log(tolerance / self.size) - rest
        end = np.log(self.centre) + most / self.exponent
        grid = np.linspace(start, max(end, start) + 1e-9, _GRID)
        above = np.flatnonzero([over(at) > 0 for at in grid[:-1]])
        if not above.size:
            return float(self.first), 0.0
        last = above[-1]
        log = optimize.brentq(over, grid[last], grid[last + 1])
        _, _, inverse, square = terms(log)
        slope = parameters[1:] @ np.array([1.0, -inverse, -2 * square])
        error = (terms(log) @ self.covariance @ terms(log)) ** 0.5 / abs(slope)
        return float(np.exp(log)), float(np.exp(log) * error)


def power_of_width(
    widths: np.ndarray, squares: np.ndarray, errors: np.ndarray
) -> Power:
    """Fit squares ∝ width^{2p} by weighted least squares.

    Squares and not logarithms are fitted, so that widths at which noise dominates count
    as what they are: to leave them out would keep those that noise made large. The next
    powers of 1/width enter as a factor exp(b/width + c/width²), b ~ N(0, 3²) and
    c ~ N(0, 9²), so that their doubt is in the error. While the fit is worse than all
    this explains, the smallest width is left out.

    Args:
        widths: Ascending.
        squares: Unbiased, of any sign.
        errors: Of the squares.
    """
    seen = squares > SEEN * errors
    for first in range(len(widths) - 1):
        if seen[first:].sum() < 2:
            break
        found = _fit(*(values[first:] for values in (widths, squares, errors)))
        if found is not None:
            return found
    unknown = np.full((4, 4), np.inf)
    return Power(np.nan, np.inf, np.nan, np.nan, 0, (np.nan, np.nan), unknown)


def _fit(widths: np.ndarray, squares: np.ndarray, errors: np.ndarray) -> Power | None:
    """The power law of all these widths; `None` where they do not follow one."""
    middle = np.log(widths).mean()
    around = np.log(widths) - middle
    seen = squares > SEEN * errors
    start = np.polyfit(around[seen], np.log(squares[seen]) / 2, 1)[::-1]

    def misses(p: np.ndarray) -> np.ndarray:
        law = np.exp(2 * (p[0] + p[1] * around + p[2] / widths + p[3] / widths**2))
        doubt = p[2] / _NEXT_ORDER, p[3] / _NEXT_ORDER**2
        return np.append((law - squares) / errors, doubt)

    fit = optimize.least_squares(misses, [*start, 0.0, 0.0])
    misfit, freedom = 2 * fit.cost, len(widths) - 2
    if freedom and stats.chi2.sf(misfit, freedom) < _MISFIT:
        return None
    covariance = np.linalg.pinv(fit.jac.T @ fit.jac)
    return Power(
        exponent=float(fit.x[1]),
        error=float(covariance[1, 1] ** 0.5),
        size=float(np.exp(fit.x[0])),
        centre=float(np.exp(middle)),
        first=int(widths[0]),
        next_powers=(float(fit.x[2]), float(fit.x[3])),
        covariance=covariance,
    )
