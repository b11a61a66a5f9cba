"""Rules for the unit sphere in many dimensions, through the span of the inputs.

A kernel with rotation symmetry sees y through its projection on the span of the inputs
and |y| alone, so the sphere S^{D−1} shrinks to a ball of the dimension m of the span.
In: a basis of the span. Out: a product rule for m ≤ 3, scrambled Sobol points beyond.
"""

import math

import numpy as np
from scipy.special import gammaln, ndtri
from scipy.stats import chi, qmc

from nnft_ppl._typing import Matrix, Points
from nnft_ppl.eft.mesh.faces import Ends, Rung, Sphere, Weights
from nnft_ppl.eft.mesh.panels import graded_edges, panel_nodes

_REPLICATES = 16
_FIRST_LOG_SIZE = 5  # of the Sobol points of one replicate
_SEED = 20080860  # fixed, so that the same integral is the same number


class ReducedSphere:
    r"""∫ dΩ over S^{D−1} for integrands that depend on y through the span alone.

    .. math:: \int dΩ F = |S^{D-m-1}| \int_0^{π/2} dχ \sin^{m-1}χ \cos^{D-m-1}χ
        \int_{S^{m-1}} dv F(\sin χ\, v + \cos χ\, e)

    with e any unit vector off the span. The density is that of (1 − |t|²)^{(D−m−2)/2}
    in t = sin χ v, but free of its end-point powers.

    Args:
        basis: Orthonormal rows that span the inputs, (m, D), m < D.
        inner: Rule for v on S^{m−1}.
        perpendicular: e.
    """

    replicates = 1

    def __init__(
        self, basis: Matrix, inner: Ends | Sphere, perpendicular: Matrix
    ) -> None:
        """Keep the parts."""
        self._basis = basis
        self._inner = inner
        self._perpendicular = perpendicular
        self.rungs = inner.rungs
        # Most of a sphere in many dimensions is within 1/√D of the equator χ = 0.
        typical = min(1.0, 2 / math.sqrt(basis.shape[1]))
        self._edges = graded_edges(np.array([typical, math.pi / 2]))

    def turned(self) -> "ReducedSphere":
        """The same rule with another e: equal results where the symmetry holds."""
        turned = off_span(self._basis, 1)
        if self._basis.shape[1] - len(self._basis) == 1:
            turned = -self._perpendicular
        return ReducedSphere(self._basis, self._inner, turned)

    def size(self, level: int) -> int:
        """Number of directions at a level."""
        angles = (len(self._edges) - 1) * self.rungs[level].per_panel
        return angles * self._inner.size(level)

    def rule(self, level: int) -> tuple[Points, Weights]:
        """Directions and weights; the weights sum to the area of S^{D−1}."""
        span, dim = self._basis.shape
        rung = self.rungs[level]
        angle, weight = panel_nodes(self._edges, rung.order, rung.bisections)
        density = np.sin(angle) ** (span - 1) * np.cos(angle) ** (dim - span - 1)
        inner, inner_weights = self._inner.rule(level)
        along = (inner @ self._basis)[None] * np.sin(angle)[:, None, None]
        directions = along + np.cos(angle)[:, None, None] * self._perpendicular
        weights = np.outer(weight * density * sphere_area(dim - span), inner_weights)
        return directions.reshape(-1, dim), weights.ravel()


class SobolSphere:
    """∫ dΩ over S^{D−1} by scrambled Sobol points in the span and its complement.

    The part off the span points in a random direction, so that integrands without
    rotation symmetry come out right too, on average.

    Args:
        basis: Orthonormal rows that span the inputs, (m, D), m ≤ D.
        num_levels: How often the number of points may double, plus one.
    """

    replicates = _REPLICATES

    def __init__(self, basis: Matrix, num_levels: int) -> None:
        """Keep the basis."""
        self._basis = basis
        # The radius is refined along, or its error would not show in the change.
        self.rungs = tuple(Rung(5 + level) for level in range(num_levels))

    def size(self, level: int) -> int:
        """Number of directions at a level, all replicates together."""
        return _REPLICATES << (_FIRST_LOG_SIZE + level)

    def rule(self, level: int) -> tuple[Points, Weights]:
        """Directions and weights; those of each replicate sum to the area."""
        span, dim = self._basis.shape
        seeds = np.random.SeedSequence(_SEED).spawn(_REPLICATES)
        parts = []
        for seed in seeds:
            generator = np.random.default_rng(seed)
            sobol = qmc.Sobol(span + (dim > span), rng=generator)
            uniform = sobol.random_base2(_FIRST_LOG_SIZE + level)
            uniform = np.clip(uniform, 2.0**-54, 1 - 2.0**-53)
            vectors = ndtri(uniform[:, :span]) @ self._basis
            if dim > span:
                off = generator.standard_normal((len(vectors), dim))
                off -= off @ self._basis.T @ self._basis
                off /= np.linalg.norm(off, axis=1, keepdims=True)
                vectors += chi.ppf(uniform[:, -1:], dim - span) * off
            parts.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        directions = np.concatenate(parts)
        weight = sphere_area(dim) * _REPLICATES / len(directions)
        return directions, np.full(len(directions), weight)


def sphere_area(dim: int) -> float:
    """Area of the unit sphere in `dim` dimensions: 2 π^{dim/2}/Γ(dim/2)."""
    return 2 * math.exp(dim / 2 * math.log(math.pi) - float(gammaln(dim / 2)))


def span_basis(points: Points) -> Matrix:
    """Orthonormal rows that span the points, (m, dim); at least one."""
    _, sizes, rows = np.linalg.svd(points, full_matrices=False)
    tolerance = max(points.shape) * np.finfo(np.float64).eps * sizes[0]
    return np.asarray(rows[: max(1, int(np.sum(sizes > tolerance)))])


def off_span(basis: Matrix, which: int = 0) -> Matrix:
    """Unit vector orthogonal to the basis; another one for another `which`."""
    vector = np.random.default_rng([_SEED, which]).standard_normal(basis.shape[1])
    for _ in range(2):  # once more, for the digits
        vector -= (vector @ basis.T) @ basis
    return np.asarray(vector / np.linalg.norm(vector))
