"""From couplings to correlators: the design matrix and the full k-pt functions.

In: an action, and later connected correlators from its couplings. Out: the linear map
from couplings to G^(k)_c at every cutoff, and G^(k) = disconnected pieces + G^(k)_c.
"""

from collections.abc import Mapping
from math import isqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float

from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Packed
from nnft_ppl.correlators.symmetric import num_entries
from nnft_ppl.correlators.wick import moment_from_connected
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.integrals import BoxIntegrals


class DesignMatrix(NamedTuple):
    """G^(k)_c = Σ_i values[cutoff, entry, i] g_i to first order, and its error.

    Args:
        values: ∂G^(k)_c/∂g_i per cutoff, packed entry and operator.
        error: Absolute error estimate of `values`.
    """

    values: Float[np.ndarray, "cutoff entry operator"]
    error: Float[np.ndarray, "cutoff entry operator"]


def design_matrix(
    action: Action, network: Network, x: ArrayLike, cutoffs: ArrayLike, order: int
) -> DesignMatrix:
    """Response of the connected order-pt correlators to each coupling of an action.

    Operators with another number of fields do not contribute at first order, in the
    scheme whose propagator is the exact one (theory.md §4), and have zero columns.

    Args:
        action: The operators, in column order.
        network: Supplies the propagator.
        x: Distinct inputs (point, input_dim).
        cutoffs: Λ per row; see `first_order`.
        order: Even order k of the correlator.

    Raises:
        SpecError: The order is not even and positive, or see `first_order`.
        UnavailableError: See `first_order`.
    """
    _check_order(order)
    integrals = BoxIntegrals(network, x, cutoffs)
    num_points = len(network.check_inputs(x))
    shape = (
        len(integrals.cutoffs),
        num_entries(num_points, order),
        len(action.operators),
    )
    design = DesignMatrix(np.zeros(shape), np.zeros(shape))
    for i, operator in enumerate(action.operators):
        if operator.num_fields == order:
            column = integrals.first_order(operator)
            design.values[..., i] = column.values
            design.error[..., i] = column.error
    return design


class FullMap(NamedTuple):
    """G^(k) = gaussian + Σ_m linear[m] · G^(m)_c, for one fixed kernel.

    Args:
        gaussian: G^(k) of the Gaussian process.
        linear: m -> matrix that takes packed G^(m)_c to its part of packed G^(k).
    """

    gaussian: Packed
    linear: Mapping[int, Matrix]


def full_map(kernel: Packed, order: int) -> FullMap:
    """The affine map from connected correlators to the full one.

    At first order in the couplings a partition holds at most one block larger than a
    pair: G4 = Σ_3 KK + G4c, G6 = Σ_15 KKK + Σ_15 K·G4c + G6c. Products such as
    G4c·G4c are beyond it, and the next block sizes enter alike.

    Args:
        kernel: Packed 2-pt function, output bias included (`network.kernel`, not the
            propagator of the diagrams).
        order: Even order k.

    Source: theory.md §4, "6-pt prediction".
    """
    _check_order(order)
    num_points = _num_points(kernel)
    connected = {2: np.asarray(kernel, dtype=np.float64)}
    for k in range(4, order + 1, 2):
        connected[k] = np.zeros(num_entries(num_points, k))
    # The Jacobian at the Gaussian point leaves out all that is of second order.
    gaussian, jacobian = moment_from_connected(connected, num_points, order)
    return FullMap(gaussian, {k: jacobian[k] for k in range(4, order + 1, 2)})


def full_from_connected(
    kernel: Packed,
    connected: Mapping[int, Float[np.ndarray, "*batch entry"]],
    order: int,
) -> Float[np.ndarray, "*batch entry"]:
    """Full G^(order) from the kernel and connected correlators; see `full_map`.

    Args:
        kernel: Packed 2-pt function, output bias included.
        connected: Order (4, 6, …) -> packed connected correlators; leading axes (chain,
            draw, cutoff, …) broadcast together. Orders above `order` are not used, and
            a missing one counts as zero.
        order: Even order k.

    Raises:
        SpecError: The order is not even and positive, or sizes disagree.
    """
    gaussian, linear = full_map(kernel, order)
    parts = {k: np.asarray(connected[k]) for k in linear if k in connected}
    for k, part in parts.items():
        expected = linear[k].shape[1]
        if part.shape[-1] != expected:
            raise SpecError(
                f"the connected {k}-pt correlator has {part.shape[-1]} entries; "
                f"expected {expected} for a kernel of {len(kernel)} entries"
            )
    batch = np.broadcast_shapes(*(part.shape[:-1] for part in parts.values()))
    total = np.empty((*batch, len(gaussian)))
    total[...] = gaussian
    for k, part in parts.items():
        if k == order:  # its matrix is the identity
            total += part
        else:  # flattened: one product of matrices, not one per leading index
            flat = part.reshape(-1, part.shape[-1]) @ linear[k].T
            total += flat.reshape(*part.shape[:-1], -1)
    return total


def _check_order(order: int) -> None:
    if order < 2 or order % 2:
        raise SpecError(
            f"order {order!r} is not allowed; expected an even number ≥ 2, because odd "
            "correlators vanish"
        )


def _num_points(kernel: Packed) -> int:
    """Number of points n of a packed (n, n) matrix.

    Raises:
        SpecError: The length is not n(n+1)/2 for any n.
    """
    size = np.shape(kernel)
    num_points = (isqrt(8 * size[0] + 1) - 1) // 2 if len(size) == 1 else 0
    if len(size) != 1 or num_entries(num_points, 2) != size[0] or not num_points:
        raise SpecError(
            f"the kernel has shape {size}; expected its n(n+1)/2 packed entries"
        )
    return num_points
