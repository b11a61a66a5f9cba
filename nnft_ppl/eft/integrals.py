"""Diagrams of the effective theory summed over the measure, at every cutoff.

In: a network, inputs, cutoffs, a measure and operators. Out: ∂G^(k)_c/∂g per cutoff and
packed entry, float64, with an error estimate; its derivative with the cutoff; and the
second-order trees. One set of nodes serves every operator and every cutoff; the caller
need not choose nodes or know where the kernel has kinks.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import ArrayLike, Float

from nnft_ppl._network import Network
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.contraction import Response, respond
from nnft_ppl.eft.integration.low_rank import Factorisation, factorise
from nnft_ppl.eft.integration.pair_sums import check_cutoffs
from nnft_ppl.eft.integration.quadrature import Quadrature
from nnft_ppl.eft.integration.rows import Sources
from nnft_ppl.eft.measures import Box, Measure
from nnft_ppl.eft.trees import Tree
from nnft_ppl.operator import Operator

_MAX_RANK = 200
_PROBES = 256
"""Nodes at which the error of the kernel is looked at."""
_CANDIDATES = 4096  # nodes that may become inducing points
_TREE_TOLERANCES = {2: 1e-4, 3: 1e-3}
"""Of an open vertex, where features of faraway points cost many nodes."""

type CutoffEntries = Float[np.ndarray, "cutoff entry"]


@dataclass(frozen=True, eq=False)
class FirstOrder:
    """∂G^(k)_c/∂g of one operator at g = 0, or a second-order tree.

    Args:
        values: Per cutoff and packed entry; the minus sign of e^{−S} is in them.
        error: Absolute error estimate of `values`.
    """

    values: CutoffEntries
    error: CutoffEntries


def first_order(
    operator: str | Operator,
    network: Network,
    x: ArrayLike,
    cutoffs: ArrayLike,
    measure: Measure | None = None,
) -> FirstOrder:
    r"""First-order connected correlators of an operator, per unit coupling.

    .. math:: \partial G^{(k)}_c/\partial g = -\sum_{\text{assignments}}
        \int dμ_Λ(y_0) \ldots w(y_0, \ldots) \prod \partial K_W(x, y)

    Args:
        operator: A name, or any of the language of `Operator`.
        network: Its propagator K_W (the output bias left out) is used.
        x: Distinct inputs (point, input_dim).
        cutoffs: Λ, in any order; `math.inf` where the integral converges.
        measure: What y is integrated over; `Box()` when `None`.

    Returns:
        Values and errors, (cutoff, entry), entries packed. Dimension: that of K^k times
        that of the measure per integration point, times that of the weight.

    Raises:
        SpecError: A cutoff or input is not allowed, the integral diverges, or a
            derivative is asked of a kernel that has none.
        UnavailableError: No kernel, or an integral that no rule here can do.

    Source: theory.md §4.
    """
    action = Action([operator], measure=measure)
    integrals = Integrals(network, x, cutoffs, action.measure)
    return integrals.first_order(action.operators[0])


class Integrals:
    """Diagrams of several operators that share nodes and propagators.

    Args:
        network: As in `first_order`.
        x: As in `first_order`.
        cutoffs: As in `first_order`.
        measure: As in `first_order`.
    """

    def __init__(
        self,
        network: Network,
        x: ArrayLike,
        cutoffs: ArrayLike,
        measure: Measure = Box(),  # noqa: B008 - frozen
    ) -> None:
        """Check the inputs and lay the panels."""
        self.cutoffs = check_cutoffs(cutoffs)
        self._points = network.check_inputs(x, distinct=True)
        self._network = network
        self._measure = measure
        self._quadrature = Quadrature(network, self._points, self.cutoffs, measure)
        self._sources = Sources(len(self._points), np.zeros((0, 0)))
        self._done: dict[tuple[Operator, int], Response] = {}
        self._open_vertices: dict[Operator, Response] = {}

    @property
    def num_points(self) -> int:
        """Number of inputs."""
        return len(self._points)

    def first_order(self, operator: Operator, order: int | None = None) -> FirstOrder:
        """See the function `first_order`.

        Args:
            operator: The operator.
            order: Number of external legs; the number of fields when `None`. Below
                that, the other fields are contracted with one another: the bare scheme.
        """
        response = self._response(operator, order)
        return FirstOrder(response.values[..., 0], response.error[..., 0])

    def log_cutoff_derivative(
        self, operator: Operator, order: int | None = None
    ) -> CutoffEntries:
        """d(values)/d log Λ: the integrand on the boundary; 0 where Λ = ∞."""
        return np.asarray(self._response(operator, order).slope[..., 0])

    def tree(self, first: Operator, second: Operator) -> FirstOrder:
        """T_ij of the (2m)-pt function, G^(2m)_c ∋ Σ_ij g_i g_j T_ij (see `Tree`).

        Args:
            first: An operator of m + 1 fields.
            second: Another, or the same.

        Raises:
            UnavailableError: Two integration points are coupled by a weight that is no
                sum of products.
        """
        line, _ = self._line
        tree = Tree(
            self._vertex(first),
            self._vertex(second),
            len(self._points),
            first.num_fields - 1,
            # All of a data set was looked at, of a region only some nodes.
            is_complete=line.is_complete and self._quadrature.num_points <= _CANDIDATES,
        )
        return FirstOrder(tree.values, tree.error)

    def propagator_error(self) -> Float[np.ndarray, " cutoff"]:
        r"""Relative error of the propagators K_W(x, y) in the integrals, per cutoff.

        From the error e of the kernel, closed forms having none:

        .. math:: \sum_{x, y} |K_W(x, y)|^3 e(x, y) / \sum_{x, y} K_W(x, y)^4,

        over the inputs x and as many nodes y inside the cutoff: what it does to a
        product of four, a leg. The whole error is taken to have one sign.
        """
        cutoffs = np.asarray(self.cutoffs)
        if self._network.architecture.kernel_error is None:
            return np.zeros(len(cutoffs))
        nodes = np.concatenate([self._points, self._quadrature.positions(_PROBES)])
        table = np.abs(self._network.propagator(self._points, nodes))
        error = self._network.kernel_error(self._points, nodes)
        largest = np.abs(nodes).max(axis=1)
        found = []
        for cutoff in cutoffs:
            inside = largest <= cutoff
            inside[: len(self._points)] = True
            size = np.sum(table[:, inside] ** 4)
            product = np.sum(table[:, inside] ** 3 * error[:, inside])
            found.append(product / size if size > 0 else 0.0)
        return np.array(found)

    def _response(self, operator: Operator, order: int | None) -> Response:
        legs = operator.num_fields if order is None else order
        if (operator, legs) not in self._done:
            self._done[operator, legs] = respond(
                operator,
                legs,
                self._quadrature,
                self._sources,
                self._network.propagator(self._points),
            )
        return self._done[operator, legs]

    def _vertex(self, operator: Operator) -> Response:
        """All legs at inputs but one, which is open, (cutoff, entry, feature)."""
        if operator not in self._open_vertices:
            line, quadrature = self._line
            n = len(self._points)
            propagator = self._network.propagator(self._points, quadrature.sources)
            features = propagator[:, n:] @ line.mixing.T
            self._open_vertices[operator] = respond(
                operator,
                operator.num_fields,
                quadrature,
                Sources(n, line.mixing),
                np.concatenate([propagator[:, :n], features], axis=1),
                open_leg=True,
            )
        return self._open_vertices[operator]

    @cached_property
    def _line(self) -> tuple[Factorisation, Quadrature]:
        """The factorised propagator, and nodes that carry it."""
        nodes = self._quadrature.positions(_CANDIDATES)
        line = factorise(
            self._network,
            self._points,
            np.concatenate([self._points, nodes]),
            _MAX_RANK,
        )
        sources = np.concatenate([self._points, line.points])
        dim = self._points.shape[1]
        return line, Quadrature(
            self._network,
            self._points,
            self.cutoffs,
            self._measure,
            sources=sources,
            tolerance=max(self._quadrature.tolerance, _TREE_TOLERANCES.get(dim, 0.0))
            or None,
        )
