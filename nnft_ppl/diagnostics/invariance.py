"""Whether predictions stay put while the cutoff moves, as correlators must.

In: a `CouplingFit` with several cutoffs. Out: the largest change of a predicted
correlator between two cutoffs, beside the fit's own uncertainty.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from nnft_ppl._arguments import check_kind
from nnft_ppl._errors import SpecError
from nnft_ppl._rms import rms
from nnft_ppl.correlators.symmetric import entries, entry_size
from nnft_ppl.correlators.wick import gaussian_moment
from nnft_ppl.inference.couplings.result import CouplingFit

_SIGNIFICANCE = 0.01
"""Chance that predictions scattered at random within their stated error would fail."""
_PRECISION = 1e-9
"""Of exact correlators and integrals, relative to the size of an entry."""


@dataclass(frozen=True)
class CutoffInvariance:
    """How far a predicted correlator moves with the cutoff; reads like a `Check`.

    Attributes:
        name: `cutoff_invariance`.
        value: Largest change over entries and pairs of cutoffs, in standard deviations
            of the difference as the posterior predictive states them.
        threshold: The largest that random scatter within these would show.
        passed: Whether the change is within the fit's own uncertainty.
        message: What it means, for people.
        order: Of the correlator.
        relative_change: Largest change of an entry over its natural size in the
            Gaussian process, Π_i √K(x_i, x_i) with the root mean square of its moment.
        connected_change: Largest change over what the couplings predict, the correlator
            less that of the Gaussian process, in root mean squares over entries; NaN
            where that is zero.
        entry: Inputs of the entry with the worst `value`.
        cutoffs: The two between which it changes.
    """

    name: str
    value: float
    threshold: float
    passed: bool
    message: str
    order: int
    relative_change: float
    connected_change: float
    entry: tuple[int, ...]
    cutoffs: tuple[float, float]


def cutoff_invariance(fit: CouplingFit, order: int) -> CutoffInvariance:
    """Compare the predicted G^(order) across the cutoffs of a fit.

    Correlators do not depend on the cutoff; predictions of a truncated action do. Means
    of the posterior predictive at every two cutoffs are compared, entry by entry, in
    units of √(sd₁² + sd₂²), sd that of the predictive draws, which contains the fit's
    discrepancy and the uncertainty of its couplings. The same random numbers serve
    every cutoff (`CouplingFit.predict`), so that the means are paired and their own
    Monte Carlo error cancels. The threshold is the two-sided 1 % point of the normal
    distribution, divided among all entries and pairs of cutoffs: a larger change is
    more than the fit admits. An action taken to be exact (`discrepancy=False`) admits
    sampling noise alone.

    The full correlator is dominated by the Gaussian process, which has no cutoff; so
    the change is also given beside the part that the couplings predict, in root mean
    squares over entries.

    Args:
        fit: With at least two cutoffs.
        order: 4 or 6; the 2-pt function is the kernel at every cutoff. Of an action
            with odd operators also 3 and 5, and 1 where it makes the mean.

    Raises:
        SpecError: The fit has one cutoff, or the order is none of these.

    Source: theory.md §5.
    """
    check_kind("fit", fit, CouplingFit, "what fit_couplings returns")
    odd = (3, 5) if fit.likelihood.has_odd_orders else ()
    allowed = sorted({4, 6, *odd, *((1,) if fit.action.makes_mean else ())})
    if order not in allowed:
        choice = " or ".join(map(str, allowed))
        raise SpecError(
            f"order {order!r} cannot be compared across cutoffs; choose {choice}"
        )
    if len(fit.cutoffs) < 2:
        raise SpecError(
            f"the fit has one cutoff, {fit.cutoffs[0]:g}; invariance needs at least two"
        )
    means, spreads = [], []
    for cutoff in fit.cutoffs:  # one at a time: six-point draws are large
        draws = fit.predict(order, cutoff).to_numpy()[:, :, 0]
        means.append(draws.mean(axis=(0, 1)))
        spreads.append(draws.std(axis=(0, 1)))
    mean, variance = np.stack(means), np.stack(spreads) ** 2
    first, second = np.triu_indices(len(mean), k=1)
    change = np.abs(mean[second] - mean[first])
    kernel = fit.correlators.network.kernel(fit.correlators.x)
    size = entry_size(np.diag(kernel), order)
    if order % 2 == 0:  # odd ones of a process without a mean vanish
        size = size * rms(gaussian_moment(kernel, order)) / rms(size)
    gaussian = gaussian_moment(kernel, order, fit.correlators.connected_values.get(1))
    # A smaller spread is rounding of entries that vanish.
    least = (_PRECISION * size) ** 2
    scale = np.sqrt(variance[second] + variance[first] + least)
    score = np.divide(change, scale, out=np.zeros_like(change), where=scale > 0)
    pair, entry = np.unravel_index(int(np.argmax(score)), score.shape)
    value = float(score[pair, entry])
    threshold = float(stats.norm.isf(_SIGNIFICANCE / (2 * score.size)))
    relative = np.divide(change, size, out=np.zeros_like(change), where=size > 0).max()
    predicted = rms(mean - gaussian)
    connected = max(map(rms, change)) / predicted if predicted > 0 else float("nan")
    legs = entries(len(fit.correlators.x), order)[entry]
    cutoffs = (fit.cutoffs[first[pair]], fit.cutoffs[second[pair]])
    passed = value <= threshold
    between = f"between cutoffs {cutoffs[0]:g} and {cutoffs[1]:g}"
    return CutoffInvariance(
        name="cutoff_invariance",
        value=value,
        threshold=threshold,
        passed=passed,
        message=f"predicted {order}-pt function moves by up to {relative:.2g} of "
        f"its size, and {connected:.2g} of what the couplings predict, with the "
        f"cutoff; at most {value:.2g} of its standard deviations ({between}), wanted "
        f"at most {threshold:.2g}"
        + (
            ""
            if passed
            else ": the action drops operators that the cutoff calls for; allow a "
            "discrepancy, add operators, or use larger cutoffs"
        ),
        order=order,
        relative_change=float(relative),
        connected_change=connected,
        entry=tuple(int(leg) for leg in legs),
        cutoffs=cutoffs,
    )
