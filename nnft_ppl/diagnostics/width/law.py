"""How a distance from the Gaussian process falls with the width, and where it is small.

In: the distance at one width where theory knows its law, or at several where networks
were sampled. Out: `WidthLaw`, which gives the width for a tolerance, with bounds.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import ArrayLike, Float

from nnft_ppl._errors import UnavailableError

_INTERVAL = (0.05, 0.95)
_NUM_VARIANTS = 2000
_NOISY = 3.0
_STAYS = 0.3
"""Share of the distance at the widest networks that does not fall with the width, above
which, when significant, the ensemble is said to have no Gaussian limit."""


@dataclass(frozen=True, eq=False)
class WidthLaw:
    """distance(N) = a/N + b/N², and how well a and b are known.

    Attributes:
        best: (2,) a and b.
        variants: (variant, 2) what they may be.
        quantiles: Which quantiles of the variants' widths are the interval's ends.
    """

    best: Float[np.ndarray, "2"]
    variants: Float[np.ndarray, "variant 2"]
    quantiles: tuple[float, float]

    @staticmethod
    def leading(
        distance: float, error: float, width: int, remainder: float
    ) -> "WidthLaw":
        """From the leading order a/N, known at one width with a bound on its error.

        Orders left out are at most `remainder`/N of it; 0 where there are none.
        """
        ends = np.maximum([distance - error, distance + error], 0.0) * width
        variants = [(a, sign * remainder * a) for a in ends for sign in (-1, 1)]
        return WidthLaw(
            np.array([distance * width, 0.0]), np.array(variants), (0.0, 1.0)
        )

    @staticmethod
    def sampled(
        widths: ArrayLike, distances: ArrayLike, errors: ArrayLike
    ) -> "WidthLaw":
        """Weighted least squares through the distances at three or more widths.

        Args:
            widths: (width,) N.
            distances: (width,) at each, independent of one another.
            errors: (width,) standard errors, positive.

        Raises:
            UnavailableError: A distance is lost in its error, or they do not fall.
        """
        n, y, error = (
            np.asarray(v, dtype=np.float64) for v in (widths, distances, errors)
        )
        if (y < _NOISY * error).any():
            at = int(np.argmax(error / y))
            raise UnavailableError(
                f"at width {n[at]:g} the distance from the Gaussian process is "
                f"{y[at]:.2g} ± {error[at]:.1g}, lost in the sampling error; give more "
                "`num_draws` or smaller `widths`"
            )
        rest, its_error = weighted_fit(
            np.stack([np.ones_like(n), 1 / n], axis=1), y, error
        )
        stays, uncertain = rest[0], np.sqrt(its_error[0, 0])
        if stays > 5 * uncertain and stays > _STAYS * y[np.argmax(n)]:
            listed = ", ".join(
                f"{v:.3g} at width {w:g}" for v, w in zip(y, n, strict=True)
            )
            raise UnavailableError(
                "no width is enough: the distance from the Gaussian process does not "
                f"fall as one over the width ({listed}), so that there is no Gaussian "
                "limit, or these widths are far from it"
            )
        best, covariance = weighted_fit(np.stack([1 / n, 1 / n**2], axis=1), y, error)
        generator = np.random.default_rng(0)
        variants = generator.multivariate_normal(best, covariance, _NUM_VARIANTS)
        return WidthLaw(best, variants, _INTERVAL)

    def solve(self, tolerance: float) -> tuple[float, float, float]:
        """The width where the distance is `tolerance`, and the ends of its interval."""
        low, high = np.quantile(_widths(self.variants, tolerance), self.quantiles)
        return float(_widths(self.best, tolerance)), float(low), float(high)


def _widths(law: Float[np.ndarray, "*batch 2"], tolerance: float) -> np.ndarray:
    """The larger N with a/N + b/N² = tolerance; if none is real, the turning point."""
    a, b = law[..., 0], law[..., 1]
    root = np.sqrt(np.maximum(a**2 + 4 * b * tolerance, 0.0))
    return np.asarray(np.maximum(a + root, 0.0) / (2 * tolerance))


def weighted_fit(
    design: Float[np.ndarray, "width 2"], y: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted least squares: coefficients and their covariance.

    Where the scatter is larger than the errors, the covariance is widened by it.
    """
    scaled = design / error[:, None]
    covariance = np.linalg.inv(scaled.T @ scaled)
    best = covariance @ scaled.T @ (y / error)
    misfit = float(np.sum((y / error - scaled @ best) ** 2)) / max(1, len(y) - 2)
    return best, covariance * max(1.0, misfit)
