"""Connected correlators of an action as an expansion in its couplings.

In: an action, a network, inputs and cutoffs. Out: the linear response of every order,
and the trees of two vertices where a coupling of more fields makes them of its order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import gamma, pi, sqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._rms import rms
from nnft_ppl._typing import Matrix, Packed
from nnft_ppl.correlators.symmetric import entry_size, num_entries
from nnft_ppl.correlators.wick import gaussian_moment
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.integrals import Integrals


class DesignMatrix(NamedTuple):
    """G^(k)_c = Σ_i values[cutoff, entry, i] g_i to first order, and its error.

    Args:
        values: ∂G^(k)_c/∂g_i per cutoff, packed entry and operator.
        error: Absolute error estimate of `values`.
    """

    values: Float[np.ndarray, "cutoff entry operator"]
    error: Float[np.ndarray, "cutoff entry operator"]


class Trees(NamedTuple):
    """G^(k)_c ∋ Σ_ij values[cutoff, entry, i, j] g_i g_j, and its error.

    Args:
        values: Symmetric in the operators, zero but for those of the trees' vertices.
        error: Absolute error estimate of `values`.
    """

    values: Float[np.ndarray, "cutoff entry operator operator"]
    error: Float[np.ndarray, "cutoff entry operator operator"]


@dataclass(frozen=True, eq=False)
class Expansion:
    """What `expand` returns.

    Attributes:
        linear: Order -> `DesignMatrix`.
        trees: Order -> `Trees`, where the action has any: at orders 4 and 6.
        propagator_error: (cutoff,) relative error of the propagators in these, common
            to all of them, from that of the kernel; see `Integrals.propagator_error`.
    """

    linear: Mapping[int, DesignMatrix]
    trees: Mapping[int, Trees]
    propagator_error: Float[np.ndarray, " cutoff"]

    def connected(
        self, order: int, cutoff: int, couplings: Float[np.ndarray, "*batch operator"]
    ) -> Float[np.ndarray, "*batch entry"]:
        """Packed G^(order)_c at cutoff number `cutoff` for couplings g."""
        total: Packed = couplings @ self.linear[order].values[cutoff].T
        if order in self.trees:
            total = total + np.einsum(
                "...i,...j,eij->...e",
                couplings,
                couplings,
                self.trees[order].values[cutoff],
                optimize=True,
            )
        return total


def expand(
    action: Action,
    network: Network,
    x: ArrayLike,
    cutoffs: ArrayLike,
    orders: tuple[int, ...],
) -> Expansion:
    """Response of connected correlators to the couplings of an action.

    In the renormalised scheme, whose propagator is the exact one, an operator adds to
    the order of its number of fields alone; in the bare scheme to every lower one too
    (theory.md §4).

    Args:
        action: The operators, in column order.
        network: Supplies the propagator.
        x: Distinct inputs (point, input_dim).
        cutoffs: Λ per row; see `first_order`.
        orders: Orders k wanted.

    Raises:
        SpecError: An order is below one, or see `first_order`.
        UnavailableError: Trees of three vertices would count, or see `first_order`.
    """
    _check_trees(action)
    integrals = Integrals(network, x, cutoffs, action.measure)
    linear = {order: _linear(action, integrals, order) for order in orders}
    number = len(action.operators)
    trees = {}
    members = action.tree_operators
    order = 2 * action.operators[members[0]].num_fields - 2 if members else 0
    if order in orders:
        shape = (*linear[order].values.shape, number)
        tensor = Trees(np.zeros(shape), np.zeros(shape))
        for i, j in combinations_with_replacement(members, 2):
            tree = integrals.tree(action.operators[i], action.operators[j])
            for a, b in {(i, j), (j, i)}:
                tensor.values[..., a, b] = tree.values
                tensor.error[..., a, b] = tree.error
        trees[order] = tensor
    return Expansion(linear, trees, integrals.propagator_error())


def design_matrix(
    action: Action, network: Network, x: ArrayLike, cutoffs: ArrayLike, order: int
) -> DesignMatrix:
    """Response of the connected order-pt correlators to each coupling; see `expand`."""
    return _linear(action, Integrals(network, x, cutoffs, action.measure), order)


def coupling_scale(
    action: Action,
    cutoffs: Sequence[float],
    linear: Mapping[int, DesignMatrix],
    propagator: Matrix,
) -> Float[np.ndarray, "cutoff operator"]:
    r"""What makes a coupling dimensionless, c = g · scale.

    .. math:: \text{scale} = \max_k \mathrm{rms}(\partial G^{(k)}_c/\partial g) \,/\,
        \mathrm{rms}(\textstyle\sum K \ldots K),

    root mean squares over entries, so that c is the size of a connected correlator
    beside that of the Gaussian moment, the output bias left out. Of an odd order, whose
    Gaussian moment vanishes, it is the absolute moment E|f|^k of a Gaussian field with
    all legs alike, which for even k the moment is.

    Args:
        action: The operators.
        cutoffs: Λ per row, for messages.
        linear: Order k -> `DesignMatrix`.
        propagator: K_W between the inputs, (point, point).

    Raises:
        SpecError: An operator has no effect at a cutoff.
    """
    scale = np.max(
        [
            np.sqrt(np.mean(design.values**2, axis=1))
            / _gaussian_size(propagator, order)
            for order, design in linear.items()
        ],
        axis=0,
    )
    idle = np.argwhere(~(scale > 0))
    if len(idle):
        cutoff, operator = idle[0]
        raise SpecError(
            f"operator {action.names[operator]!r} has no effect on these inputs at "
            f"cutoff {cutoffs[cutoff]}; choose a larger cutoff or leave it out"
        )
    return np.asarray(scale)


def _check_trees(action: Action) -> None:
    """Refuse operators beside which trees of three vertices would count.

    Raises:
        UnavailableError: There are such.
    """
    fields = [operator.num_fields for operator in action.operators]
    if 3 in fields and max(fields) > 4 and not action.is_bare:
        raise UnavailableError(
            f"{action} has operators of three fields beside ones of {max(fields)}: "
            "trees of three and more vertices are of the same order, and are not "
            "computed; fit them apart, or to first order alone with scheme='bare'"
        )


def _gaussian_size(propagator: Matrix, order: int) -> float:
    """What a connected correlator is compared with."""
    if order % 2 == 0:
        return rms(gaussian_moment(propagator, order))
    absolute = 2 ** (order / 2) * gamma((order + 1) / 2) / sqrt(pi)
    return absolute * rms(entry_size(np.diag(propagator), order))


def _linear(action: Action, integrals: Integrals, order: int) -> DesignMatrix:
    """The linear part at one order.

    Raises:
        SpecError: The order is below one.
    """
    if order < 1:
        raise SpecError(f"order {order!r} is not allowed; expected one from 1 up")
    shape = (
        len(integrals.cutoffs),
        num_entries(integrals.num_points, order),
        len(action.operators),
    )
    design = DesignMatrix(np.zeros(shape), np.zeros(shape))
    for i, operator in enumerate(action.operators):
        legs = operator.num_fields
        is_contracted = legs > order and (legs - order) % 2 == 0
        if legs == order or (action.is_bare and is_contracted):
            column = integrals.first_order(operator, order)
            design.values[..., i] = column.values
            design.error[..., i] = column.error
    return design
