"""A data set as a measure: its points, all with one weight."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import ArrayLike

from nnft_ppl._arrays import real_numbers
from nnft_ppl._errors import SpecError
from nnft_ppl._typing import Points
from nnft_ppl.eft.measures.measure import Measure
from nnft_ppl.eft.mesh.regions import Region, Setting, data_region


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Empirical(Measure):
    """(1/n) Σ over those of n data points whose largest coordinate |y_a| is ≤ Λ.

    Any dimension. It is dimensionless, and it runs with Λ in steps only.

    Args:
        points: The data set, (n, dim); (n,) where dim is 1.

    Raises:
        SpecError: No points, no axis, or an entry that is masked or no finite
            real number.
    """

    name = "empirical"
    points: Points

    def __init__(self, points: ArrayLike) -> None:
        """Check the points and keep a read-only copy."""
        shape = "(number of points, dimension)"
        given = real_numbers("the points of an empirical measure", points, shape).copy()
        if (
            given.ndim == 1 or given.ndim > 2
        ):  # as networks take inputs: numbers, images
            given = given.reshape(len(given), -1)
        if given.ndim != 2 or not given.size:
            raise SpecError(
                f"the points of an empirical measure have shape {given.shape}; "
                f"expected {shape}, at least one of each"
            )
        bad = np.flatnonzero(~np.isfinite(given).all(axis=1))
        if bad.size:
            raise SpecError(
                f"point {bad[0]} of an empirical measure is {given[bad[0]].tolist()}; "
                "points must be finite"
            )
        given.flags.writeable = False
        object.__setattr__(self, "points", given)

    def __reduce__(self) -> tuple[type, tuple[Points]]:
        """For pickle, which leaves arrays writeable."""
        return Empirical, (self.points,)

    def __eq__(self, other: object) -> bool:
        """Equal when the points are, in the same order."""
        if not isinstance(other, Empirical):
            return NotImplemented
        return np.array_equal(self.points, other.points)

    def __hash__(self) -> int:
        """Equal measures hash alike."""
        return hash((self.points.shape, (self.points + 0.0).tobytes()))

    def __repr__(self) -> str:
        """Show the size of the data set."""
        return f"Empirical({len(self.points)} points of {self.points.shape[1]})"

    def integral(self, point: str) -> str:
        """LaTeX of (1/n) Σ over the points D_Λ inside the cutoff; see `Measure`."""
        return rf"\frac{{1}}{{{len(self.points)}}}\sum_{{{point}\in D_\Lambda}}"

    def region(self, setting: Setting) -> Region:
        """The points themselves; the cutoff bounds their largest coordinate."""
        return data_region(setting, self.points)
