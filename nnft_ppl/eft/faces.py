"""Rules for the directions u of y = r·u: faces of the unit cube, or the unit sphere."""

import numpy as np
from jaxtyping import Float

from nnft_ppl._typing import Points


class Ends:
    """The two directions ±1 of a line."""

    replicates = 1

    def rule(self, level: int) -> tuple[Points, Float[np.ndarray, " direction"]]:
        """u and the weights."""
        return np.array([[1.0], [-1.0]]), np.ones(2)

    def size(self, level: int) -> int:
        """Number of directions at a level."""
        return 2
