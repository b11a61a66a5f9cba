"""The 6-pt function at the inputs of a fit: is what the couplings predict measured?

In: a `CouplingFit` whose correlators hold order 6. Out: `SixPoint`. First order in 1/N
leaves terms out, whose size the prediction guesses from those that it has
(docs/truncation.md); for a network of very heavy tails the guess is wrong, and nothing
in its lower correlators says so. This does.
"""

from dataclasses import dataclass

import numpy as np

from nnft_ppl._rms import rms
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.inference.posterior import INTERVAL

ORDER = 6
_ROUNDING = 1e-9
"""Relative precision of exact correlators and of predictions."""


@dataclass(frozen=True, eq=False)
class SixPoint:
    """Predicted and measured 6-pt function at one cutoff.

    Attributes:
        cutoff: Where the prediction was made, the middle one of the fit.
        predicted: Mean over entries of |predicted − measured| / |measured|, posterior
            mean.
        gaussian: The same for the Gaussian process.
        noise: Mean of one standard error of the measurement; 0 when exact.
        is_fitted: Whether 6-pt data entered the fit, so that this is no prediction.
        is_heavy_tailed: Whether a few networks make the measurement.
        inside: Share of the entries in the 90 % band of the prediction, omitted powers
            of 1/N (but of actions with odd operators) and noise included.
        p_value: How often the prediction's own draws are as far from its median.
            Entries move together, so the share alone does not tell: of 462 entries that
            are one number in truth, one time in ten all lie outside.
    """

    cutoff: float
    predicted: float
    gaussian: float
    noise: float
    is_fitted: bool
    is_heavy_tailed: bool
    inside: float
    p_value: float


def six_point(fit: CouplingFit) -> SixPoint:
    """Compare, at the middle cutoff; the correlators must hold order 6."""
    data, cutoffs = fit.correlators, sorted(fit.cutoffs)
    cutoff = cutoffs[len(cutoffs) // 2]
    measured, gaussian = data.moment(ORDER), data.gaussian_moment(ORDER)
    error = np.hypot(data.error(ORDER), _ROUNDING * rms(measured))
    truncation = not fit.likelihood.has_odd_orders
    drawn = fit.predict(ORDER, cutoff, truncation=truncation).values[:, :, 0]
    drawn = drawn.reshape(-1, drawn.shape[-1])
    rng = np.random.default_rng(fit.seed)
    # Noise of smooth functions moves all entries together.
    drawn += error * rng.standard_normal((len(drawn), 1))
    tail = 50 * (1 - INTERVAL)
    low, middle, high = np.percentile(drawn, [tail, 50, 100 - tail], axis=0)
    half = (high - low) / 2
    distance = np.sqrt(np.mean(((drawn - middle) / half) ** 2, axis=1))
    predicted = fit.predict(ORDER, cutoff).values.mean(axis=(0, 1, 2))

    def relative(difference: np.ndarray) -> float:
        return float(np.mean(np.abs(difference) / np.abs(measured)))

    return SixPoint(
        cutoff=cutoff,
        predicted=relative(predicted - measured),
        gaussian=relative(gaussian - measured),
        noise=0.0 if data.is_exact else relative(data.error(ORDER)),
        is_fitted=ORDER in fit.likelihood.orders,
        is_heavy_tailed=bool(data.heavy_tailed(ORDER).any()),
        inside=float(np.mean((low <= measured) & (measured <= high))),
        p_value=float(np.mean(distance >= rms((measured - middle) / half))),
    )
