"""Deterministic rules for the directions u of y = r·u, up to three dimensions.

In: the directions in which kernels may have kinks. Out: Gauss–Legendre rules on panels
of the faces of the unit cube, with panel corners at those directions and their mirror
images, and the same carried over to the unit sphere.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
from jaxtyping import Bool, Float

from nnft_ppl._typing import Points
from nnft_ppl.eft.mesh.panels import Edges, graded_edges, panel_nodes

_SAME = 1e-9  # breakpoints closer than this are one
_NARROW = 0.125  # width, beside a face of 2

type Weights = Float[np.ndarray, " direction"]
type Belongs = Callable[[Points], Bool[np.ndarray, " direction"]]


@dataclass(frozen=True)
class Rung:
    """How fine a level is: Gauss nodes per panel, after so many bisections."""

    order: int
    bisections: int = 0

    @property
    def per_panel(self) -> int:
        """Nodes that a panel gets."""
        return self.order << self.bisections


class Ends:
    """The two directions ±1 of a line.

    Args:
        rungs: The levels, coarsest first; only the radius is refined.
    """

    replicates = 1

    def __init__(self, rungs: tuple[Rung, ...]) -> None:
        """Keep the levels."""
        self.rungs = rungs

    def size(self, level: int) -> int:
        """Number of directions at a level."""
        return 2

    def rule(self, level: int) -> tuple[Points, Weights]:
        """Directions and weights."""
        return np.array([[1.0], [-1.0]]), np.ones(2)


class CubeFaces:
    """∫ dσ(u) over the faces of [−1, 1]^d, so that ∫ dy = ∫ dr r^{d−1} ∫ dσ(u).

    Kernels of homogeneous activations are singular as |angle|³ or |y − x|³ at the
    inputs and their mirror images: with a panel corner there Gauss rules converge fast.

    Args:
        kinks: Directions that are to be panel corners, (kink, dim), none zero.
        widths: Angle within which a kernel changes around each kink, (kink,); panels
            are graded towards it where that is narrow, ∞ for no grading.
        rungs: The levels, coarsest first.
    """

    replicates = 1

    def __init__(
        self,
        kinks: Points,
        widths: Float[np.ndarray, " kink"],
        rungs: tuple[Rung, ...],
    ) -> None:
        """Lay the panels of every face."""
        self.dim = kinks.shape[1]
        self.rungs = rungs
        corners = kinks / np.abs(kinks).max(axis=1, keepdims=True)
        corners = np.concatenate([corners, -corners])
        widths = np.concatenate([widths, widths])
        # A narrow kernel near the edge of its face is felt on the next face too.
        reach = np.where(widths < _NARROW, 4 * widths, _SAME)
        self._faces: list[tuple[int, float, list[Edges]]] = []
        for axis in range(self.dim):
            for side in (1.0, -1.0):
                here = corners[:, axis] * side > 1 - reach
                ahead = corners[here] / np.abs(corners[here, axis, None])
                others = np.delete(np.clip(ahead, -1.0, 1.0), axis, axis=1)
                lines = [_line(marks, widths[here]) for marks in others.T]
                self._faces.append((axis, side, lines))

    def size(self, level: int) -> int:
        """Number of directions at a level."""
        panels = sum(
            prod(len(line) - 1 for line in lines) for _, _, lines in self._faces
        )
        return panels * int(self.rungs[level].per_panel ** (self.dim - 1))

    def rule(self, level: int) -> tuple[Points, Weights]:
        """Directions and weights; the weights sum to d·2^d."""
        rung = self.rungs[level]
        directions, weights = [], []
        for axis, side, lines in self._faces:
            rules = [panel_nodes(line, rung.order, rung.bisections) for line in lines]
            grid = np.meshgrid(*[nodes for nodes, _ in rules], indexing="ij")
            flat = [coordinate.ravel() for coordinate in grid]
            product = np.ones(1)
            for _, weight in rules:
                product = np.multiply.outer(product, weight).ravel()
            flat.insert(axis, np.full(len(product), side))
            directions.append(np.stack(flat, axis=1))
            weights.append(product)
        return np.concatenate(directions), np.concatenate(weights)


class Sphere:
    """∫ dΩ over the unit sphere, its panels seen through the faces of the cube.

    Args:
        faces: Panels.
    """

    replicates = 1

    def __init__(self, faces: CubeFaces) -> None:
        """Keep the faces."""
        self._faces = faces
        self.rungs = faces.rungs

    def size(self, level: int) -> int:
        """Number of directions at a level."""
        return self._faces.size(level)

    def rule(self, level: int) -> tuple[Points, Weights]:
        """Directions of length 1, and weights: dΩ = dσ(u)/|u|^d."""
        directions, weights = self._faces.rule(level)
        norms = np.linalg.norm(directions, axis=1)
        return directions / norms[:, None], weights / norms**self._faces.dim


class Part:
    """A rule without the directions that do not belong.

    Args:
        whole: The rule.
        belongs: (direction, dim) -> (direction,).
    """

    replicates = 1

    def __init__(self, whole: Ends | CubeFaces, belongs: Belongs) -> None:
        """Keep the rule."""
        self._whole = whole
        self._belongs = belongs
        self.rungs = whole.rungs

    def size(self, level: int) -> int:
        """Number of directions at a level."""
        return len(self.rule(level)[1])

    def rule(self, level: int) -> tuple[Points, Weights]:
        """Directions and weights."""
        directions, weights = self._whole.rule(level)
        here = self._belongs(directions)
        return directions[here], weights[here]


def _line(marks: Edges, widths: Float[np.ndarray, " mark"]) -> Edges:
    """Panel edges on [−1, 1]: 0, the marks, and panels graded towards narrow ones."""
    edges = np.unique(np.concatenate([[-1.0, 0.0, 1.0], marks]))
    edges = edges[np.diff(edges, prepend=-np.inf) > _SAME]
    edges[-1] = 1.0  # had a mark come just before it
    narrow: list[float] = []
    for mark, width in zip(marks, widths, strict=True):
        for way in (1.0, -1.0):  # the next edge may be near on one side alone
            gaps = way * (edges - mark)
            if width < gaps[gaps > _SAME].min(initial=np.inf) / 4:
                narrow.append(mark + way * width)
    seeds = np.array(narrow)
    seeds = seeds[np.abs(seeds) < 1]
    if not seeds.size:
        return edges
    return np.asarray(graded_edges(np.concatenate([edges, seeds]) + 1) - 1)
