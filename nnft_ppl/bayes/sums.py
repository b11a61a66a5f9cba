"""Weighted sums over networks that are added block by block and hold no network.

Weights are relative to the largest so far, so that evidences of any size fit.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nnft_ppl.bayes.answer import Answer


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over networks m with weights w = exp(log evidence − unit).

    Attributes:
        unit: Log evidence whose weight is one.
        weight: Σ w and Σ w².
        first: (2, new, output) Σ w μ and Σ w² μ, μ the mean given network m.
        second: (2, new, output) Σ w μ² and Σ w² μ².
        variance: (new,) Σ w v, v the variance given network m.
    """

    unit: float
    weight: Float[np.ndarray, "2"]
    first: Float[np.ndarray, "2 new output"]
    second: Float[np.ndarray, "2 new output"]
    variance: Float[np.ndarray, " new"]

    @staticmethod
    def zero(shape: tuple[int, int]) -> "Sums":
        """Of no network, for (new inputs, outputs)."""
        none = np.zeros((2, *shape))
        return Sums(-np.inf, np.zeros(2), none, none, np.zeros(shape[0]))

    def plus(
        self,
        numbers: np.ndarray,
        log_evidence: Float[np.ndarray, " draw"],
        mean: Float[np.ndarray, "draw new output"],
        variance: Float[np.ndarray, "draw new"],
    ) -> "Sums":
        """With more networks; which, by `numbers`, does not matter here."""
        unit = max(self.unit, float(log_evidence.max()))
        if unit == -np.inf:
            return self
        weight = np.exp(log_evidence - unit)
        some = weight > 0  # moments of others may be NaN
        return self.in_units_of(unit)._with(
            np.stack([weight, weight**2])[:, some], mean[some], variance[some]
        )

    def merged(self, other: "Sums") -> "Sums":
        """With the networks of other sums."""
        unit = max(self.unit, other.unit)
        if unit == -np.inf:
            return self
        one, two = self.in_units_of(unit), other.in_units_of(unit)
        return Sums(
            unit,
            one.weight + two.weight,
            one.first + two.first,
            one.second + two.second,
            one.variance + two.variance,
        )

    def in_units_of(self, unit: float) -> "Sums":
        """The same sums, relative to another log evidence."""
        ratio = np.exp(self.unit - unit)
        both = np.array([ratio, ratio**2])
        return Sums(
            unit,
            self.weight * both,
            self.first * both[:, None, None],
            self.second * both[:, None, None],
            self.variance * ratio,
        )

    def corrected(
        self,
        before: Float[np.ndarray, " draw"],
        after: Float[np.ndarray, " draw"],
        mean: Float[np.ndarray, "draw new output"],
        variance: Float[np.ndarray, "draw new"],
    ) -> "Sums":
        """With other weights of networks that are in the sums."""
        weights = np.stack([after - before, after**2 - before**2])
        return self._with(weights, mean, variance)

    def _with(
        self, weights: np.ndarray, mean: np.ndarray, variance: np.ndarray
    ) -> "Sums":
        """Plus networks with w and w², (2, draw)."""
        flat = mean.reshape(len(mean), -1)
        shape = self.first.shape
        return Sums(
            self.unit,
            self.weight + weights.sum(axis=1),
            self.first + (weights @ flat).reshape(shape),
            self.second + (weights @ flat**2).reshape(shape),
            self.variance + weights[0] @ variance,
        )

    def answer(self) -> Answer:
        """Mean and variance of the field, and the errors of the means.

        Σ w² (μ − mean)² / (Σ w)² is the error of a ratio of sums, by the delta method.
        """
        total = self.weight[0]
        mean = self.first[0] / total
        between = np.maximum(self.second[0] / total - mean**2, 0.0)
        square = self.second[1] - 2 * mean * self.first[1] + mean**2 * self.weight[1]
        return Answer(
            mean=mean,
            variance=self.variance[:, None] / total + between,
            mean_error=np.sqrt(np.maximum(square, 0.0)) / total,
        )
