"""Blocks of nodes of a region, kept as memory allows, and what counts at which cutoff.

In: a region and cutoffs. Out: `Block`s in order, each with its kernel tables, cut in
`Part`s of nodes that count alike, so that sums are done once for all cutoffs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nnft_ppl._network import Network
from nnft_ppl._typing import Points
from nnft_ppl.eft.integration.nodes import KernelTables, Nodes
from nnft_ppl.eft.mesh.rays import Chunk, NodeSet
from nnft_ppl.eft.mesh.regions import Region

_MEMORY = 1 << 30  # bytes of kernel tables that are kept

type Shares = Float[np.ndarray, "cutoff node"]


@dataclass(frozen=True)
class Block:
    """Nodes with what says at which cutoffs they count."""

    nodes: Nodes
    chunk: Chunk


class Part(NamedTuple):
    """Nodes whose sum enters every cutoff with one factor.

    Args:
        where: Which nodes of the block.
        weight: Extra weight of each node, or `None`.
        shares: Factor per distinct cutoff.
        replicate: Which of several independent rules they belong to.
    """

    where: slice
    weight: Float[np.ndarray, " node"] | None
    shares: Float[np.ndarray, " cutoff"]
    replicate: int


class Blocks:
    """All blocks of one region.

    Args:
        region: Mesh and sizes.
        network: Its kernel is used.
        sources: Points whose propagators are wanted, (source, dim).
        cutoffs: Distinct cutoffs, sorted; ∞ may be the last.
    """

    def __init__(
        self,
        region: Region,
        network: Network,
        sources: Points,
        cutoffs: Float[np.ndarray, " cutoff"],
    ) -> None:
        """Keep the region; nothing is computed yet."""
        self.region = region
        self.cutoffs = cutoffs
        self._tables = KernelTables(network, sources, region.block)
        num_sources, dim = sources.shape
        numbers = (num_sources + dim + 2) * (dim + 1)  # every table of one node
        self._max_kept = _MEMORY // (8 * numbers)
        self._kept: dict[tuple[int, int], list[Block]] = {}

    def part(self, level: int, index: int) -> Iterator[Block]:
        """Blocks up to the outermost mark (index 0) or of tail shell index − 1."""
        key = (level, index)
        if key in self._kept:
            yield from self._kept[key]
            return
        mesh = self.region.mesh
        source = mesh.tail(level, index - 1) if index else mesh.bounded(level)
        if source.size > self._max_kept:
            yield from self._cut(source)
            return
        self._make_room(source.size)
        self._kept[key] = list(self._cut(source))
        yield from self._kept[key]

    def inside(self, level: int, num_tail: int = 0) -> Iterator[tuple[Block, Shares]]:
        """All blocks of a level with how much each node counts at each cutoff."""
        for index in range(1 + num_tail):
            for block in self.part(level, index):
                yield block, self._shares(block.chunk)

    def edges(self, level: int, num_tail: int) -> Iterator[tuple[Block, Shares]]:
        """As `inside`, but counting towards d/d log Λ; none for data.

        The edge of a region as nodes on it; the derivative of a soft cutoff.
        """
        profile = self.region.profile
        if profile is not None:
            for block, _ in self.inside(level, num_tail):
                yield block, profile.slope(self._ratio(block.chunk))
            return
        edge = np.arange(len(self.cutoffs))[:, None]
        for block in self._cut(self.region.mesh.surfaces(level)):
            yield block, (block.chunk.shell == edge).astype(np.float64)

    def single(self, position: Points) -> Nodes:
        """Nodes off the mesh, with weight 1."""
        return Nodes(self._tables, position, np.ones(len(position)))

    def partition(self, chunk: Chunk, shares: Shares, most: int) -> list[Part]:
        """Parts of nodes that count alike; per replicate and cutoff if over `most`."""
        key = chunk.shell if self.region.profile is None else chunk.radius
        change = (np.diff(key) != 0) | (np.diff(chunk.replicate) != 0)
        edges = [0, *(np.flatnonzero(change) + 1), len(key)]
        if len(edges) - 1 <= most or self.region.mesh.replicates > 1:
            return [
                Part(slice(a, b), None, shares[:, a], int(chunk.replicate[a]))
                for a, b in pairwise(edges)
            ]
        return [
            Part(slice(None), share, unit, 0)
            for share, unit in zip(shares, np.eye(len(shares)), strict=True)
        ]

    def _shares(self, chunk: Chunk) -> Shares:
        """How much of each node counts at each distinct cutoff."""
        if self.region.profile is not None:
            return self.region.profile.weight(self._ratio(chunk))
        # Without end every shell counts, those beyond the outermost mark too.
        last = np.where(np.isinf(self.cutoffs), np.inf, np.arange(len(self.cutoffs)))
        return (chunk.shell <= last[:, None]).astype(np.float64)

    def _ratio(self, chunk: Chunk) -> Shares:
        """r/Λ."""
        return np.asarray(chunk.radius / self.cutoffs[:, None])

    def _cut(self, source: NodeSet) -> Iterator[Block]:
        """Cut a mesh in blocks of one size."""
        step = self.region.block
        for start in range(0, source.size, step):
            chunk = source.chunk(start, min(start + step, source.size))
            yield Block(Nodes(self._tables, chunk.position, chunk.weight), chunk)

    def _make_room(self, size: int) -> None:
        """Forget the oldest parts until `size` more nodes may be kept."""
        held = {
            key: sum(len(block.nodes.weight) for block in blocks)
            for key, blocks in self._kept.items()
        }
        while held and sum(held.values()) + size > self._max_kept:
            oldest = next(iter(held))
            del held[oldest], self._kept[oldest]
