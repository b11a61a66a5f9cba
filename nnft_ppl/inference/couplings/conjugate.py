"""Closed-form inference: normal in the couplings, a grid in s and the natural size.

Given the discrepancy s and the size of the couplings, the posterior of linear couplings
is normal and its evidence known. What is left, p(s, size | data), has two
dimensions at most and is tabulated on a grid of their logarithms, so the posterior is
an exact mixture up to the grid. This is both the sampler `conjugate` and the oracle of
NUTS. Predictions that are quadratic in the couplings are linearised where they are
likeliest; then it is an approximation, of relative order δc/c.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from nnft_ppl._errors import FitError
from nnft_ppl.inference.least_squares import (
    LeastSquares,
    along_factors,
    least_squares,
    log_norm_volume,
    misfit_law,
)
from nnft_ppl.inference.likelihood import Likelihood
from nnft_ppl.inference.priors import SizePrior

_COARSE_POINTS = (121, 25)
_FINE_POINTS = (161, 49)
"""Of log s and of the log of the size. The trapezoidal rule needs no more: with one
point per standard deviation it integrates a normal density to 10⁻⁸."""
_NEGLIGIBLE = 25.0
"""Points this far below the top in log probability are left out."""
_SMALLEST = 1e-4
"""Discrepancy, over the noise, below which the data see none."""
_SPREADS = 6.0
_MAX_STEPS = 100
_STEP_TOLERANCE, _STEP_ENOUGH = 1e-3, 0.05
"""Of the posterior standard deviation, for the point of linearisation: wanted, and
enough where steps stop shrinking, as the cells of the grid move with the point."""
_ROUNDING = 1e-9
_LOG_2PI = np.log(2 * np.pi)


class Draws(NamedTuple):
    """Independent posterior draws.

    Attributes:
        couplings: c, (draw, operator).
        discrepancy: s, (draw,).
        relative_size: τ / natural_size, (draw,).
    """

    couplings: np.ndarray
    discrepancy: np.ndarray
    relative_size: np.ndarray


@dataclass(frozen=True, eq=False)
class ClosedForm:
    """The posterior at one cutoff: a mixture of normals over a grid.

    Attributes:
        discrepancy: (grid,) values of s; 0 when there is none.
        relative_size: (grid,) values of τ / natural_size; 1 when it is fixed.
        cell: Widths of a cell of the grid in log s and in log τ; 0 where fixed.
        weight: (grid,) posterior probability of each.
        mean: (grid, operator) posterior mean of c given s and τ.
        factor: (grid, operator, operator) lower triangular, covariance = F Fᵀ given s
            and τ.
        log_evidence: log p(data), natural units, s and τ integrated out.
        centre: The point of linearisation.
        settled: Whether the point of linearisation was found; true for linear problems.
    """

    discrepancy: Float[np.ndarray, " grid"]
    relative_size: Float[np.ndarray, " grid"]
    cell: tuple[float, float]
    weight: Float[np.ndarray, " grid"]
    mean: Float[np.ndarray, "grid operator"]
    factor: Float[np.ndarray, "grid operator operator"]
    log_evidence: float
    centre: Float[np.ndarray, " operator"]
    settled: bool = True

    @property
    def mode(self) -> int:
        """Index of the most probable grid point."""
        return int(np.argmax(self.weight))

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Posterior mean and standard deviation of c, s and τ integrated out."""
        mean = self.weight @ self.mean
        variance = np.einsum("gij,gij->gi", self.factor, self.factor)
        spread = variance + (self.mean - mean) ** 2
        return mean, np.sqrt(self.weight @ spread)

    def draw(self, rng: np.random.Generator, num_draws: int) -> Draws:
        """Independent posterior draws."""
        which = rng.choice(len(self.weight), size=num_draws, p=self.weight)
        # Uniform within the cell of the logarithms around each grid point.
        jitter = rng.uniform(-0.5, 0.5, (2, num_draws))
        normals = rng.standard_normal((num_draws, self.mean.shape[1]))
        couplings = self.mean[which] + np.einsum(
            "dij,dj->di", self.factor[which], normals
        )
        return Draws(
            couplings,
            self.discrepancy[which] * np.exp(jitter[0] * self.cell[0]),
            self.relative_size[which] * np.exp(jitter[1] * self.cell[1]),
        )


class _Problem(NamedTuple):
    """The statistics of a linear problem, with priors."""

    statistics: LeastSquares
    coupling_scales: np.ndarray
    discrepancy_scale: float | None
    size: SizePrior | None


