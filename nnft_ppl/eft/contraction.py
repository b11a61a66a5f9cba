"""First-order diagrams of an operator summed over the quadrature nodes of one shell.

In: shells of nodes with their propagators. Out: what a shell adds to ∂G^(k)_c/∂g when
the box grows by it. Works for one integration point, and for two with any weight
w(y, y'); the node product is walked through in blocks, so memory stays flat.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nnft_ppl._errors import PluginError, UnavailableError
from nnft_ppl._typing import Matrix, Packed, Points
from nnft_ppl.correlators.symmetric import entries, positions
from nnft_ppl.eft.diagrams import first_order_diagrams
from nnft_ppl.operator import Operator, unit_weight

_BLOCK = 1 << 20  # weights held at once


@dataclass(frozen=True)
class Shell:
    """Quadrature nodes of one shell between two boxes.

    Args:
        nodes: y, (node, dim).
        weights: Quadrature weights, (node,).
        propagator: K_W(x, y), (point, node).
    """

    nodes: Points
    weights: Float[np.ndarray, " node"]
    propagator: Matrix


def require_supported(operator: Operator) -> None:
    """Raise `UnavailableError` for more integration points than the sums handle."""
    if operator.num_points > 2:
        raise UnavailableError(
            f"operator {operator.name!r} has {operator.num_points} integration points; "
            "only operators with 1 or 2 are integrated for now"
        )


def shell_sum(operator: Operator, inner: Sequence[Shell], shell: Shell) -> Packed:
    """What `shell` adds to ∂G^(k)_c/∂g of the box filled by `inner`, per packed entry.

    With two integration points: every pair of nodes of which at least one is new.
    """
    if operator.num_points == 1:
        return _one_point(operator, shell)
    total = shell_cross_sum(operator, inner, shell)
    total += _two_points(operator, shell, shell)
    return total


def shell_cross_sum(operator: Operator, inner: Sequence[Shell], shell: Shell) -> Packed:
    """As `shell_sum` but linear in `shell`: no pair of nodes both in it.

    For a shell of zero thickness that is the boundary derivative of the box integral.
    """
    if operator.num_points == 1:
        return _one_point(operator, shell)
    total: Packed = np.zeros(len(entries(len(shell.propagator), operator.num_fields)))
    if inner:
        box = joined(inner)
        total += _two_points(operator, shell, box) + _two_points(operator, box, shell)
    return total


def joined(shells: Sequence[Shell]) -> Shell:
    """The shells as one."""
    return Shell(
        np.concatenate([s.nodes for s in shells]),
        np.concatenate([s.weights for s in shells]),
        np.concatenate([s.propagator for s in shells], axis=1),
    )


def _one_point(operator: Operator, shell: Shell) -> Packed:
    """−k! Σ_y w(y) Π K_W, through products of half the legs."""
    half = operator.num_fields // 2
    weights = shell.weights * _weight(operator, shell.nodes)
    left = _monomials(shell.propagator, half) * weights
    right = _monomials(shell.propagator, operator.num_fields - half)
    legs = tuple(range(operator.num_fields))
    return _gather(operator, left @ right.T, len(shell.propagator), legs[:half])


def _two_points(operator: Operator, first: Shell, second: Shell) -> Packed:
    """−Σ over diagrams and nodes y of `first`, y' of `second`."""
    counts = [operator.fields.count(point) for point in (0, 1)]
    left = _monomials(first.propagator, counts[0]) * first.weights
    right = _monomials(second.propagator, counts[1]) * second.weights
    if operator.weight is unit_weight:  # the double integral factorises
        table = np.outer(left.sum(axis=1), right.sum(axis=1))
        return _gather(operator, table, len(first.propagator), None)
    rows, columns = len(first.weights), len(second.weights)
    table = np.zeros((len(left), len(right)))
    step = max(1, _BLOCK // max(1, columns))
    for start in range(0, rows, step):
        block = slice(start, min(start + step, rows))
        shape = (block.stop - start, columns, first.nodes.shape[1])
        weight = _weight(
            operator,
            np.broadcast_to(first.nodes[block, None, :], shape),
            np.broadcast_to(second.nodes[None, :, :], shape),
        )
        table += left[:, block] @ (weight @ right.T)
    return _gather(operator, table, len(first.propagator), None)


def _gather(
    operator: Operator,
    table: Matrix,
    num_points: int,
    split: tuple[int, ...] | None,
) -> Packed:
    """Sum the diagrams of every packed entry out of the table of leg products.

    Args:
        operator: The operator.
        table: Integral of (product of the legs of the row) × (those of the column).
        num_points: Number of inputs.
        split: With one integration point, which legs the rows stand for.
    """
    index = entries(num_points, operator.num_fields)
    total = np.zeros(len(index))
    for diagram in first_order_diagrams(operator):
        if split is None:
            rows, columns = (list(legs) for legs in diagram.legs)
        else:
            rows = list(split)
            columns = [leg for leg in diagram.legs[0] if leg not in split]
        total -= (
            diagram.multiplicity
            * table[
                positions(num_points, index[:, rows]),
                positions(num_points, index[:, columns]),
            ]
        )
    return total


def _monomials(propagator: Matrix, degree: int) -> Matrix:
    """Products of `degree` propagators, (packed entry, node)."""
    index = entries(len(propagator), degree)
    product = np.ones((len(index), propagator.shape[1]))
    for leg in range(degree):
        product *= propagator[index[:, leg]]
    return product


def _weight(operator: Operator, *nodes: np.ndarray) -> np.ndarray:
    """The operator's weight at (..., dim) points, checked to have shape (...)."""
    weight = np.asarray(operator.weight(*nodes), dtype=np.float64)
    if weight.shape != nodes[0].shape[:-1]:
        raise PluginError(
            f"operator {operator.name!r}: its weight has shape {weight.shape} for "
            f"points of shape {nodes[0].shape}; expected {nodes[0].shape[:-1]}"
        )
    return weight
