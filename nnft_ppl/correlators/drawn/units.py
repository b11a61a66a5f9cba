"""The units in which draws are summed: their mean and their standard deviation.

A mean a million times the standard deviation would leave no digit of a fourth moment;
so it is found first, block by block, and taken off before any product is.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nnft_ppl._errors import SpecError
from nnft_ppl.correlators.drawn.values import Values


@dataclass(frozen=True, eq=False)
class Units:
    """What is taken off the draws, and what they are then divided by.

    Attributes:
        shift: (leg,); zero where moments are about zero.
        scale: (leg,), positive.
        mean: (leg,) of the draws.
        std: (leg,) of the draws.
    """

    shift: Float[np.ndarray, " leg"]
    scale: Float[np.ndarray, " leg"]
    mean: Float[np.ndarray, " leg"]
    std: Float[np.ndarray, " leg"]

    def of(self, block: Float[np.ndarray, "draw leg"]) -> Float[np.ndarray, "leg draw"]:
        """Draws in these units, draws last."""
        return np.ascontiguousarray(((block - self.shift) / self.scale).T)


class Moments(NamedTuple):
    """Of rows so far.

    Attributes:
        number: How many.
        mean: Of each entry.
        squares: Of its deviations from the mean, summed.
    """

    number: int
    mean: np.ndarray
    squares: np.ndarray

    @staticmethod
    def none() -> "Moments":
        """Of no rows."""
        return Moments(0, np.zeros(0), np.zeros(0))

    def plus(self, block: np.ndarray) -> "Moments":
        """With those of a block, float64 (row, …)."""
        # About the first row, so that equal values have exactly no variance.
        off = block - block[0]
        own = off.mean(axis=0)
        scatter = ((off - own) ** 2).sum(axis=0)
        own = own + block[0]
        if not self.number:
            return Moments(len(block), own, scatter)
        total = self.number + len(block)
        gap = own - self.mean
        return Moments(
            total,
            self.mean + gap * (len(block) / total),
            self.squares + scatter + gap**2 * (self.number * len(block) / total),
        )


def find_units(values: Values, size: int, *, about_mean: bool) -> Units:
    """Read all draws once.

    Args:
        values: The draws.
        size: Draws of a block.
        about_mean: Whether the mean is taken off; else they are about zero.

    Raises:
        SpecError: A leg never varies.
    """
    moments = Moments.none()
    for chain in range(values.num_chains):
        for block in values.blocks(chain, size):
            moments = moments.plus(block)
    count, mean, squares = moments
    still = np.flatnonzero(squares <= 0)
    if still.size:
        point, output = divmod(int(still[0]), values.num_outputs)
        which = f"point {point}" + (f", output {output}" if values.has_outputs else "")
        raise SpecError(
            f"`values` at {which} are {mean[still[0]]:.6g} in every draw; what does "
            "not vary has no correlators: leave that input out"
        )
    std = np.sqrt(squares / count)
    if about_mean:
        return Units(mean, std, mean, std)
    return Units(np.zeros_like(mean), np.hypot(mean, std), mean, std)