class _Table(NamedTuple):
    """The posterior of (log s, log size) on a grid.

    Attributes:
        log_weight: (s, size) log of evidence × prior, less `offset`.
        offset: Of all of them.
        triangle: (s, size, operator + 1, operator + 1) R of each least-squares fit.
    """

    log_weight: np.ndarray
    offset: float
    triangle: np.ndarray


def solve(
    likelihood: Likelihood,
    cutoff: int,
    coupling_scales: np.ndarray,
    discrepancy_scale: float | None,
    size: SizePrior | None = None,
) -> ClosedForm:
    """The posterior at cutoff number `cutoff`.

    Predictions quadratic in c are replaced by their tangent at the posterior mean,
    which is found by iterating (Gauss–Newton). The closed form is then that of the
    linearisation, with errors of relative order δc/c, δc the posterior's width.

    Args:
        likelihood: From `build_likelihood`.
        cutoff: Index into the likelihood's cutoffs.
        coupling_scales: (operator,) prior standard deviations of c, at relative size 1.
        discrepancy_scale: Scale of the half-normal prior of s; `None` fixes s = 0.
        size: Prior of the relative size; `None` fixes it at 1.
    """
    point = np.zeros(len(coupling_scales))

    def about(point: np.ndarray) -> ClosedForm:
        statistics = least_squares(likelihood, cutoff, point)
        problem = _Problem(statistics, coupling_scales, discrepancy_scale, size)
        return _integrate(problem, point)

    form = about(point)
    if likelihood.is_linear:
        return form
    damping, previous = 1.0, np.inf
    for _ in range(_MAX_STEPS):
        mean, sd = form.moments()
        step = mean - point
        # Exact data may have a posterior so narrow that rounding moves its mean.
        length = float(np.max(np.abs(step) / np.maximum(sd, _ROUNDING * np.abs(mean))))
        if length < _STEP_TOLERANCE:
            return form
        if length > previous:  # overshooting
            damping /= 2
        previous = length
        point = point + damping * step
        form = about(point)
    return ClosedForm(**{**vars(form), "settled": length < _STEP_ENOUGH})


def require_settled(
    forms: Sequence[ClosedForm], cutoffs: Sequence[float], remedy: str
) -> None:
    """Refuse a closed form about a point that is not the posterior mean.

    Raises:
        FitError: There is one; the message ends with `remedy`.
    """
    for form, cutoff in zip(forms, cutoffs, strict=True):
        if not form.settled:
            raise FitError(
                f"at cutoff {cutoff:g} no point was found at which the quadratic "
                f"predictions can be linearised; {remedy}"
            )


def _integrate(problem: _Problem, centre: np.ndarray) -> ClosedForm:
    """Tabulate the posterior of (s, size) where it is not negligible."""
    log_s, log_size = _coarse_axes(problem)
    weight = _tabulate(problem, log_s, log_size).log_weight
    likely = weight > weight.max() - _NEGLIGIBLE
    log_s = _refined(log_s, likely.any(axis=1), _FINE_POINTS[0])
    log_size = _refined(log_size, likely.any(axis=0), _FINE_POINTS[1])
    table = _tabulate(problem, log_s, log_size)
    cell = (_step(log_s), _step(log_size))
    top = table.log_weight.max()
    kept = np.nonzero(table.log_weight > top - _NEGLIGIBLE)
    mean, factor = _normal(table.triangle[kept])
    weight = np.exp(table.log_weight[kept] - top)
    volume = float(np.prod([width for width in cell if width > 0]))
    return ClosedForm(
        discrepancy=np.exp(log_s[kept[0]]),
        relative_size=np.exp(log_size[kept[1]]),
        cell=cell,
        weight=weight / weight.sum(),
        mean=mean,
        factor=factor,
        log_evidence=float(table.offset + top + np.log(weight.sum() * volume)),
        centre=centre,
    )


