r"""How far predictive laws at finite width are from those of the Gaussian process.

At every new input f given the data is a mixture of normal laws, one of each network.
The probabilities of intervals are summed over networks, in units of the Gaussian
process: its mean is 0 there and its standard deviation 1. In: blocks of networks. Out:
distances of means, and total variation distances, with errors.

The total variation distance over the intervals I is ½ Σ |P(I) − Q(I)|. Taken of the
estimated P it is too large, as noise has no sign. Signs known from other networks than
those that they are applied to make a linear function of P, which is too small if
anything, as no choice of signs exceeds the right one. The truth is between the two.

Source: theory.md §6, exact inference at finite width; the jackknife.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

EDGES = np.linspace(-5.0, 5.0, 81)
"""Ends of the intervals, in standard deviations of the Gaussian process. Where a
difference changes its sign within an interval, part of it is lost: below one per cent
of the distance for one that has four such places, as to first order in 1/N."""
NUM_BATCHES = 64
"""Whose scatter tells the errors, to nine per cent."""
_NUMBERS = 1 << 19
"""Probabilities that are held at a time: 4 MiB."""


@dataclass(frozen=True, eq=False)
class Distances:
    """Of every predictive law, (new, output), with one standard error.

    Attributes:
        mean: |E f − E f of the Gaussian process| in its standard deviations.
        mean_error: Of it.
        least: Total variation distance, too small if anything; below 0 by noise.
        least_error: Of it.
        most: The same, too large if anything.
        most_error: Of it.
    """

    mean: Float[np.ndarray, "new output"]
    mean_error: Float[np.ndarray, "new output"]
    least: Float[np.ndarray, "new output"]
    least_error: Float[np.ndarray, "new output"]
    most: Float[np.ndarray, "new output"]
    most_error: Float[np.ndarray, "new output"]

    @property
    def variation(self) -> Float[np.ndarray, "new output"]:
        """Total variation distance: the middle of the two."""
        return np.asarray((self.least + self.most) / 2)

    @property
    def variation_error(self) -> Float[np.ndarray, "new output"]:
        """How far that may be off: half of what is between, and a standard error."""
        return np.asarray((self.most - self.least) / 2 + self.most_error)


@dataclass(frozen=True, eq=False)
class PredictiveSums:
    """Sums over networks with weights w = exp(log evidence − unit), in batches.

    Network j is in batch j mod `NUM_BATCHES`.

    Attributes:
        limit_mean: Of the Gaussian process (new, output).
        limit_std: Of it, positive.
        number: Of networks.
        unit: Log evidence whose weight is one.
        weight: (batch,) Σ w.
        first: (batch, new, output) Σ w μ, μ the mean given the network.
        below: (batch, new, output, edge) Σ w P(f < edge).
    """

    limit_mean: Float[np.ndarray, "new output"]
    limit_std: Float[np.ndarray, "new output"]
    number: int
    unit: float
    weight: Float[np.ndarray, " batch"]
    first: Float[np.ndarray, "batch new output"]
    below: Float[np.ndarray, "batch new output edge"]

    @staticmethod
    def zero(
        mean: Float[np.ndarray, "new output"], variance: Float[np.ndarray, "new output"]
    ) -> "PredictiveSums":
        """Of no network, beside a Gaussian process."""
        first = np.zeros((NUM_BATCHES, *mean.shape))
        return PredictiveSums(
            mean,
            np.sqrt(variance),
            0,
            -np.inf,
            np.zeros(NUM_BATCHES),
            first,
            np.zeros((*first.shape, len(EDGES))),
        )

    def plus(
        self,
        numbers: np.ndarray,
        log_evidence: Float[np.ndarray, " draw"],
        mean: Float[np.ndarray, "draw new output"],
        variance: Float[np.ndarray, "draw new"],
    ) -> "PredictiveSums":
        """With more networks."""
        unit = max(self.unit, float(log_evidence.max()))
        more = self.in_units_of(unit)
        weight, first, below = more.weight.copy(), more.first.copy(), more.below.copy()
        weights = np.exp(log_evidence - unit) if unit > -np.inf else np.zeros(len(mean))
        shift = (mean - self.limit_mean) / self.limit_std
        # A law of no width is in one interval, as one of little width is.
        std = np.sqrt(np.maximum(variance, 1e-24))[:, :, None] / self.limit_std
        together = max(1, _NUMBERS // below[0].size)
        for batch in range(NUM_BATCHES):
            # Moments of others may be NaN.
            which = np.flatnonzero((numbers % NUM_BATCHES == batch) & (weights > 0))
            weight[batch] += weights[which].sum()
            first[batch] += np.tensordot(weights[which], shift[which], 1)
            for start in range(0, len(which), together):
                some = which[start : start + together]
                away = (EDGES - shift[some][..., None]) / std[some][..., None]
                below[batch] += np.tensordot(weights[some], ndtr(away), 1)
        return replace(
            more,
            number=self.number + len(mean),
            weight=weight,
            first=first,
            below=below,
        )

    def in_units_of(self, unit: float) -> "PredictiveSums":
        """The same sums, relative to another log evidence."""
        ratio = float(np.exp(self.unit - unit)) if self.unit > -np.inf else 0.0
        return replace(
            self,
            unit=unit,
            weight=self.weight * ratio,
            first=self.first * ratio,
            below=self.below * ratio,
        )

    def merged(self, other: "PredictiveSums") -> "PredictiveSums":
        """With the networks of other sums."""
        unit = max(self.unit, other.unit)
        one, two = self.in_units_of(unit), other.in_units_of(unit)
        return replace(
            one,
            number=one.number + two.number,
            weight=one.weight + two.weight,
            first=one.first + two.first,
            below=one.below + two.below,
        )

    def distances(self) -> Distances | None:
        """From the Gaussian process; `None` where a batch has no weight."""
        if not (self.weight > 0).all():
            return None
        weight, limit = self.weight[:, None, None], _intervals(ndtr(EDGES))
        total = weight.sum()
        without = total - weight
        mean, below = self.first.sum(axis=0) / total, self.below.sum(axis=0)
        mean_error = _jackknife((self.first.sum(axis=0) - self.first) / without)
        gap = _intervals(below / total) - limit
        gaps = _intervals((below - self.below) / without[..., None]) - limit
        own = _intervals(self.below / weight[..., None]) - limit
        signed = (np.sign(gaps) * own).sum(axis=-1) / 2
        share = weight / total
        least = (share * signed).sum(axis=0)
        scatter = (share**2 * (signed - least) ** 2).sum(axis=0)
        return Distances(
            mean=np.abs(mean),
            mean_error=mean_error,
            least=least,
            least_error=np.sqrt(scatter * NUM_BATCHES / (NUM_BATCHES - 1)),
            most=np.abs(gap).sum(axis=-1) / 2,
            most_error=_jackknife(np.abs(gaps).sum(axis=-1) / 2),
        )


def _intervals(below: Float[np.ndarray, "*any edge"]) -> np.ndarray:
    """Probabilities of the intervals, those without an end among them."""
    return np.diff(below, axis=-1, prepend=0.0, append=1.0)


def _jackknife(without: Float[np.ndarray, "batch ..."]) -> np.ndarray:
    """One standard error, from estimates without each of the batches."""
    number = len(without)
    spread = ((without - without.mean(axis=0)) ** 2).sum(axis=0)
    return np.asarray(np.sqrt(spread * (number - 1) / number))
