"""The propagator between integration points as a sum of products, K ≈ Σ_r L_r L_r.

A diagram with a line between two integration points is a double integral. With the
propagator factorised it is a sum of products of single ones, in any dimension.
"""

from dataclasses import dataclass

import numpy as np

from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Points

_TOLERANCE = 1e-12
"""Of the variance left out, weighted, which bounds the relative error of a line."""
_COMPLETE = 1e-10
"""The same without the weight, below which nothing is left out."""


@dataclass(frozen=True, eq=False)
class Factorisation:
    """K_W(y, y') ≈ Σ_r L_r(y) L_r(y'), L = mixing · K_W(points, ·), best terms first.

    Args:
        points: Inducing points (rank, dim).
        mixing: (rank, rank) lower triangular.
        is_complete: Whether nothing is left out at any of the candidates.
    """

    points: Points
    mixing: Matrix
    is_complete: bool


def factorise(
    network: Network, x: Points, candidates: Points, max_rank: int
) -> Factorisation:
    """Pivoted Cholesky factorisation of the propagator.

    A pivot is taken where most variance is left, relative to K(y, y) and weighted with
    the sixth power of the correlation between y and the nearest input: three external
    legs end at each of the two integration points that a line joins.

    Args:
        network: Its propagator is factorised.
        x: Inputs where external legs are.
        candidates: Points that may become inducing points, spread like the measure.
        max_rank: Largest number of terms.

    Source: Harbrecht, Peters, Schneider, Appl. Numer. Math. 62 (2012) 428, section 3.
    """
    variance = network.propagator_variance(candidates)
    alive = variance > 0
    candidates, variance = candidates[alive], variance[alive]
    inputs = network.propagator_variance(x)
    table = network.propagator(x[inputs > 0], candidates)
    scale = np.sqrt(inputs[inputs > 0, None] * variance)
    reach = np.max(np.abs(table) / scale, axis=0) ** 6
    left = variance.copy()
    factor = np.zeros((len(candidates), max_rank))
    chosen: list[int] = []
    for rank in range(min(max_rank, len(candidates))):
        score = left / variance * reach
        pivot = int(np.argmax(score))
        if not score[pivot] > _TOLERANCE:
            break
        column = network.propagator(candidates, candidates[pivot : pivot + 1])[:, 0]
        column = column - factor[:, :rank] @ factor[pivot, :rank]
        factor[:, rank] = column / np.sqrt(left[pivot])
        left = np.maximum(left - factor[:, rank] ** 2, 0.0)
        left[pivot] = 0.0
        chosen.append(pivot)
    triangle = np.tril(factor[chosen, : len(chosen)])
    return Factorisation(
        candidates[chosen],
        np.linalg.inv(triangle),
        bool((left <= _COMPLETE * variance).all()),
    )
