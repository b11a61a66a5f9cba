"""Nodes of nested boxes [−Λ, Λ] with the propagators at them, made on demand.

In: a network, inputs and finite box radii. Out: shells of quadrature nodes: one between
every two neighbouring boxes, one to the outermost mark, and tail shells beyond it for
boxes without end. Kernels are evaluated once per node, whatever uses them.
"""

import numpy as np
from jaxtyping import Float

from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Points
from nnft_ppl.eft.contraction import Shell
from nnft_ppl.eft.panels import (
    NODES_PER_PANEL,
    Edges,
    graded_edges,
    mirrored_nodes,
)

_KERNEL_BLOCK = 1024  # nodes a kernel call: one shape, so one compilation
_TAIL_DOUBLINGS = 4  # of the radius, per tail shell
_TAIL_BATCH = 8  # tail shells made at once, to fill a kernel block
_SMALLEST_SCALE = 40  # halvings of the outermost mark

type Radii = Float[np.ndarray, " radius"]


class NestedBoxes:
    """Shells of nodes that fill the boxes of all radii.

    Shell i < len(radii) lies between radius i − 1 and radius i, shell len(radii)
    reaches the outermost mark (it may be empty), and every later one multiplies the
    radius by 16.

    Args:
        network: Its propagator is used; input_dim is 1.
        points: Inputs (point, 1), where the propagator may have kinks.
        radii: Finite, positive, sorted, distinct; may be empty.
    """

    def __init__(self, network: Network, points: Points, radii: Radii) -> None:
        """Lay the panels."""
        self._network = network
        self._points = points
        self._radii = radii
        marks = np.unique(np.concatenate([np.abs(points[:, 0]), radii]))
        marks = marks[marks > 0] if marks.any() else np.ones(1)
        self._edges = graded_edges(np.concatenate([marks, self._kernel_scales(marks)]))
        self._shells: dict[tuple[int, int], Shell] = {}

    def num_nodes(self, level: int, num_tail: int) -> int:
        """Nodes at one level, with `num_tail` tail shells."""
        panels = len(self._edges) - 1 + num_tail * _TAIL_DOUBLINGS
        return (2 * NODES_PER_PANEL * panels) << level

    def shell(self, level: int, index: int) -> Shell:
        """Shell `index`, its panels bisected `level` times."""
        if (level, index) not in self._shells:
            finite = len(self._radii) + 1
            start, stop = 0, finite
            if index >= finite:
                start = index - (index - finite) % _TAIL_BATCH
                stop = start + _TAIL_BATCH
            parts = [
                mirrored_nodes(self._shell_edges(i), level) for i in range(start, stop)
            ]
            table = self._propagator(np.concatenate([nodes for nodes, _ in parts]))
            ends = np.cumsum([len(nodes) for nodes, _ in parts])[:-1]
            blocks = np.split(table, ends, axis=1)
            for i, ((nodes, weights), block) in enumerate(
                zip(parts, blocks, strict=True), start
            ):
                # Where no field reaches, a weight may overflow: leave it out.
                felt = block.any(axis=0)
                self._shells[level, i] = Shell(
                    nodes[felt, None], weights[felt], block[:, felt]
                )
        return self._shells[level, index]

    def surfaces(self) -> list[Shell]:
        """The two ends of every box as a shell of zero thickness, for d/d log Λ."""
        nodes = np.stack([self._radii, -self._radii], axis=1).ravel()
        blocks = np.split(self._propagator(nodes), len(self._radii), axis=1)
        return [
            Shell(np.array([[radius], [-radius]]), np.full(2, radius), block)
            for radius, block in zip(self._radii, blocks, strict=True)
        ]

    def _shell_edges(self, index: int) -> Edges:
        """Panel edges of shell `index`."""
        bounds = np.concatenate([[0.0], self._radii, self._edges[-1:]])
        if index < len(bounds) - 1:
            inside = (self._edges >= bounds[index]) & (self._edges <= bounds[index + 1])
            return np.asarray(self._edges[inside])
        start = _TAIL_DOUBLINGS * (index - len(bounds) + 1)
        powers = np.arange(start, start + _TAIL_DOUBLINGS + 1)
        return np.asarray(np.ldexp(self._edges[-1], powers))

    def _propagator(self, nodes: Float[np.ndarray, " node"]) -> Matrix:
        """K_W(x, y), in blocks of one size so that the kernel is compiled once."""
        padded = np.pad(nodes, (0, -len(nodes) % _KERNEL_BLOCK), mode="edge")
        blocks = [
            self._network.propagator(self._points, block[:, None])
            for block in padded.reshape(-1, _KERNEL_BLOCK)
        ]
        return np.concatenate(blocks, axis=1)[:, : len(nodes)]

    def _kernel_scales(self, marks: Radii) -> Radii:
        """Radii at the kernel's own length from each input and from the origin.

        The length is the step over which a kernel changes by half its size. Without
        these marks a kernel much narrower than the spacing of the marks could fall
        between all nodes, and the error estimate would not notice.
        """
        inputs = self._points[:, 0]
        centres = np.unique(np.append(inputs, 0.0))
        steps = np.ldexp(marks[-1], -np.arange(1, _SMALLEST_SCALE + 1))
        offsets = np.concatenate([[0.0], steps, -steps])
        table = self._propagator((centres[:, None] + offsets).ravel())
        table = table.reshape(len(inputs), len(centres), len(offsets))
        change = np.abs(table - table[..., :1])[..., 1:]
        size = self._propagator(inputs).diagonal()[:, None, None]
        # An input feels its own kernel; the origin, every one.
        own = (self._points == centres) | (centres == 0)
        moved = ((change > size / 2) & own[..., None]).any(axis=0)
        moved = moved[:, : len(steps)] | moved[:, len(steps) :]
        fixed = np.append(marks, 0.0)
        found: list[float] = []
        for centre, hits in zip(np.abs(centres), moved, strict=True):
            # Where the marks are as close as that already, they do.
            gap = np.abs(fixed[fixed != centre] - centre).min()
            scale = steps[hits].min(initial=np.inf)
            if scale < gap / 4:
                found += [centre + scale, centre - scale]
        seeds = np.array(found)
        return np.asarray(seeds[(seeds > 0) & (seeds < marks[-1])])
