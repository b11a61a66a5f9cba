"""Meshes of a cutoff integral: radii times directions, y = r·u.

In: marks (radii where an integrand may have a kink or a region end) and a rule for the
directions. Out: `Rays`, products of radial and directional nodes, for the shells
between neighbouring cutoffs, for tail shells beyond the last mark, and for surfaces.
Nested regions then share their nodes: each is a sum over shells. A data set in place of
the rays is a `Cloud`.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int

from nnft_ppl._typing import Points
from nnft_ppl.eft.mesh.faces import Rung
from nnft_ppl.eft.mesh.panels import Edges, graded_edges, panel_nodes

TAIL_DOUBLINGS = 4  # of the radius, per tail shell

type Radii = Float[np.ndarray, " radius"]


@dataclass(frozen=True)
class Chunk:
    """Some nodes of a mesh in order; all arrays are per node.

    Args:
        position: y, (node, dim).
        weight: Quadrature weights.
        radius: The norm that the cutoff bounds.
        shell: Between which two cutoffs; does not decrease.
        replicate: Which of several independent rules.
    """

    position: Points
    weight: Float[np.ndarray, " node"]
    radius: Float[np.ndarray, " node"]
    shell: Int[np.ndarray, " node"]
    replicate: Int[np.ndarray, " node"]


@dataclass(frozen=True)
class Rays:
    """Quadrature nodes y = r·u for every radius r and direction u.

    Args:
        radii: r, increasing within a shell, (radius,).
        radial_weights: Their weights, r^{d−1} included, (radius,).
        shells: Which shell a radius is in, (radius,), increasing.
        directions: u, (direction, dim).
        direction_weights: (direction,).
        replicates: How many independent rules the directions hold, one after the
            other, each complete in itself.
    """

    radii: Radii
    radial_weights: Radii
    shells: Int[np.ndarray, " radius"]
    directions: Points
    direction_weights: Float[np.ndarray, " direction"]
    replicates: int = 1

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.radii) * len(self.directions)

    def chunk(self, start: int, stop: int) -> "Chunk":
        """Nodes start … stop of the product, radius by radius."""
        ray, direction = np.divmod(np.arange(start, stop), len(self.directions))
        radii = self.radii[ray]
        return Chunk(
            radii[:, None] * self.directions[direction],
            self.radial_weights[ray] * self.direction_weights[direction],
            radii,
            self.shells[ray],
            direction * self.replicates // max(1, len(self.directions)),
        )


class Directions(Protocol):
    """A family of rules for ∫ dσ(u) over the unit surface, finer with the level."""

    replicates: int
    rungs: tuple[Rung, ...]

    def rule(self, level: int) -> tuple[Points, Float[np.ndarray, " direction"]]:
        """Directions and weights, complete replicates one after the other."""
        ...

    def size(self, level: int) -> int:
        """Number of directions at a level."""
        ...


class RayMesh:
    """Rays of all shells at every level of refinement.

    Shell i < len(radii) lies between radius i − 1 and radius i; shell len(radii)
    reaches the outermost mark (it may be empty).

    Args:
        dim: Dimension of y.
        radii: Boundaries of the shells: finite, positive, sorted, distinct.
        marks: More radii that are to be panel edges; the largest ends the last shell.
        directions: The rule for u, and the levels of refinement.
    """

    is_sum = False
    """Whether the nodes are all there is: exact as they are, with nothing beyond."""

    def __init__(
        self,
        dim: int,
        radii: Radii,
        marks: Radii,
        directions: Directions,
    ) -> None:
        """Lay the radial panels."""
        self.radii = radii
        self.directions = directions
        self.replicates = directions.replicates
        self.num_levels = len(directions.rungs)
        self._dim = dim
        all_marks = np.concatenate([marks, radii])
        self._edges = graded_edges(all_marks if all_marks.size else np.ones(1))

    def num_nodes(self, level: int, num_tail: int) -> int:
        """Nodes at one level, with `num_tail` tail shells."""
        panels = len(self._edges) - 1 + num_tail * TAIL_DOUBLINGS
        return (
            panels
            * self.directions.rungs[level].per_panel
            * self.directions.size(level)
        )

    def bounded(self, level: int) -> Rays:
        """The shells up to the outermost mark."""
        radii, weights = self._radial(self._edges, level)
        return self._rays(radii, weights, np.searchsorted(self.radii, radii), level)

    def tail(self, level: int, index: int) -> Rays:
        """Tail shell `index` = 0, 1, …: the radius grows by 16."""
        start = TAIL_DOUBLINGS * index
        powers = np.arange(start, start + TAIL_DOUBLINGS + 1)
        radii, weights = self._radial(np.ldexp(self._edges[-1], powers), level)
        shells = np.full(len(radii), len(self.radii) + 1 + index)
        return self._rays(radii, weights, shells, level)

    def surfaces(self, level: int) -> Rays:
        """The boundaries of the shells, weighted to give d/d log r of the integral."""
        return self._rays(self.radii, self.radii, np.arange(len(self.radii)), level)

    def _radial(self, edges: Edges, level: int) -> tuple[Radii, Radii]:
        """Nodes and weights for ∫ dr."""
        rung = self.directions.rungs[level]
        return panel_nodes(edges, rung.order, rung.bisections)

    def _rays(
        self,
        radii: Radii,
        weights: Radii,
        shells: Int[np.ndarray, " radius"],
        level: int,
    ) -> Rays:
        """Multiply by the directions."""
        directions, direction_weights = self.directions.rule(level)
        with np.errstate(over="ignore"):  # looked for in the sums themselves
            volume = weights * radii ** (self._dim - 1)
        return Rays(
            radii,
            volume,
            shells,
            directions,
            direction_weights,
            self.directions.replicates,
        )


class Cloud:
    """The points of a data set as a mesh that is exact at its only level.

    Args:
        points: (point, dim).
        radii: Finite cutoffs of the largest coordinate, sorted, distinct.
    """

    replicates = 1
    num_levels = 1
    is_sum = True

    def __init__(self, points: Points, radii: Radii) -> None:
        """Sort the points by their largest coordinate."""
        self._radii = radii
        norms = np.abs(points).max(axis=1)
        order = np.argsort(norms, kind="stable")
        self._points, self._norms = points[order], norms[order]
        self._shells = np.searchsorted(radii, self._norms)

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self._points)

    def chunk(self, start: int, stop: int) -> Chunk:
        """Points start … stop, nearest first."""
        return Chunk(
            self._points[start:stop],
            np.full(stop - start, 1 / len(self._points)),
            self._norms[start:stop],
            self._shells[start:stop],
            np.zeros(stop - start, dtype=np.int64),
        )

    def bounded(self, level: int) -> "Cloud":
        """All points, whatever the level."""
        return self

    def tail(self, level: int, index: int) -> "Cloud":
        """No points."""
        return Cloud(self._points[:0], self._radii)

    def surfaces(self, level: int) -> "Cloud":
        """No points: the sum runs with the cutoff in steps."""
        return Cloud(self._points[:0], self._radii)

    def num_nodes(self, level: int, num_tail: int) -> int:
        """Nodes at one level."""
        return len(self._points)


type Mesh = RayMesh | Cloud
type NodeSet = Rays | Cloud
