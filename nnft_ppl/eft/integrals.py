"""Cutoff integrals: first-order correlators per unit coupling over the box [−Λ, Λ].

In: a network, inputs, cutoffs and operators. Out: ∂G^(k)_c/∂g per cutoff and packed
entry, float64, with an error estimate. One set of nodes serves every operator and every
cutoff; the caller need not choose nodes or know where the kernel has kinks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import ArrayLike, Float

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl.correlators.symmetric import num_entries
from nnft_ppl.eft.boxes import NestedBoxes
from nnft_ppl.eft.contraction import (
    Shell,
    require_supported,
    shell_cross_sum,
    shell_sum,
)
from nnft_ppl.operator import Operator

RELATIVE_TOLERANCE = 1e-10
"""Refinement stops when the change is this small beside the largest entry."""

_MAX_NODES = {1: 1 << 17, 2: 1 << 13}  # by number of integration points
_MAX_TAIL_SHELLS = 32
_TAIL_TOLERANCE = 1e-16
_ROUNDING = 16 * float(np.finfo(np.float64).eps)

type Cutoffs = Float[np.ndarray, " cutoff"]
type CutoffEntries = Float[np.ndarray, "cutoff entry"]


@dataclass(frozen=True, eq=False)
class FirstOrder:
    """∂G^(k)_c/∂g of one operator, k its number of fields, at g = 0.

    Args:
        values: Per cutoff and packed entry; the minus sign of e^{−S} is in them.
        error: Absolute error estimate of `values`: the change on the last bisection of
            all panels (an upper bound where that converges), plus rounding.
    """

    values: CutoffEntries
    error: CutoffEntries


def check_cutoffs(cutoffs: ArrayLike | Sequence[float]) -> Cutoffs:
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
            f"cutoff {float(bad[0])!r} is not allowed; the box is [−Λ, Λ], so give "
            "numbers > 0 (or math.inf where the integral converges)"
        )
    return values


def first_order(
    operator: Operator, network: Network, x: ArrayLike, cutoffs: ArrayLike
) -> FirstOrder:
    r"""First-order connected correlators of an operator, per unit coupling.

    .. math:: \partial G^{(k)}_c/\partial g = -\sum_{\text{assignments}}
        \int_{[-Λ,Λ]} dy_0 \ldots w(y_0, \ldots) \prod K_W(x, y)

    Args:
        operator: One or two integration points, any weight.
        network: Its propagator K_W (the output bias left out) is used.
        x: Distinct inputs (point, input_dim); input_dim 1 for now.
        cutoffs: Λ, in any order; `math.inf` where the integral converges.

    Returns:
        Values and errors, (cutoff, entry), entries packed. Dimension: that of K^k times
        one power of length per integration point, times that of the weight.

    Raises:
        SpecError: A cutoff or input is not allowed, or the integral diverges.
        UnavailableError: input_dim above 1, no kernel, or over two integration points.

    Source: theory.md §4.
    """
    return BoxIntegrals(network, x, cutoffs).first_order(operator)


class BoxIntegrals:
    """First-order correlators of several operators that share nodes and propagators.

    Args:
        network: As in `first_order`.
        x: As in `first_order`.
        cutoffs: As in `first_order`.
    """

    def __init__(self, network: Network, x: ArrayLike, cutoffs: ArrayLike) -> None:
        """Check the inputs and lay the panels."""
        self.cutoffs = check_cutoffs(cutoffs)
        dim = network.hyperparameters.input_dim
        if dim != 1:
            raise UnavailableError(
                f"the box integrals have only input_dim 1 for now; {network!r} has "
                f"input_dim {dim}"
            )
        points = network.check_inputs(x, distinct=True)
        self._network = network
        self._num_points = len(points)
        self._radii = np.unique(self.cutoffs[np.isfinite(self.cutoffs)])
        self._boxes = NestedBoxes(network, points, self._radii)
        self._done: dict[Operator, tuple[FirstOrder, int]] = {}

    def first_order(self, operator: Operator) -> FirstOrder:
        """See the function `first_order`."""
        return self._converged(operator)[0]

    def log_cutoff_derivative(self, operator: Operator) -> CutoffEntries:
        """d(values)/d log Λ from the boundary of the box; 0 where Λ = ∞."""
        result, level = self._converged(operator)
        slope = np.zeros_like(result.values)
        if self._radii.size:
            for i, surface in enumerate(self._boxes.surfaces()):
                inner = [self._boxes.shell(level, j) for j in range(i + 1)]
                slope[self.cutoffs == self._radii[i]] = shell_cross_sum(
                    operator, inner, surface
                )
        return slope

    def _converged(self, operator: Operator) -> tuple[FirstOrder, int]:
        """Values at the level of refinement that met the tolerance, and that level."""
        if operator in self._done:
            return self._done[operator]
        require_supported(operator)
        limit = _MAX_NODES[operator.num_points]
        # Overflow is looked for in the sums themselves.
        with np.errstate(over="ignore", invalid="ignore"):
            infinite = bool(np.isinf(self.cutoffs).any())
            num_tail = self._tail_length(operator) if infinite else 0
            level, coarse = 1, self._sums(operator, 0, num_tail)
            while True:
                fine = self._sums(operator, level, num_tail)
                error = np.abs(fine - coarse)
                scale = np.abs(fine).max(axis=1, keepdims=True)
                if (error <= RELATIVE_TOLERANCE * scale).all():
                    break
                if self._boxes.num_nodes(level + 1, num_tail) > limit:
                    break
                level, coarse = level + 1, fine
        rows = np.searchsorted(self._radii, self.cutoffs)  # ∞ comes after them all
        result = FirstOrder(fine[rows], (error + _ROUNDING * scale)[rows])
        self._done[operator] = result, level
        return result, level

    def _sums(self, operator: Operator, level: int, num_tail: int) -> CutoffEntries:
        """Sums over the boxes of all distinct cutoffs, ∞ last, at one level."""
        inner: list[Shell] = []
        boxes = [np.zeros(num_entries(self._num_points, operator.num_fields))]
        for i in range(len(self._radii) + (1 + num_tail if num_tail else 0)):
            shell = self._boxes.shell(level, i)
            boxes.append(boxes[-1] + shell_sum(operator, inner, shell))
            inner.append(shell)
        finite = boxes[1 : len(self._radii) + 1]
        sums = np.array([*finite, boxes[-1]] if num_tail else finite)
        self._refuse_overflow(operator, sums)
        return sums

    def _tail_length(self, operator: Operator) -> int:
        """Number of tail shells after which the integral over all space has settled.

        Raises:
            SpecError: It does not settle.
        """
        inner: list[Shell] = []
        total = np.zeros(num_entries(self._num_points, operator.num_fields))
        for i in range(len(self._radii) + 1 + _MAX_TAIL_SHELLS):
            shell = self._boxes.shell(0, i)
            change = shell_sum(operator, inner, shell)
            total = total + change
            if not np.isfinite(total).all():
                break
            num_tail = i - len(self._radii)
            settled = np.abs(change).max() <= _TAIL_TOLERANCE * np.abs(total).max()
            if num_tail > 0 and settled:
                return num_tail
            inner.append(shell)
        raise SpecError(
            f"operator {operator.name!r} has no limit at cutoff inf with "
            f"{self._network!r}: its integral keeps growing with the box (or settles "
            "too slowly to tell); give a finite cutoff"
        )

    def _refuse_overflow(self, operator: Operator, boxes: CutoffEntries) -> None:
        """Raise `SpecError` at the first cutoff whose integral is not finite."""
        bad = np.flatnonzero(~np.isfinite(boxes).all(axis=1))
        if bad.size:
            cutoff = np.append(self._radii, np.inf)[bad[0]]
            raise SpecError(
                f"operator {operator.name!r} is not finite in float64 at cutoff "
                f"{cutoff:g} with {self._network!r}; give a smaller cutoff"
            )
