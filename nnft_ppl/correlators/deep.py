"""Deep fully connected networks to first order in 1/width.

In: a `Network` whose architecture gives its hidden layers and its Gaussian last layer.
Out: the 2-pt function with its first correction and the connected 4-pt function at
leading order, with the error of the quadrature and an estimate of what the expansion
leaves out. Nothing is sampled.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import ArrayLike, Float, Int

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Packed, Points
from nnft_ppl.activations import Activation
from nnft_ppl.architecture import HiddenLayers, Readout
from nnft_ppl.correlators._pairs import PairMeans
from nnft_ppl.correlators._random_kernel import (
    LayerStep,
    Pairs,
    connected_functions,
    propagate,
)
from nnft_ppl.correlators.correlators import Correlators, check_orders
from nnft_ppl.correlators.quadrature import gaussian_moments, preactivation_covariance
from nnft_ppl.correlators.symmetric import entries

_TOLERANCE = 1e-6
"""Relative error of the 4-fold means that is small enough beside 1/width."""


def recursion_correlators(
    network: Network, x: ArrayLike, orders: Sequence[int] = (2, 4)
) -> Correlators:
    r"""Correlators of a deep fully connected net to first order in 1/width.

    Given the layers below, a layer's preactivations are Gaussian with a random
    covariance K̂ and independent between units. Its mean and its covariance obey, over
    z ~ N(0, K) and with F(K) = σ_b² + σ_W² ⟨φφ⟩, J its Jacobian and H its Hessian,

    .. math::
        K' &= F(K), \qquad m' = J m + \tfrac12 H : C \\
        C'_{(ab)(cd)} &= (J C J^T)_{(ab)(cd)} + \frac{\sigma_W^4}{n} \big[
            \langle \phi_a \phi_b \phi_c \phi_d \rangle
            - \langle \phi_a \phi_b \rangle \langle \phi_c \phi_d \rangle \big]

    up to the output, where G2 = K + m and G4c = C_(12)(34) + C_(13)(24) + C_(14)(23).

    Args:
        network: Its architecture gives `hidden_layers` and a Gaussian readout.
        x: Inputs (point, input_dim), finite and distinct.
        orders: 2 and 4; 2 is added.

    Returns:
        `Correlators` of one output without sampling error, estimator `recursion`;
        `connected_error` is an estimate of the quadrature's error. What the expansion
        leaves out is not in it: see `truncation_error`.

    Raises:
        UnavailableError: The architecture gives no hidden layers, no Gaussian readout,
            or no quadrature serves its activation.
        SpecError: Inputs or orders are unusable.

    Source: theory.md §2; Yaida, arXiv:1910.00019; Roberts, Yaida, Hanin,
    arXiv:2106.10165 §4.
    """
    layers = _layers(network)
    points = network.check_inputs(x, distinct=True)
    orders = check_orders(orders, len(points))
    if max(orders) > 4:
        raise SpecError(
            f"order {max(orders)} is beyond the first order in 1/width; choose among "
            "2, 4, or use measure_correlators"
        )

    def fourth(kernel: Pairs, _: PairMeans) -> tuple[np.ndarray, np.ndarray]:
        return _fourth_of_points(layers[0].activation, kernel[0], len(points))

    first = _first_kernel(network, points)
    pairs = entries(len(points), 2)
    output = propagate(layers, first[tuple(pairs.T)][None], len(points), fourth)
    connected, error = connected_functions(output, len(points))
    return Correlators(
        network=network,
        x=points,
        orders=orders,
        estimator="recursion",
        num_draws=0,
        connected_values={k: connected[k][0] for k in orders},
        joint_covariance=np.zeros((0, 0)),
        numerical_error={k: error[k][0] for k in orders},
        effective_batches={},
        num_batches=0,
    )


@dataclass(frozen=True)
class PairCorrelators:
    """Correlators with at most two different inputs each, for many pairs (a, b).

    Attributes:
        pairs: Input indices a and b, (pair, 2).
        two_point: G2 at aa, ab, bb with its first correction, (pair, 3).
        four_point: G4c at aaaa, aaab, aabb, abbb, bbbb, leading order, (pair, 5).
        two_point_error: Estimated error of the quadrature, (pair, 3).
        four_point_error: The same of `four_point`, (pair, 5).
    """

    pairs: Int[np.ndarray, "pair 2"]
    two_point: Float[np.ndarray, "pair 3"]
    four_point: Float[np.ndarray, "pair 5"]
    two_point_error: Float[np.ndarray, "pair 3"]
    four_point_error: Float[np.ndarray, "pair 5"]


def pair_recursion(
    network: Network, x: ArrayLike, pairs: Int[ArrayLike, "pair 2"]
) -> PairCorrelators:
    """`recursion_correlators` at each pair of inputs by itself: integrals over planes.

    Args:
        network: As there.
        x: Inputs (point, input_dim).
        pairs: Input indices (pair, 2); the two may be the same.

    Returns:
        What of the 2- and 4-pt functions depends on no third input.

    Raises:
        As `recursion_correlators`.
    """
    layers = _layers(network)
    points = network.check_inputs(x)
    chosen = np.asarray(pairs)
    valid = chosen.ndim == 2 and chosen.shape[1] == 2 and chosen.dtype.kind in "iu"
    if not valid or (chosen < 0).any() or (chosen >= len(points)).any():
        raise SpecError(
            f"`pairs` has shape {chosen.shape} and type {chosen.dtype}; expected "
            f"(number of pairs, 2), indices of the {len(points)} inputs"
        )
    first = _first_kernel(network, points)
    a, b = chosen.T
    kernel = np.stack([first[a, a], first[a, b], first[b, b]], axis=1)

    def fourth(kernel: Pairs, means: PairMeans) -> tuple[np.ndarray, np.ndarray]:
        values = means.fourth.reshape(len(kernel), 3, 5)[:, 1]
        return values, means.relative_error * np.abs(values)

    output = propagate(layers, kernel, 2, fourth)
    connected, error = connected_functions(output, 2)
    return PairCorrelators(chosen, connected[2], connected[4], error[2], error[4])


def _layers(network: Network) -> list[LayerStep]:
    """The steps of the recursion from the first preactivation to the output."""
    hidden, readout = network.hidden_layers(), network.gaussian_readout()
    if hidden is None or readout is None:
        raise UnavailableError(
            f"{network!r} gives no fully connected hidden layers with a normal output "
            "layer, so it has no expansion in 1/width here; use measure_correlators"
        )
    if hidden.activation.homogeneity == 0:
        raise UnavailableError(
            f"activation {hidden.activation.name!r} jumps, and the expansion in "
            "1/width needs its slope; use measure_correlators"
        )
    return _steps(hidden, readout)


def _steps(hidden: HiddenLayers, readout: Readout) -> list[LayerStep]:
    """One step a hidden layer; the last leads to the output."""
    scales = [(hidden.weight_std, hidden.bias_std)] * (len(hidden.widths) - 1)
    scales.append((readout.weight_std, readout.bias_std))
    return [
        LayerStep(hidden.activation, width, weight_std**2, bias_std**2)
        for width, (weight_std, bias_std) in zip(hidden.widths, scales, strict=True)
    ]


def _first_kernel(network: Network, points: Points) -> Matrix:
    """Covariance of the first preactivation, (point, point): it does not fluctuate."""
    hidden = network.hidden_layers()
    assert hidden is not None  # `_layers` has looked
    return preactivation_covariance(hidden.covariance, points)


def _fourth_of_points(
    activation: Activation, kernel: Packed, num_points: int
) -> tuple[np.ndarray, np.ndarray]:
    """E[φφφφ] at every four of one group of points, and its error, (1, entry)."""
    square = np.zeros((num_points, num_points))
    a, b = entries(num_points, 2).T
    square[a, b] = square[b, a] = kernel
    moments, errors = gaussian_moments(
        square,
        lambda z, _: activation.function(z),
        activation.homogeneity,
        (4,),
        tolerance=_TOLERANCE,
    )
    return moments[4][None], errors[4][None]
