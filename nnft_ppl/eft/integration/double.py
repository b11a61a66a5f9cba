"""Double integrals with a weight w(y, y') that is no sum of products.

In: blocks of nodes, factors on both sides and the weight. Out: sums over all pairs of
nodes at every cutoff, walked through in pieces so that memory stays flat.
"""

from collections.abc import Callable

import numpy as np

from nnft_ppl._typing import Matrix
from nnft_ppl.eft.integration.node_blocks import Block, Blocks, Shares
from nnft_ppl.eft.integration.nodes import Nodes
from nnft_ppl.eft.integration.pair_sums import Table

type Factor = Callable[[Nodes], Matrix]
type PairWeight = Callable[[np.ndarray, np.ndarray], np.ndarray]

_PAIRS = 1 << 20  # weights held at once


class DoubleSum:
    """∫∫ left(y) w(y, y') right(y')ᵀ of one weight.

    Args:
        blocks: Nodes.
        left: Nodes -> (l, node).
        weight: Two arrays of positions (..., dim) -> (...).
        right: Nodes -> (r, node).
    """

    def __init__(
        self, blocks: Blocks, left: Factor, weight: PairWeight, right: Factor
    ) -> None:
        """Keep the parts."""
        self._blocks = blocks
        self._left = left
        self._weight = weight
        self._right = right

    def values(self, level: int) -> Table:
        """Sums at all distinct cutoffs, (cutoff, l, r)."""
        tables = [
            self._between(first, ours, second, theirs)
            for first, ours in self._blocks.inside(level)
            for second, theirs in self._blocks.inside(level)
        ]
        return np.asarray(sum(tables[1:], tables[0]))

    def slope(self, level: int) -> Table | None:
        """d(values)/d log Λ: one of the two points on the edge, the other inside."""
        total: Table | None = None
        for edge, outer in self._blocks.edges(level, 0):
            for block, inner in self._blocks.inside(level):
                table = self._between(edge, outer, block, inner)
                table += self._between(block, inner, edge, outer)
                total = table if total is None else total + table
        return total

    def _between(
        self, first: Block, ours: Shares, second: Block, theirs: Shares
    ) -> Table:
        """What the pairs of two blocks add."""
        rows = self._left(first.nodes) * first.nodes.weight
        columns = self._right(second.nodes) * second.nodes.weight
        parts = self._blocks.partition(second.chunk, theirs, len(theirs))
        mixing = np.stack([part.shares for part in parts], axis=1)
        total = np.zeros((len(ours), len(rows), len(columns)))
        step = max(1, _PAIRS // columns.shape[1])
        for start in range(0, rows.shape[1], step):
            piece = slice(start, start + step)
            weight = self._weights(first.nodes.position[piece], second.nodes.position)
            sums = np.stack(
                [
                    weight[:, part.where]
                    @ (columns if part.weight is None else columns * part.weight)[
                        :, part.where
                    ].T
                    for part in parts
                ]
            )
            for cutoff, (share, mix) in enumerate(zip(ours, mixing, strict=True)):
                left = rows[:, piece] * share[piece]
                total[cutoff] += left @ np.tensordot(mix, sums, axes=1)
        return total

    def _weights(self, rows: np.ndarray, columns: np.ndarray) -> Matrix:
        """w(y, y') for all pairs."""
        shape = (len(rows), len(columns), rows.shape[1])
        return np.asarray(
            self._weight(
                np.broadcast_to(rows[:, None, :], shape),
                np.broadcast_to(columns[None, :, :], shape),
            ),
            dtype=np.float64,
        )
