"""Second-order tree diagrams of the 6-pt function: two quartic vertices and one line.

They enter at 1/N², the order of a sextic coupling, so an action that holds one needs
them (theory.md §4). Each vertex has three external legs and an open one; with the
propagator of the line factorised, the tree is a product of two open vertices.
"""

from itertools import combinations

import numpy as np
from jaxtyping import Float

from nnft_ppl.correlators.symmetric import entries, positions
from nnft_ppl.eft.contraction import Response

_LEGS = 6


class Tree:
    """∂²G^(6)_c/∂g_i∂g_j pieces, per cutoff and packed entry.

    Attributes:
        values: T_ij with G6c ∋ Σ_ij g_i g_j T_ij.
        error: Absolute.
    """

    values: Float[np.ndarray, "cutoff entry"]
    error: Float[np.ndarray, "cutoff entry"]

    def __init__(
        self,
        first: Response,
        second: Response,
        num_points: int,
        *,
        is_complete: bool = False,
    ) -> None:
        r"""Join the open legs of two vertices.

        .. math:: T_{ij} = \frac12 \sum_{\text{20 ordered splits}}
            \sum_r V_i(abc; r) V_j(def; r),

        the ½ of the second-order term of e^{−S}. The error joins those of the vertices
        and the change on leaving out the second half of the features, which is more
        than what all the others add: measured, 10 to 10⁶ times more.

        Args:
            first: Open vertex of operator i, entries of three legs.
            second: Of operator j.
            num_points: Number of inputs.
            is_complete: Whether the features are all there are.
        """
        values, half, error = (
            _gathered(table, num_points) for table in _line(first, second)
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


def _gathered(table: np.ndarray, num_points: int) -> np.ndarray:
    """Half the sum over the ordered 3 + 3 splits of six legs, (cutoff, entry)."""
    index = entries(num_points, _LEGS)
    total = np.zeros((len(table), len(index)))
    for legs in combinations(range(_LEGS), _LEGS // 2):
        others = [leg for leg in range(_LEGS) if leg not in legs]
        total += table[
            :,
            positions(num_points, index[:, list(legs)]),
            positions(num_points, index[:, others]),
        ]
    return total / 2
