"""Integrals ∫ dμ_Λ(y) of products of propagators, for many cutoffs at once.

In: a network, inputs, cutoffs, a measure, and functions that build factors from the
kernel tables of a block of nodes. Out: sums over nodes with honest errors. Nodes and
tables are shared by everything that one `Quadrature` integrates; the caller need not
choose nodes, nor know where the kernel has kinks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import ArrayLike, Float

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix
from nnft_ppl.eft.measures import Box, Measure
from nnft_ppl.eft.nodes import Nodes
from nnft_ppl.eft.rays import Chunk, Rays
from nnft_ppl.eft.regions import ray_mesh

_TOLERANCE = {1: 1e-10, 2: 1e-6, 3: 1e-5}  # by dimension
_MAX_NODES = {1: 1 << 17}
_MAX_PAIR_NODES = 1 << 13
_BLOCK = {1: 1 << 11}
_MAX_TAIL_SHELLS = 32
_TAIL_TOLERANCE = 1e-16
_ROUNDING = 16 * float(np.finfo(np.float64).eps)

type Cutoffs = Float[np.ndarray, " cutoff"]
type Table = Float[np.ndarray, "cutoff row column"]
type Factors = Callable[[Nodes], tuple[Matrix, Matrix]]
type Factor = Callable[[Nodes], Matrix]
type PairWeight = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class PairSums:
    """∫ dμ_Λ(y) left(y) right(y)ᵀ per cutoff.

    Args:
        values: (cutoff, l, r), cutoffs in the order given.
        error: Absolute error, same shape: the change on the last refinement (an upper
            bound where that converges), plus rounding.
        slope: d values/d log Λ, same shape, or `None` when it was not asked for.
    """

    values: Table
    error: Table
    slope: Table | None


def check_cutoffs(cutoffs: ArrayLike) -> Cutoffs:
    """Cutoffs as a float64 array; `math.inf` is allowed.

    Raises:
        SpecError: No cutoffs, or one that is NaN, zero or negative.
    """
    try:
        given = np.atleast_1d(np.asarray(cutoffs))
        if given.dtype.kind not in "iuf":
            raise TypeError
    except (TypeError, ValueError):
        raise SpecError(
            f"cutoffs are {cutoffs!r}; expected a list of numbers > 0"
        ) from None
    values = given.astype(np.float64)
    if values.ndim != 1 or not values.size:
        raise SpecError(
            f"cutoffs have shape {values.shape}; expected a list of at least one"
        )
    bad = values[~(values > 0)]
    if bad.size:
        raise SpecError(
            f"cutoff {float(bad[0])!r} is not allowed; the integrals reach out to Λ, "
            "so give numbers > 0 (or math.inf where the integral converges)"
        )
    return values


@dataclass(frozen=True)
class _Block:
    """Nodes with what says which cutoffs they count for."""

    nodes: Nodes
    chunk: Chunk


class Quadrature:
    """Sums over the nodes of one measure that share kernel tables.

    Args:
        network: Its propagator K_W (the output bias left out) is used.
        x: Distinct inputs (point, input_dim): panels, kinks and lengths come from them.
        cutoffs: Λ, in any order; `math.inf` where the integral converges.
        measure: Which y a cutoff lets in.
        sources: Points whose propagators the nodes carry, (source, input_dim);
            default `x`.
        tolerance: Refinement stops when the change is this small beside the largest
            entry; default 1e-10, 1e-6, 1e-5 in 1, 2, 3 dimensions.

    Raises:
        SpecError: An input or cutoff is not allowed.
        UnavailableError: No kernel, or a dimension that the measure cannot be
            integrated in.
    """

    def __init__(
        self,
        network: Network,
        x: ArrayLike,
        cutoffs: ArrayLike,
        measure: Measure = Box(),  # noqa: B008 - frozen
        *,
        sources: ArrayLike | None = None,
        tolerance: float | None = None,
    ) -> None:
        """Check the inputs and lay the mesh."""
        self.network = network
        self.measure = measure
        self.cutoffs = check_cutoffs(cutoffs)
        points = network.check_inputs(x, distinct=True)
        self.sources = points if sources is None else network.check_inputs(sources)
        dim = points.shape[1]
        self.tolerance = _TOLERANCE.get(dim, 1e-3) if tolerance is None else tolerance
        self._radii = np.unique(self.cutoffs[np.isfinite(self.cutoffs)])
        self._distinct = np.unique(self.cutoffs)
        self._mesh = ray_mesh(network, points, measure, self._radii)
        self._block_size = _BLOCK.get(dim, 1 << 14)
        self._max_nodes = _MAX_NODES[dim]
        self._kept: dict[tuple[int, int], list[_Block]] = {}

    def pair_sums(
        self, factors: Factors, label: str, *, slope: bool = False
    ) -> PairSums:
        """∫ dμ_Λ(y) left(y) right(y)ᵀ at every cutoff.

        Args:
            factors: Nodes -> left (l, node) and right (r, node), without the
                quadrature weights. Called once per block of nodes.
            label: What is integrated, for messages.
            slope: Whether to give d/d log Λ as well.

        Raises:
            SpecError: The integral diverges at Λ = ∞, or overflows.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            num_tail = self._tail_length(factors, label)
            level, fine, error = self._refined(
                lambda level: self._sums(factors, level, num_tail, label),
                num_tail,
                self._max_nodes,
            )
            slopes = self._slope(factors, level) if slope else None
        rows = np.searchsorted(self._distinct, self.cutoffs)
        return PairSums(
            fine[rows], error[rows], None if slopes is None else slopes[rows]
        )

    def double_sums(
        self,
        left: Factor,
        weight: PairWeight,
        right: Factor,
        label: str,
        *,
        slope: bool = False,
    ) -> PairSums:
        """∫∫ dμ_Λ(y) dμ_Λ(y') left(y) w(y, y') right(y')ᵀ at every cutoff.

        Args:
            left: Nodes -> (l, node).
            weight: Two arrays of positions (..., dim) -> (...), for any weight.
            right: Nodes -> (r, node).
            label: As in `pair_sums`.
            slope: As in `pair_sums`.

        Raises:
            SpecError: As in `pair_sums`; a cutoff is infinite.
            UnavailableError: The mesh has too many nodes for all their pairs.
        """
        if np.isinf(self.cutoffs).any():
            raise UnavailableError(
                f"{label} has a weight w(y, y') that is no sum of products; such "
                "double integrals are done at finite cutoffs only. Give a finite "
                "cutoff or write the weight as a sum of products"
            )
        if self._mesh.num_nodes(1, 0) > _MAX_PAIR_NODES:
            raise UnavailableError(
                f"{label} has a weight w(y, y') that is no sum of products, and its "
                f"double integral needs all pairs of {self._mesh.num_nodes(1, 0)} "
                f"nodes (at most {_MAX_PAIR_NODES}); write the weight as a sum of "
                "products, or take fewer cutoffs or inputs"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            level, fine, error = self._refined(
                lambda level: self._pair_tables(left, weight, right, level, label),
                0,
                _MAX_PAIR_NODES,
            )
            slopes = self._pair_slope(left, weight, right, level) if slope else None
        rows = np.searchsorted(self._distinct, self.cutoffs)
        return PairSums(
            fine[rows], error[rows], None if slopes is None else slopes[rows]
        )

    def _pair_tables(
        self, left: Factor, weight: PairWeight, right: Factor, level: int, label: str
    ) -> tuple[Table, Table]:
        """Double sums at all distinct cutoffs and their size."""
        total: Table | None = None
        blocks = self._blocks(level, 0)
        for row in blocks:
            rows = left(row.nodes) * row.nodes.weight
            shares = self._shares(row.chunk)
            for column in blocks:
                columns = right(column.nodes) * column.nodes.weight
                table = _weights(weight, row.nodes, column.nodes)
                if total is None:
                    total = np.zeros((len(shares), len(rows), len(columns)))
                for c, (share, other) in enumerate(
                    zip(shares, self._shares(column.chunk), strict=True)
                ):
                    total[c] += (rows * share) @ (table @ (columns * other).T)
        assert total is not None
        self._refuse_overflow(total, label)
        return total, np.abs(total)

    def _pair_slope(
        self, left: Factor, weight: PairWeight, right: Factor, level: int
    ) -> Table:
        """d/d log Λ of the double sums: one point at the boundary, one inside."""
        slopes: Table | None = None
        for edge in self._pack(self._mesh.surfaces(level)):
            first = left(edge.nodes) * edge.nodes.weight
            second = right(edge.nodes) * edge.nodes.weight
            if slopes is None:
                slopes = np.zeros((len(self._distinct), len(first), len(second)))
            for block in self._blocks(level, 0):
                rows = left(block.nodes) * block.nodes.weight
                columns = right(block.nodes) * block.nodes.weight
                outward = _weights(weight, edge.nodes, block.nodes)
                inward = _weights(weight, block.nodes, edge.nodes)
                for c, share in enumerate(self._shares(block.chunk)):
                    here = edge.chunk.shell == c
                    slopes[c] += first[:, here] @ (outward[here] @ (columns * share).T)
                    slopes[c] += (rows * share) @ (inward[:, here] @ second[:, here].T)
        assert slopes is not None
        return slopes

    def _refined(
        self,
        sums: Callable[[int], tuple[Table, Table]],
        num_tail: int,
        max_nodes: int,
    ) -> tuple[int, Table, Table]:
        """The level that met the tolerance, its sums and their error."""
        level, coarse = 1, sums(0)[0]
        while True:
            fine, size = sums(level)
            change, rounding = np.abs(fine - coarse), _ROUNDING * size
            scale = np.abs(fine).max(axis=(1, 2), keepdims=True)
            if (change <= np.maximum(self.tolerance * scale, rounding)).all():
                break
            if level + 1 >= len(self._mesh.rungs):
                break
            if self._mesh.num_nodes(level + 1, num_tail) > max_nodes:
                break
            level, coarse = level + 1, fine
        return level, fine, change + rounding

    def _sums(
        self, factors: Factors, level: int, num_tail: int, label: str
    ) -> tuple[Table, Table]:
        """Sums at all distinct cutoffs, sorted, and the size of what was added up."""
        total: Table | None = None
        size: Table | None = None
        for part in range(1 + num_tail):
            for block in self._blocks(level, part):
                left, right = self._factors(factors, block)
                share = self._shares(block.chunk)
                if total is None or size is None:
                    total = np.zeros((len(share), len(left), len(right)))
                    size = np.zeros_like(total)
                for group, table in self._group_sums(block.chunk, left, right):
                    counts = share[:, group.start] != 0
                    total[counts] += share[counts, group.start, None, None] * table
        assert total is not None
        size = np.abs(total)
        self._refuse_overflow(total, label)
        return total, size

    def _factors(self, factors: Factors, block: _Block) -> tuple[Matrix, Matrix]:
        """Left and right with the weights on the left, where a field reaches."""
        left, right = factors(block.nodes)
        left = left * block.chunk.weight
        if not (np.isfinite(left).all() and np.isfinite(right).all()):
            # Where no field reaches, a weight may overflow: leave it out.
            felt = block.nodes.propagator.any(axis=0)
            left, right = np.where(felt, left, 0.0), np.where(felt, right, 0.0)
        return left, right

    def _group_sums(
        self, chunk: Chunk, left: Matrix, right: Matrix
    ) -> Iterator[tuple[slice, Matrix]]:
        """Sums over runs of nodes that count alike at every cutoff."""
        key = chunk.shell if isinstance(self.measure, Box) else chunk.radius
        ends = np.flatnonzero(np.diff(key, append=np.nan)) + 1
        start = 0
        for end in ends:
            yield slice(start, end), left[:, start:end] @ right[:, start:end].T
            start = end

    def _shares(self, chunk: Chunk) -> Float[np.ndarray, "cutoff node"]:
        """How much of each node counts at each distinct cutoff."""
        index = np.arange(len(self._distinct))
        return (chunk.shell <= index[:, None]).astype(np.float64)

    def _slope(self, factors: Factors, level: int) -> Table:
        """d/d log Λ from the boundary of the region; 0 where Λ = ∞."""
        slopes: Table | None = None
        for block in self._pack(self._mesh.surfaces(level)):
            left, right = self._factors(factors, block)
            if slopes is None:
                slopes = np.zeros((len(self._distinct), len(left), len(right)))
            for group, table in self._group_sums(block.chunk, left, right):
                slopes[block.chunk.shell[group.start]] += table
        assert slopes is not None
        return slopes

    def _tail_length(self, factors: Factors, label: str) -> int:
        """Number of tail shells after which the integral over all space has settled.

        Raises:
            SpecError: It does not settle.
        """
        if np.isfinite(self.cutoffs).all():
            return 0
        total: Matrix | None = None
        for part in range(1 + _MAX_TAIL_SHELLS):
            change: Matrix | None = None
            for block in self._blocks(0, part):
                left, right = self._factors(factors, block)
                table = left @ right.T
                change = table if change is None else change + table
            assert change is not None
            total = change if total is None else total + change
            if not np.isfinite(total).all():
                break
            settled = np.abs(change).max() <= _TAIL_TOLERANCE * np.abs(total).max()
            if part > 1 and settled:
                return part
        raise SpecError(
            f"{label} has no limit at cutoff inf with {self.network!r}: its integral "
            "keeps growing with the region (or settles too slowly to tell); give a "
            "finite cutoff"
        )

    def _blocks(self, level: int, part: int) -> list[_Block]:
        """Blocks of nodes: part 0 up to the outermost mark, part 1, 2, … tail shells."""
        if (level, part) not in self._kept:
            mesh = self._mesh
            rays = mesh.bounded(level) if part == 0 else mesh.tail(level, part - 1)
            self._kept[level, part] = list(self._pack(rays))
        return self._kept[level, part]

    def _pack(self, rays: Rays) -> Iterator[_Block]:
        """Cut a mesh in blocks of one size."""
        for start in range(0, rays.num_nodes, self._block_size):
            chunk = rays.chunk(start, min(start + self._block_size, rays.num_nodes))
            nodes = Nodes(
                self.network,
                self.sources,
                chunk.position,
                chunk.weight,
                self._block_size,
            )
            yield _Block(nodes, chunk)

    def _refuse_overflow(self, total: Table, label: str) -> None:
        """Raise `SpecError` at the first cutoff whose integral is not finite."""
        bad = np.flatnonzero(~np.isfinite(total).all(axis=(1, 2)))
        if bad.size:
            raise SpecError(
                f"{label} is not finite in float64 at cutoff "
                f"{self._distinct[bad[0]]:g} with {self.network!r}; give a smaller "
                "cutoff"
            )


def _weights(weight: PairWeight, rows: Nodes, columns: Nodes) -> Matrix:
    """w(y, y') for all pairs of nodes."""
    shape = (len(rows.position), len(columns.position), rows.position.shape[1])
    return np.asarray(
        weight(
            np.broadcast_to(rows.position[:, None, :], shape),
            np.broadcast_to(columns.position[None, :, :], shape),
        ),
        dtype=np.float64,
    )
