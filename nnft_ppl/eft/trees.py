"""Second-order tree diagrams: two vertices of equally many fields and one line.

Two quartic vertices enter the 6-pt function at 1/N², the order of a sextic coupling,
and two cubic ones the 4-pt function at 1/N, that of a quartic one; so an action that
holds it needs them (theory.md §4). Each vertex has all but one of its fields at
external legs and one open; with the propagator of the line factorised, the tree is a
product of two open vertices.
"""

from itertools import combinations

import numpy as np
from jaxtyping import Float

from nnft_ppl.correlators.symmetric import entries, positions
from nnft_ppl.eft.contraction import Response


class Tree:
    """∂²G^(2m)_c/∂g_i∂g_j pieces, per cutoff and packed entry.

    Attributes:
        values: T_ij with G^(2m)_c ∋ Σ_ij g_i g_j T_ij.
        error: Absolute.
    """

    values: Float[np.ndarray, "cutoff entry"]
    error: Float[np.ndarray, "cutoff entry"]

    def __init__(
        self,
        first: Response,
        second: Response,
        num_points: int,
        legs: int,
        *,
        is_complete: bool = False,
    ) -> None:
        r"""Join the open legs of two vertices.

        .. math:: T_{ij} = \frac12 \sum_{\text{ordered splits}}
            \sum_r V_i(abc; r) V_j(def; r),

        over the 20 splits of six legs, or the six of four, with the ½ of the
        second-order term of e^{−S}. The error joins those of the vertices and the
        change on leaving out the second half of the features, which is more than what
        all the others add: measured, 10 to 10⁶ times more.

        Args:
            first: Open vertex of operator i, entries of m legs.
            second: Of operator j.
            num_points: Number of inputs.
            legs: m, the legs of either vertex.
            is_complete: Whether the features are all there are.
        """
        values, half, error = (
            _gathered(table, num_points, legs) for table in _line(first, second)
        )
        self.values = values
        self.error = error if is_complete else np.abs(values - half) + error


def _line(first: Response, second: Response) -> tuple[np.ndarray, ...]:
    """Σ_r V V, the same with half of the features, and an error, (cutoff, abc, def)."""
    v, w = first.values, second.values
    rank = v.shape[2]
    half = (rank + 1) // 2

    def joined(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(a @ np.swapaxes(b, 1, 2))

    return (
        joined(v, w),
        joined(v[..., :half], w[..., :half]),
        joined(first.error, np.abs(w)) + joined(np.abs(v), second.error),
    )


def _gathered(table: np.ndarray, num_points: int, half: int) -> np.ndarray:
    """Half the sum over ordered splits of the legs in halves, (cutoff, entry)."""
    index = entries(num_points, 2 * half)
    total = np.zeros((len(table), len(index)))
    for legs in combinations(range(2 * half), half):
        others = [leg for leg in range(2 * half) if leg not in legs]
        total += table[
            :,
            positions(num_points, index[:, list(legs)]),
            positions(num_points, index[:, others]),
        ]
    return total / 2