def _coarse_axes(problem: _Problem) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of s and of the relative size that may matter."""
    statistics = problem.statistics
    log_s = np.array([-np.inf])
    if problem.discrepancy_scale is not None:
        log_s = np.linspace(
            np.log(_SMALLEST * np.sqrt(statistics.noise_power / statistics.num_modes)),
            np.log(10 * problem.discrepancy_scale),
            _COARSE_POINTS[0],
        )
    log_size = np.zeros(1)
    if problem.size is not None:
        spread, powers = problem.size
        # Couplings of zero pull the size down by spread² Σ power; large ones pull it up
        # no further than themselves.
        low = -_SPREADS * spread - spread**2 * powers.sum()
        wide = _tabulate(problem, np.median(log_s)[None], np.full(1, _SPREADS * spread))
        fitted = _normal(wide.triangle[0])[0][0]
        with np.errstate(divide="ignore"):
            pull = np.log(np.abs(fitted / problem.coupling_scales)) / np.maximum(
                powers, 0.5
            )
        high = max(_SPREADS * spread, float(pull.max()) + spread)
        log_size = np.linspace(low, high, _COARSE_POINTS[1])
    return log_s, log_size


def _refined(axis: np.ndarray, likely: np.ndarray, num_points: int) -> np.ndarray:
    """A finer axis over the likely part of a coarse one, and a step beyond it."""
    if len(axis) == 1:
        return axis
    found = np.flatnonzero(likely)
    first, last = max(found[0] - 1, 0), min(found[-1] + 1, len(axis) - 1)
    return np.linspace(axis[first], axis[last], num_points)


def _step(axis: np.ndarray) -> float:
    return float(axis[1] - axis[0]) if len(axis) > 1 else 0.0


def _tabulate(problem: _Problem, log_s: np.ndarray, log_size: np.ndarray) -> _Table:
    """Evidence × prior over (log s, log size).

    Least squares by QR of the estimate's law with the prior as extra rows, which leaves
    χ² in the last diagonal element of R. Normal equations would form it as a difference
    of numbers that are 10¹⁸ times larger when the data are exact.
    """
    statistics = problem.statistics
    num_operators = len(statistics.estimate)
    factors = along_factors(statistics, np.exp(log_s))
    known = np.linalg.solve(
        factors,
        np.broadcast_to(
            np.column_stack([statistics.response_root, statistics.along]),
            (len(log_s), num_operators, num_operators + 1),
        ),
    )
    given_s = (
        -np.sum(np.log(np.diagonal(factors, axis1=1, axis2=2)), axis=-1)
        - 0.5 * num_operators * _LOG_2PI
        - log_norm_volume(statistics)
    )
    if statistics.sees_misfit:
        shape, rate = misfit_law(statistics, np.exp(log_s))
        given_s += stats.gamma.logpdf(statistics.residual, shape, scale=1 / rate)
    if problem.discrepancy_scale is not None:
        # The half-normal density, as one of log s: ds = s d log s.
        relative = np.exp(log_s) / problem.discrepancy_scale
        given_s += 0.5 * np.log(2 / np.pi) - 0.5 * relative**2 + np.log(relative)
    powers = 0.0 if problem.size is None else problem.size.powers
    scales = problem.coupling_scales * np.exp(log_size[:, None] * powers)
    given_size = -np.sum(np.log(scales), axis=-1)
    if problem.size is not None:
        spread = problem.size.spread
        given_size -= 0.5 * (log_size / spread) ** 2 + np.log(spread) + 0.5 * _LOG_2PI
    table = np.zeros((len(log_s), len(log_size), 2 * num_operators, num_operators + 1))
    table[:, :, :num_operators] = known[:, None]
    diagonal = np.arange(num_operators)
    table[:, :, num_operators + diagonal, diagonal] = 1 / scales
    triangle = np.linalg.qr(table, mode="r")
    pivots = np.abs(np.diagonal(triangle, axis1=-2, axis2=-1))
    offset = float(given_s.max())
    log_weight = (
        (given_s - offset)[:, None]
        + given_size
        - 0.5 * pivots[..., -1] ** 2
        - np.sum(np.log(pivots[..., :-1]), axis=-1)
    )
    return _Table(log_weight, offset, triangle)


def _normal(triangle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(grid, operator) mean and lower triangular covariance factor of each fit.

    Covariance R⁻¹R⁻ᵀ = FFᵀ by another QR: squaring would lose operators that predict
    nearly the same.
    """
    inverse = np.linalg.inv(triangle[:, :-1, :-1])
    mean = np.linalg.solve(triangle[:, :-1, :-1], triangle[:, :-1, -1:])[..., 0]
    factor = np.swapaxes(np.linalg.qr(np.swapaxes(inverse, 1, 2), mode="r"), 1, 2)
    sign = np.sign(np.diagonal(factor, axis1=1, axis2=2))
    return mean, factor * sign[:, None, :]
