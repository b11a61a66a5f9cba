"""From diagrams to integrals: every entry of a first-order correlator at once.

In: an operator and a quadrature. Out: ∂G^(k)_c/∂g at every cutoff for all packed
entries, or for all but one leg at inputs and one leg open. Diagrams of one shape share
an integral: a product of matrices over the nodes.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nnft_ppl._errors import PluginError, UnavailableError
from nnft_ppl._typing import Matrix
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.eft.diagrams import Diagram, Slot, first_order_diagrams
from nnft_ppl.eft.integration.nodes import Nodes
from nnft_ppl.eft.integration.operator_weights import factor_at, weight_at
from nnft_ppl.eft.integration.pair_sums import PairSums
from nnft_ppl.eft.integration.quadrature import Quadrature
from nnft_ppl.eft.integration.rows import Group, Sources, row_numbers, row_products
from nnft_ppl.operator import Operator, ProductWeight, unit_weight

type Line = tuple[Slot, Slot]


class Response(NamedTuple):
    """∂G_c/∂g with its error and its slope d/d log Λ.

    Attributes:
        values: (cutoff, entry, feature); one feature when no leg is open.
        error: Absolute, same shape.
        slope: Same shape.
    """

    values: Float[np.ndarray, "cutoff entry feature"]
    error: Float[np.ndarray, "cutoff entry feature"]
    slope: Float[np.ndarray, "cutoff entry feature"]

    def times(self, other: "Response") -> "Response":
        """Product, with the product rule for the slope and errors added."""
        return Response(
            self.values * other.values,
            np.abs(self.values) * other.error + self.error * np.abs(other.values),
            self.values * other.slope + self.slope * other.values,
        )

    def scaled(self, factor: float) -> "Response":
        """Multiplied by a number."""
        return Response(
            factor * self.values, abs(factor) * self.error, factor * self.slope
        )


def respond(
    operator: Operator,
    order: int,
    quadrature: Quadrature,
    sources: Sources,
    propagator: Matrix,
    *,
    open_leg: bool = False,
) -> Response:
    """First-order connected correlator per unit coupling.

    Args:
        operator: The operator.
        order: Number of legs; below the number of fields in the bare scheme alone.
        quadrature: Of the measure; its nodes carry the tables that `sources` describes.
        sources: What legs can be.
        propagator: (point, point) K_W at the inputs, or (point, feature) appended when
            a leg is open: what a quadratic form joins.
        open_leg: The last leg is open; the entries are those of the other legs.

    Raises:
        UnavailableError: The operator needs an integral that is not there.
        SpecError: An integral diverges or the kernel cannot be differentiated.
    """
    dim = quadrature.sources.shape[1]
    index = entries(sources.num_points, order - open_leg)
    integrals = _Integrals(operator, quadrature, sources, open_leg)
    total: Response | None = None
    for diagram in first_order_diagrams(operator, order, dim):
        term = integrals.of(diagram, index)
        for pair in diagram.pairs:
            term = term.times(_joined(pair, index, propagator, sources.num_points))
        term = term.scaled(-diagram.multiplicity)
        total = (
            term
            if total is None
            else Response(*(a + b for a, b in zip(total, term, strict=True)))
        )
    assert total is not None  # first_order_diagrams gives at least one
    shape = (len(quadrature.cutoffs), *total.values.shape[1:])
    return Response(*(np.broadcast_to(part, shape) for part in total))


def _joined(
    pair: tuple[int, int], index: np.ndarray, propagator: Matrix, num_points: int
) -> Response:
    """K(x_a, x_b) of the two legs of a quadratic form, or the features of one."""
    a, b = pair
    if b < index.shape[1]:
        values = propagator[index[:, a], index[:, b]][None, :, None]
    else:
        values = propagator[index[:, a], num_points:][None]
    return _constant(values)


def _constant(values: np.ndarray) -> Response:
    """Exact, and the same at every cutoff."""
    return Response(values, np.zeros_like(values), np.zeros_like(values))


class _Integrals:
    """The integral of a diagram; those of one shape are computed once."""

    def __init__(
        self,
        operator: Operator,
        quadrature: Quadrature,
        sources: Sources,
        open_leg: bool,
    ) -> None:
        self._operator = operator
        self._label = f"operator {operator.name!r}"
        self._quadrature = quadrature
        self._sources = sources
        self._open = open_leg
        self._sums: Callable[..., Response] = cache(self._integrate)

    def of(self, diagram: Diagram, index: np.ndarray) -> Response:
        """All entries of one diagram, multiplicity and pairs left out."""
        operator = self._operator
        if operator.num_points == 0:
            return Response(
                np.ones((1, 1, 1)), np.zeros((1, 1, 1)), np.zeros((1, 1, 1))
            )
        if operator.num_points == 1:
            legs = [(slot[1], leg) for slot, ends in diagram.legs for leg in ends]
            closed = [leg for leg in legs if not self._is_open(leg, index)]
            half = len(legs) // 2
            rest = closed[half:] + [leg for leg in legs if self._is_open(leg, index)]
            return self._gather(closed[:half], rest, diagram.lines, index)
        across = [line for line in diagram.lines if line[0][0] != line[1][0]]
        at = [
            [(s[1], leg) for s, ends in diagram.legs if s[0] == point for leg in ends]
            for point in range(operator.num_points)
        ]
        if across or not _is_product(operator):
            return self._pairwise(at, diagram.lines, index)
        total: Response | None = None
        for point, legs in enumerate(at):
            lines = tuple(line for line in diagram.lines if line[0][0] == point)
            factor = self._at_point(point, legs, lines, index)
            if total is not None:
                self._check_terms(total, factor)
            total = factor if total is None else total.times(factor)
        assert total is not None
        return Response(*(part.sum(axis=-1) for part in total))

    def _check_terms(self, one: Response, other: Response) -> None:
        """Raise `PluginError` if the factors of a product weight do not match."""
        terms = [response.values.shape[-1] for response in (one, other)]
        if terms[0] != terms[1]:
            raise PluginError(
                f"{self._label}: the factors of its weight give {terms[0]} and "
                f"{terms[1]} terms; expected the same number at every point"
            )

    def _is_open(self, leg: tuple[int, int], index: np.ndarray) -> bool:
        return bool(leg[1] == index.shape[1])

    def _groups(
        self, legs: list[tuple[int, int]], index: np.ndarray
    ) -> tuple[tuple[Group, ...], list[np.ndarray]]:
        """Legs (direction, number) as groups, the open one last, and their inputs."""
        directions = [d for d, leg in legs if not self._is_open((d, leg), index)]
        groups = [Group(d, directions.count(d)) for d in dict.fromkeys(directions)]
        inputs = [
            index[:, [leg for d, leg in legs if d == group.direction][: group.num_legs]]
            for group in groups
        ]
        for leg in legs:
            if self._is_open(leg, index):
                groups.append(Group(leg[0], 1, is_open=True))
                inputs.append(index[:, :0])
        return tuple(groups), inputs

    def _gather(
        self,
        left: list[tuple[int, int]],
        right: list[tuple[int, int]],
        lines: tuple[Line, ...],
        index: np.ndarray,
    ) -> Response:
        """One integration point: half of the legs as rows, the rest as columns."""
        left_groups, left_inputs = self._groups(left, index)
        right_groups, right_inputs = self._groups(right, index)
        sums = self._sums(0, left_groups, right_groups, lines)
        rows = row_numbers(left_inputs, left_groups, self._sources)
        columns = row_numbers(right_inputs, right_groups, self._sources)
        return self._entries(sums, rows, columns, self._features(right_groups))

    def _at_point(
        self,
        point: int,
        legs: list[tuple[int, int]],
        lines: tuple[Line, ...],
        index: np.ndarray,
    ) -> Response:
        """One of several points: (cutoff, entry, feature, term)."""
        groups, inputs = self._groups(legs, index)
        sums = self._sums(point, groups, None, lines)
        rows = row_numbers(inputs, groups, self._sources)
        features = self._features(groups)
        places = rows[:, None] + np.arange(features)
        return Response(
            *(part[:, places] for part in (sums.values, sums.error, sums.slope))
        )

    def _features(self, groups: tuple[Group, ...]) -> int:
        is_open = any(group.is_open for group in groups)
        return len(self._sources.mixing) if is_open else 1

    @staticmethod
    def _entries(
        sums: Response, rows: np.ndarray, columns: np.ndarray, features: int
    ) -> Response:
        places = columns[:, None] + np.arange(features)
        return Response(*(part[:, rows[:, None], places] for part in sums))

    def _integrate(
        self,
        point: int,
        left: tuple[Group, ...],
        right: tuple[Group, ...] | None,
        lines: tuple[Line, ...],
    ) -> Response:
        """Sum over nodes; without `right`, over the terms of the product weight."""

        def factors(nodes: Nodes) -> tuple[np.ndarray, np.ndarray]:
            inner = _self_contractions(nodes, lines)
            rows = row_products(nodes, left, self._sources)
            if right is not None:
                columns = row_products(nodes, right, self._sources)
                inner = inner * weight_at(self._operator, nodes.position)
                if len(rows) < len(columns):  # an open leg: many columns
                    return rows * inner, columns
                return rows, columns * inner
            # A weight grows where fields fade: kept together, their product is what
            # the rounding error is estimated from.
            reach = np.abs(rows).max(axis=0)
            rows = rows / np.where(reach > 0, reach, 1.0)
            return rows, self._terms(point, nodes) * (inner * reach)

        def plain(nodes: Nodes) -> tuple[np.ndarray, np.ndarray]:
            values = nodes.propagator[: self._sources.num_points]
            if right is None:
                return values, self._terms(point, nodes)
            return values, values * weight_at(self._operator, nodes.position)

        sums = self._quadrature.pair_sums(
            factors,
            self._label,
            slope=True,
            invariant=plain if self._operator.is_differential else None,
        )
        return _table(sums)

    def _terms(self, point: int, nodes: Nodes) -> np.ndarray:
        """(term, node) factors of the product weight at one point."""
        if not isinstance(self._operator.weight, ProductWeight):
            return np.ones((1, len(nodes.weight)))
        return factor_at(self._operator, point, nodes.position).T

    def _pairwise(
        self,
        at: list[list[tuple[int, int]]],
        lines: tuple[Line, ...],
        index: np.ndarray,
    ) -> Response:
        """Two points that the weight or a line couples, over pairs of nodes."""
        operator = self._operator
        if operator.num_points > 2 or self._open:
            raise UnavailableError(
                f"operator {operator.name!r} has {operator.num_points} integration "
                "points whose integral does not factorise"
                + (", in a second-order diagram" if self._open else "")
                + "; write its weight as a ProductWeight"
            )
        across = [line for line in lines if line[0][0] != line[1][0]]
        if any(direction for line in across for _, direction in line):
            raise UnavailableError(
                f"operator {operator.name!r} contracts derivatives at different "
                "points with one another; use the renormalised scheme"
            )
        sides, numbers = [], []
        for point in (0, 1):
            groups, inputs = self._groups(at[point], index)
            within = tuple(line for line in lines if line[0][0] == line[1][0] == point)
            sides.append(self._side(groups, within))
            numbers.append(row_numbers(inputs, groups, self._sources))

        network = self._quadrature.network

        def weight(y: np.ndarray, z: np.ndarray) -> np.ndarray:
            values = weight_at(operator, y, z)
            if across:
                values = values * network.propagator(y[:, 0], z[0]) ** len(across)
            return values

        sums = self._quadrature.double_sums(
            sides[0], weight, sides[1], self._label, slope=True
        )
        return self._entries(_table(sums), numbers[0], numbers[1], 1)

    def _side(
        self, groups: tuple[Group, ...], lines: tuple[Line, ...]
    ) -> Callable[[Nodes], np.ndarray]:
        def side(nodes: Nodes) -> np.ndarray:
            products = row_products(nodes, groups, self._sources)
            return np.asarray(products * _self_contractions(nodes, lines))

        return side


def _table(sums: PairSums) -> Response:
    """Sums as a `Response` whose axes are (cutoff, row, column)."""
    assert sums.slope is not None  # it was asked for
    return Response(
        sums.values, sums.error, np.broadcast_to(sums.slope, sums.values.shape)
    )


def _is_product(operator: Operator) -> bool:
    return operator.weight is unit_weight or isinstance(operator.weight, ProductWeight)


def _self_contractions(nodes: Nodes, lines: tuple[Line, ...]) -> np.ndarray:
    """Product of the coincident propagators of the lines, (node,)."""
    product = np.ones(len(nodes.weight))
    for (_, first), (_, second) in lines:
        if first and second:
            product = product * nodes.gradient_covariance[first - 1, second - 1]
        elif first or second:
            product = product * nodes.mixed[max(first, second) - 1]
        else:
            product = product * nodes.variance
    return product
