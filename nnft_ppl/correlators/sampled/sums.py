"""Sums over networks, and the mean with its covariance that they give; float64."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from nnft_ppl._typing import Matrix, Packed

_ROUNDING = 1e-6
"""Of means in float32: what varies by less, relative to its mean, is constant."""


@dataclass(frozen=True, eq=False)
class Mean:
    """A mean over networks with the covariance of its error.

    Attributes:
        value: (quantity,) float64.
        covariance: (quantity, quantity) float64, of `value`, not of one network.
        effective_batches: (quantity,) how many batch means the variance rests on,
            (Σ d²)²/Σ d⁴ of their deviations d: a third of them for light tails, a
            handful when a few networks dominate and the error cannot be trusted, zero
            when the values do not vary though they are not zero.
        num_batches: Batch means behind the covariance.
    """

    value: Packed
    covariance: Matrix
    effective_batches: Packed
    num_batches: int


class Sums(NamedTuple):
    """Sums over networks, and over batches of them; float64.

    Attributes:
        values: (quantity,) over networks.
        means: (quantity,) over means of whole batches.
        squares: (quantity, quantity) over their outer products.
        cubes: (quantity,) over their third powers.
        fourths: (quantity,) over their fourth powers.
    """

    values: np.ndarray
    means: np.ndarray
    squares: np.ndarray
    cubes: np.ndarray
    fourths: np.ndarray

    @staticmethod
    def zero(size: int) -> "Sums":
        """Over no networks."""
        none, square = np.zeros(size), np.zeros((size, size))
        return Sums(none, none, square, none, none)

    @staticmethod
    def of_slice(
        means: np.ndarray,
        count: int,
        group: int,
        batch: int,
        reordered: tuple[Matrix, Packed] | None,
    ) -> "Sums":
        """Over the first networks of some, from means over groups of them.

        Args:
            means: (part, quantity, group).
            count: How many networks.
            group: Networks in a group.
            batch: Networks in a batch.
            reordered: From `Estimator.reordered`.
        """
        groups = np.moveaxis(means, 0, 1).astype(np.float64)
        groups = groups.reshape(groups.shape[0], -1)
        whole = count // batch
        batches = groups[:, : whole * batch // group]
        batches = batches.reshape(len(groups), whole, batch // group).mean(axis=2)
        values = group * groups.sum(axis=1)
        if reordered is not None:
            matrix, constant = reordered
            values = matrix @ values + count * constant
            batches = matrix @ batches + constant[:, None]
        squares = batches * batches  # NumPy's power is slow
        return Sums(
            values,
            batches.sum(axis=1),
            batches @ batches.T,
            (squares * batches).sum(axis=1),
            (squares * squares).sum(axis=1),
        )

    def plus(self, other: "Sums") -> "Sums":
        """Over the networks of both."""
        return Sums(*(a + b for a, b in zip(self, other, strict=True)))

    def rebatched(self, num_draws: int, batch: int, larger: int) -> "Sums":
        """What sums over larger batches of these networks are expected to be.

        A run that is extended by many networks goes on in larger batches; what there
        is weighs in its covariance as so many of those. Cumulants of a mean of r
        batches are those of a batch over r^(order − 1).

        Args:
            num_draws: Networks summed over, a multiple of both.
            batch: Networks in a batch.
            larger: Networks in a larger one, a multiple.
        """
        number, fewer, ratio = num_draws // batch, num_draws // larger, larger // batch
        if ratio == 1 or number == 0:
            return self
        centre = self.means / number
        square = np.diag(self.squares)
        scatter = self.squares - number * np.outer(centre, centre)
        third = self.cubes - 3 * centre * square + 2 * number * centre**3
        fourth = (
            self.fourths
            - 4 * centre * self.cubes
            + 6 * centre**2 * square
            - 3 * number * centre**4
        )
        variance = np.diag(scatter) / number
        third = third / number / ratio**2
        fourth = (fourth / number + 3 * (ratio - 1) * variance**2) / ratio**3
        # Unbiased: scatter over the number less one.
        squares = (fewer - 1) / (number - 1) / ratio * scatter
        squares = squares + fewer * np.outer(centre, centre)
        square = np.diag(squares)
        cubes = fewer * third + 3 * centre * square - 2 * fewer * centre**3
        return Sums(
            self.values,
            fewer * centre,
            squares,
            cubes,
            fewer * fourth
            + 4 * centre * cubes
            - 6 * centre**2 * square
            + 3 * fewer * centre**4,
        )

    def mean(self, num_draws: int, batch: int, number: int | None = None) -> Mean:
        """The mean over `num_draws` networks and its covariance.

        Args:
            num_draws: Networks summed over.
            batch: Networks in a batch.
            number: Whole batches, where they are not as many as fit.
        """
        number = num_draws // batch if number is None else number
        centre = self.means / number
        scatter = self.squares - number * np.outer(centre, centre)
        return Mean(
            self.values / num_draws,
            scatter / (number - 1) * (batch / num_draws),
            _effective_batches(
                number,
                centre,
                np.stack([np.diag(self.squares), self.cubes, self.fourths]),
            ),
            number,
        )


def _effective_batches(number: int, mean: Packed, powers: Matrix) -> Packed:
    """(Σ d²)²/Σ d⁴ with d the deviation from the mean, from sums of powers 2, 3, 4.

    Values that vary by less than rounding give 0, unless they are all zero (infinity):
    a sample that misses a heavy tail altogether looks constant.
    """
    second, third, fourth = powers
    scatter = second - number * mean**2
    with np.errstate(divide="ignore", invalid="ignore"):
        quartic = fourth - mean * (4 * third - 6 * mean * second)
        quartic = quartic - 3 * number * mean**4
        effective = scatter**2 / quartic
    varies = scatter > number * (_ROUNDING * mean) ** 2
    effective = np.clip(np.where(quartic > 0, effective, number), 0, number)
    # A fourth power beyond float32 is itself the mark of a few dominant networks.
    effective = np.where(np.isfinite(scatter + quartic), effective, 0.0)
    return np.where(varies, effective, np.where(mean == 0, np.inf, 0.0))
