"""Integrals ∫ dμ_Λ(y) of products of propagators, for many cutoffs at once.

In: a network, inputs, cutoffs, a measure, and functions that build factors from the
kernel tables of a block of nodes. Out: sums over nodes with honest errors. Nodes and
tables are shared by everything that one `Quadrature` integrates; the caller need not
choose nodes, nor know where the kernel has kinks.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import ArrayLike, Float
from threadpoolctl import threadpool_limits

from nnft_ppl._arguments import check_number
from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Points
from nnft_ppl.eft.integration.double import DoubleSum, Factor, PairWeight
from nnft_ppl.eft.integration.node_blocks import Block, Blocks, Part, Shares
from nnft_ppl.eft.integration.nodes import Nodes
from nnft_ppl.eft.integration.pair_sums import PairSums as PairSums
from nnft_ppl.eft.integration.pair_sums import Table
from nnft_ppl.eft.integration.pair_sums import check_cutoffs as check_cutoffs
from nnft_ppl.eft.measures import Box, Measure
from nnft_ppl.eft.mesh.rays import Chunk
from nnft_ppl.eft.mesh.regions import Setting

_MAX_PAIR_NODES = 1 << 15
_MAX_TAIL_SHELLS = 32
_TAIL_TOLERANCE = 1e-16
_ROUNDING = 16 * float(np.finfo(np.float64).eps)
_STANDARD_ERRORS = 3.0  # of the mean over replicates
_TRIED_DIRECTIONS = 8
_SMALLEST_PART = 16  # nodes, below which parts are not worth their overhead

type Replicates = Float[np.ndarray, "replicate cutoff row column"]
type Factors = Callable[[Nodes], tuple[Matrix, Matrix]]


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
            entry; default 1e-10, 1e-8, 1e-5 in 1, 2, 3 dimensions (those of the span
            of the inputs and the radius, where the measure is reduced to them) and
            1e-3 where directions are sampled.

    Raises:
        SpecError: An input, cutoff or tolerance is not allowed.
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
        if tolerance is not None:
            check_number("tolerance", tolerance, lambda t: t > 0, "a number > 0")
        points = network.check_inputs(x, distinct=True)
        self.sources = points if sources is None else network.check_inputs(sources)
        self._distinct = np.unique(self.cutoffs)
        radii = self._distinct[np.isfinite(self._distinct)]
        self._region = measure.region(
            Setting(network, points, self.sources, radii, repr(measure))
        )
        self._blocks = Blocks(self._region, network, self.sources, self._distinct)
        self.tolerance = self._region.tolerance if tolerance is None else tolerance

    def pair_sums(
        self,
        factors: Factors,
        label: str,
        *,
        slope: bool = False,
        invariant: Factors | None = None,
    ) -> PairSums:
        """∫ dμ_Λ(y) left(y) right(y)ᵀ at every cutoff.

        Args:
            factors: Nodes -> left (l, node) and right (r, node), without the
                quadrature weights. Called once per block of nodes.
            label: What is integrated, for messages.
            slope: Whether to give d/d log Λ as well: from the edge of a box or ball,
                from the weight of a Gaussian cutoff, 0 for data and at Λ = ∞.

            invariant: What must be unchanged by rotations about the inputs where the
                measure rests on it; `factors` when `None`. A single direction of a
                derivative is not, though the sum over directions is.

        Raises:
            SpecError: The integral diverges at Λ = ∞, overflows, or lacks the rotation
                symmetry that the measure rests on.
        """
        with np.errstate(over="ignore", invalid="ignore"), _one_thread():
            self._require_rotation(invariant or factors, label)
            num_tail = self._tail_length(factors, label)
            level, values, error = self._refined(
                lambda level: self._sums(factors, level, num_tail, label),
                num_tail,
                self._region.max_nodes,
            )
            slopes = self._slope(factors, level, num_tail) if slope else None
            if slope and slopes is None:
                slopes = np.zeros_like(values)
        return self._in_order(values, error, slopes)

    @property
    def num_points(self) -> float:
        """How many points y the measure has: ∞ unless it is a sum, over a data set."""
        mesh = self._region.mesh
        return mesh.num_nodes(0, 0) if mesh.is_sum else math.inf

    def positions(self, limit: int) -> Points:
        """At most `limit` of the nodes, spread as they are: (node, input_dim)."""
        level = min(1, self._region.mesh.num_levels - 1)
        mesh = self._region.mesh.bounded(level)
        nodes = mesh.chunk(0, mesh.size).position
        if len(nodes) <= limit:
            return nodes
        # At random: nodes at regular distances would share a few directions.
        some = np.random.default_rng(0).choice(len(nodes), limit, replace=False)
        return np.asarray(nodes[np.sort(some)])

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
            SpecError: It overflows.
            UnavailableError: A cutoff is infinite, the measure is sampled or rests on
                rotation symmetry, or the mesh has too many nodes for all their pairs.
        """
        self._require_pairs(label)
        double = DoubleSum(self._blocks, left, weight, right)

        def sums(level: int) -> tuple[Replicates, Table]:
            total = double.values(level)
            self._refuse_overflow(total, label)
            scale = np.abs(total).max(axis=(1, 2), keepdims=True)
            return total[None], np.broadcast_to(scale, total.shape)

        with np.errstate(over="ignore", invalid="ignore"), _one_thread():
            level, values, error = self._refined(sums, 0, _MAX_PAIR_NODES)
            slopes = double.slope(level) if slope else None
            if slope and slopes is None:
                slopes = np.zeros_like(values)
        return self._in_order(values, error, slopes)

    def _in_order(self, values: Table, error: Table, slopes: Table | None) -> PairSums:
        """Back to the cutoffs as given."""
        rows = np.searchsorted(self._distinct, self.cutoffs)
        return PairSums(
            values[rows], error[rows], None if slopes is None else slopes[rows]
        )

    def _refined(
        self,
        sums: Callable[[int], tuple[Replicates, Table]],
        num_tail: int,
        max_nodes: int,
    ) -> tuple[int, Table, Table]:
        """The level that met the tolerance, its sums and their error.

        Args:
            sums: Level -> sums at all distinct cutoffs and the size of what was added.
            num_tail: Number of tail shells.
            max_nodes: Limit of a level.
        """
        mesh = self._region.mesh
        level, (coarse, size) = 0, sums(0)
        if mesh.is_sum:
            return 0, coarse.mean(axis=0), _ROUNDING * size
        while True:
            level += 1
            fine, size = sums(level)
            values, rounding = fine.mean(axis=0), _ROUNDING * size
            change = np.abs(values - coarse.mean(axis=0))
            scale = np.abs(values).max(axis=(1, 2), keepdims=True)
            if mesh.replicates > 1:
                # Scaled, lest squares overflow at a large cutoff in many dimensions.
                unit = np.where(scale > 0, scale, 1.0)
                spread = unit * (fine / unit).std(axis=0, ddof=1)
                change += _STANDARD_ERRORS * spread / np.sqrt(mesh.replicates)
            if (change <= np.maximum(self.tolerance * scale, rounding)).all():
                break
            if level + 1 >= mesh.num_levels:
                break
            if mesh.num_nodes(level + 1, num_tail) > max_nodes:
                break
            coarse = fine
        return level, values, change + rounding

    def _sums(
        self, factors: Factors, level: int, num_tail: int, label: str
    ) -> tuple[Replicates, Table]:
        """Sums at all distinct cutoffs and the size of what was added up."""
        total: Replicates | None = None
        squares: list[Matrix] = []
        for block, shares in self._blocks.inside(level, num_tail):
            left, right, weight = self._factors(factors, block)
            if total is None:
                shape = (len(shares), len(left), len(right))
                total = np.zeros((self._region.mesh.replicates, *shape))
                squares = [np.zeros(shape[:2]), np.zeros((shape[0], shape[2]))]
            self._add(total, left * weight, right, block.chunk, shares)
            for square, factor in zip(squares, (left, right), strict=True):
                square += (shares * weight) @ (factor**2).T
        assert total is not None
        self._refuse_overflow(total.mean(axis=0), label)
        # |Σ w l r| ≤ Σ w |l r| ≤ √(Σ w l² Σ w r²), the size that rounding goes with
        size = np.sqrt(squares[0])[:, :, None] * np.sqrt(squares[1])[:, None, :]
        size /= self._region.mesh.replicates
        return total, np.where(np.isfinite(size), size, np.abs(total).max())

    def _add(
        self,
        total: Replicates,
        left: Matrix,
        right: Matrix,
        chunk: Chunk,
        shares: Shares,
    ) -> None:
        """Add the sums of one block to the totals of the cutoffs it counts for."""
        most = max(4, len(chunk.radius) // _SMALLEST_PART)
        parts = self._blocks.partition(chunk, shares, most)
        tables = np.stack([_part_sum(left, right, part) for part in parts])
        mixing = np.stack([part.shares for part in parts], axis=1)
        rules = np.array([part.replicate for part in parts])
        for rule in np.unique(rules):
            for cutoff, share in enumerate(mixing):
                # Not 0 × ∞ where a larger region overflows.
                here = (share != 0) & (rules == rule)
                total[rule, cutoff] += np.tensordot(share[here], tables[here], axes=1)

    def _factors(
        self, factors: Factors, block: Block
    ) -> tuple[Matrix, Matrix, Float[np.ndarray, " node"]]:
        """Left, right and weights, cleaned where no field reaches."""
        left, right = factors(block.nodes)
        weight = block.nodes.weight
        finite = np.isfinite(left).all() and np.isfinite(right).all()
        if not (finite and np.isfinite(weight).all()):
            # Where no field reaches, a weight may overflow: leave it out.
            felt = block.nodes.propagator.any(axis=0)
            left, right = np.where(felt, left, 0.0), np.where(felt, right, 0.0)
            weight = np.where(felt, weight, 0.0)
        return left, right, weight

    def _slope(self, factors: Factors, level: int, num_tail: int) -> Table | None:
        """d/d log Λ of the sums of a level; `None` where nothing has an edge."""
        total: Replicates | None = None
        for block, shares in self._blocks.edges(level, num_tail):
            left, right, weight = self._factors(factors, block)
            if total is None:
                shape = (len(shares), len(left), len(right))
                total = np.zeros((self._region.mesh.replicates, *shape))
            self._add(total, left * weight, right, block.chunk, shares)
        return None if total is None else np.asarray(total.mean(axis=0))

    def _tail_length(self, factors: Factors, label: str) -> int:
        """Number of tail shells after which the integral over all space has settled.

        Raises:
            SpecError: It does not settle.
        """
        if np.isfinite(self._distinct).all() or self._region.mesh.is_sum:
            return 0
        total: Matrix | None = None
        for index in range(1 + _MAX_TAIL_SHELLS):
            change: Matrix | None = None
            for block in self._blocks.part(0, index):
                left, right, weight = self._factors(factors, block)
                table = (left * weight) @ right.T
                change = table if change is None else change + table
            assert change is not None
            total = change if total is None else total + change
            if not np.isfinite(total).all():
                break
            settled = np.abs(change).max() <= _TAIL_TOLERANCE * np.abs(total).max()
            if index > 1 and settled:
                return index
        raise SpecError(
            f"{label} has no limit at cutoff inf with {self.network!r}: its integral "
            "keeps growing with the region (or settles too slowly to tell); give a "
            "finite cutoff"
        )

    def _refuse_overflow(self, total: Table, label: str) -> None:
        """Raise `SpecError` at the first cutoff whose integral is not finite."""
        bad = np.flatnonzero(~np.isfinite(total).all(axis=(1, 2)))
        if bad.size:
            raise SpecError(
                f"{label} is not finite in float64 at cutoff "
                f"{self._distinct[bad[0]]:g} with {self.network!r}; give a smaller "
                "cutoff"
            )

    def _require_rotation(self, factors: Factors, label: str) -> None:
        """Raise `SpecError` if a reduced measure is used for what is not invariant."""
        reduced = self._region.reduced
        if reduced is None:
            return
        radius = np.abs(self.sources).max() or 1.0
        tables = []
        for rule in (reduced, reduced.turned()):
            directions, _ = rule.rule(0)
            some = directions[:: max(1, len(directions) // _TRIED_DIRECTIONS)]
            left, right = factors(self._blocks.single(radius * some))
            tables.append(np.einsum("ln,rn->nlr", left, right))
        if np.abs(tables[0] - tables[1]).max() > 1e-8 * np.abs(tables[0]).max():
            raise SpecError(
                f"{label} changes when y is rotated about the inputs, so "
                f"{self.measure!r} cannot be reduced to their span in "
                f"{self.sources.shape[1]} dimensions; use a weight of |y| and of y·x "
                "alone (and a kernel that is as symmetric as declared), or the measure "
                "Empirical(points)"
            )

    def _require_pairs(self, label: str) -> None:
        """Raise `UnavailableError` where all pairs of nodes are out of reach."""
        mesh = self._region.mesh
        advice = "write the weight as a sum of products"
        if np.isinf(self._distinct).any() and not mesh.is_sum:
            raise UnavailableError(
                f"{label} has a weight w(y, y') that is no sum of products; such "
                "double integrals are done at finite cutoffs only. "
                f"{advice.capitalize()}, or give a finite cutoff"
            )
        if self._region.reduced is not None or mesh.replicates > 1:
            raise UnavailableError(
                f"{label} has a weight w(y, y') that is no sum of products; in "
                f"{self.sources.shape[1]} dimensions {self.measure!r} cannot integrate "
                f"it. {advice.capitalize()}, or use the measure Empirical(points)"
            )
        nodes = mesh.num_nodes(min(1, mesh.num_levels - 1), 0)
        if nodes > _MAX_PAIR_NODES:
            raise UnavailableError(
                f"{label} has a weight w(y, y') that is no sum of products, and its "
                f"double integral needs all pairs of {nodes} nodes (at most "
                f"{_MAX_PAIR_NODES}); {advice}, or take fewer cutoffs or inputs"
            )


def _one_thread() -> threadpool_limits:
    """BLAS on one thread, because the products are small.

    On busy cores its threads wait for one another: measured, 40 times slower.
    """
    return threadpool_limits(1, user_api="blas")


def _part_sum(left: Matrix, right: Matrix, part: Part) -> Matrix:
    """Σ over the nodes of a part."""
    rows = left[:, part.where]
    if part.weight is not None:
        rows = rows * part.weight
    return np.asarray(rows @ right[:, part.where].T)
