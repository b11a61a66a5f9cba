"""Deep fully connected networks to first order in 1/width.

In: a `Network` whose architecture gives its hidden layers and its Gaussian last layer.
Out: the 2-pt function with its first correction and the connected 4-pt function at
leading order, with the error of the quadrature and an estimate of what the expansion
leaves out. Nothing is sampled.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb

import jax
import numpy as np
import pandas as pd
from jaxtyping import ArrayLike, Float, Int

from nnft_ppl._arrays import real_array
from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._html import card, table
from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Packed, Points
from nnft_ppl.architecture import HiddenLayers, Readout
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.deep.layer_recursion import (
    LayerStep,
    Pairs,
    RandomKernel,
    connected_functions,
    infinite_width_kernel,
    pairings,
    propagate,
)
from nnft_ppl.correlators.deep.pair_means import PairMeans
from nnft_ppl.correlators.deep.pair_second_order import pair_second_order
from nnft_ppl.correlators.deep.second_order import second_order
from nnft_ppl.correlators.deep.validity import check_jumps, check_sizes
from nnft_ppl.correlators.neuron.moments import (
    gaussian_moments,
    preactivation_covariance,
)
from nnft_ppl.correlators.odd_orders import with_vanishing_odd_orders
from nnft_ppl.correlators.orders import check_orders
from nnft_ppl.correlators.origin import FIRST_ORDER
from nnft_ppl.correlators.symmetric import entries, positions

_TOLERANCE = 1e-5
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
        orders: Up to 4; 2 is added. Odd ones vanish.

    Returns:
        `Correlators` without sampling error, estimator `recursion`;
        `connected_error` estimates the error of the quadrature and, by
        `recursion_error`, what the expansion leaves out: together, since most of the
        latter is one factor for all entries.

    Raises:
        UnavailableError: The architecture gives no hidden layers, no Gaussian readout,
            its activation jumps, declared or not, or no quadrature serves it.
        SpecError: Inputs or orders are unusable.

    Source: theory.md §2; Yaida, arXiv:1910.00019; Roberts, Yaida, Hanin,
    arXiv:2106.10165 §4.
    """
    _layers(network)  # refuses first
    points = network.check_inputs(x, distinct=True)
    complete = check_orders(orders, len(points), network.hyperparameters.output_dim)
    if max(complete) > 4:
        raise SpecError(
            f"order {max(complete)} is beyond the first order in 1/width; choose among "
            "1 to 4, or use measure_correlators"
        )
    even = tuple(k for k in complete if k % 2 == 0)
    output = random_kernel_of(network, points)
    num_outputs = network.hyperparameters.output_dim
    connected, error = connected_functions(output, len(points), num_outputs)
    found = Correlators(
        network=network,
        x=points,
        orders=even,
        estimator="recursion",
        num_draws=0,
        connected_values={k: connected[k][0] for k in even},
        joint_covariance=np.zeros((0, 0)),
        numerical_error={k: error[k][0] for k in even},
        effective_batches={},
        num_batches=0,
    )
    left_out = recursion_error(found)
    told = {k: found.numerical_error[k] + left_out[k] for k in even}
    return with_vanishing_odd_orders(replace(found, numerical_error=told), complete)


def random_kernel_of(network: Network, points: Points) -> RandomKernel:
    """K̂ of the output to first order in 1/width, one group, as there.

    Args:
        network: Its architecture gives `hidden_layers` and a Gaussian readout.
        points: Distinct inputs (point, input_dim).

    Raises:
        UnavailableError: As `recursion_correlators`.
    """
    layers = _layers(network)
    activation, pairs = layers[0].activation, tuple(entries(len(points), 2).T)

    def elementwise(z: jax.Array, _: jax.Array) -> jax.Array:
        return activation.function(z)

    def fourth(kernel: Pairs, _: PairMeans) -> tuple[np.ndarray, np.ndarray]:
        square = np.zeros((len(points), len(points)))
        square[pairs] = square[pairs[::-1]] = kernel[0]
        moments, errors = gaussian_moments(
            square, elementwise, activation.homogeneity, (4,), tolerance=_TOLERANCE
        )
        return moments[4][None], errors[4][None]

    kernel = _first_kernel(network, points)
    check_sizes(layers, np.diagonal(kernel))
    check_jumps(layers, np.diagonal(kernel))
    return propagate(layers, kernel[pairs][None], len(points), fourth)


def recursion_error(correlators: Correlators) -> dict[int, Packed]:
    r"""How much the first order in 1/width leaves out of `recursion_correlators`.

    What is left out begins with the second order, of which all terms are known at one
    input and, for a smooth activation, at two. Terms cancel at some entries and not at
    others, so that their magnitudes add: to |C₂| of the covariance C₁ + C₂ of K̂ and to
    |m₂| of the mean K + m₁ + m₂. The larger of two estimates counts. From each input by
    itself, with r = max_x |C₂|/C₁ and depth L,

    .. math::
        R \prod_i G^{(4)}_c(x_i,x_i,x_i,x_i)^{1/4}, \quad
        R = \frac{(1 + u/L)^L - 1 - u}{u}, \quad u = \frac{2 L r}{L - 1}, \qquad
        r |G^{(2)} - K| + \max_x (|m_2|/K) \prod_i K(x_i,x_i)^{1/2}

    and of G4c as many thirds of that as there are pairings of equal outputs. R holds
    all orders of a chain Π_l (1 + c_l), which a homogeneous activation makes of the
    layers' noises: by Newton's inequalities no c_l with this first and second order
    leave out more. From pairs of inputs, where an activation that bends makes the
    correlation of two fluctuate although each by itself is nearly fixed,

    .. math::
        \sum_{3} \big( |C_2|_{(ab)(ab)} |C_2|_{(cd)(cd)} \big)^{1/2}, \qquad |m_2|_{ab}

    An estimate of a size, without sign, and not a bound. For relu, tanh and erf at
    three inputs in two dimensions, widths 5 to 100, depths 2 to 5 and three scales of
    weights, the remainder of 400 000 sampled networks was beyond it by more than 3
    standard errors of the sample at 4 of 3780 entries, by 4 at most. Of the 4-pt
    function, and where it could be seen, it was half of the estimate for relu and a
    fifth for the smooth ones, in the median. It is zero at depth one,
    where the first order is exact.

    Args:
        correlators: From `recursion_correlators`.

    Returns:
        By order, (entry,).

    Raises:
        SpecError: They are no such correlators.

    Source: `second_order.second_order`, `pair_second_order.pair_second_order`.
    """
    if correlators.origin is not FIRST_ORDER:
        raise SpecError(
            f"the estimator of these correlators is {correlators.estimator!r}; only "
            "those of recursion_correlators leave out orders of 1/width"
        )
    network, num_points = correlators.network, len(correlators.x)
    num_outputs = network.hyperparameters.output_dim
    steps, first = _layers(network), _first_kernel(network, correlators.x)
    one = second_order(steps, np.diagonal(first))
    of_variance = _largest_ratio(one.variance_terms, one.variance[0])
    point, of_output = np.divmod(correlators.entries(2), num_outputs)
    same = of_output[:, 0] == of_output[:, 1]
    pairs = entries(num_points, 2)
    limit = infinite_width_kernel(steps, first[tuple(pairs.T)][None], num_points)[0]
    shift = correlators.connected(2) - same * limit[positions(num_points, point)]
    size = same * np.sqrt(one.limit)[point].prod(axis=1)
    of_mean = _largest_ratio(one.mean_terms, one.limit) * size
    mean, variance = np.zeros(len(pairs)), np.zeros(len(pairs))
    if steps[0].activation.homogeneity is None and len(steps) > 1:
        legs = np.stack([pairs[:, [0, 0]], pairs, pairs[:, [1, 1]]], axis=1)
        by_pair = pair_second_order(steps, first[legs[..., 0], legs[..., 1]])
        mean, variance = (part[:, 1] for part in by_pair)
    found = {
        2: np.maximum(
            of_variance * np.abs(shift) + of_mean,
            same * mean[positions(num_points, point)],
        )
    }
    if 4 in correlators.orders:
        legs = correlators.entries(4) // num_outputs
        size = (one.variance[0] ** 0.25)[legs].prod(axis=1)
        alone = size * _chain_remainder(of_variance, len(steps))
        found[4] = np.zeros(len(legs))
        for entry, row, column in pairings(num_points, num_outputs):
            together = np.sqrt(variance[row] * variance[column])
            found[4][entry] += np.maximum(alone[entry], together)
    return found


def _chain_remainder(ratio: float, depth: int) -> float:
    """R of `recursion_error`: orders beyond the first of a chain, over the first."""
    if ratio == 0:
        return 0.0
    u = 2 * depth * ratio / (depth - 1)
    return float(
        sum(comb(depth, k) * (u / depth) ** k for k in range(2, depth + 1)) / u
    )


def _largest_ratio(part: np.ndarray, whole: np.ndarray) -> float:
    """Largest part/whole where the whole is not 0."""
    ratio = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return float(ratio.max())


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

    def _repr_html_(self) -> str:
        """The first pairs for notebooks, with the largest error."""
        columns = np.column_stack([self.two_point, self.four_point])
        names = ["aa", "ab", "bb", "aaaa", "aaab", "aabb", "abbb", "bbbb"]
        frame = pd.DataFrame(columns, columns=[f"G({name})" for name in names])
        for place, name in enumerate("ab"):
            frame.insert(place, name, self.pairs[:, place])
        rows = [
            ("pairs", len(self.pairs)),
            ("error of G2, at most", f"{_largest(self.two_point_error):.2g}"),
            ("error of G4c, at most", f"{_largest(self.four_point_error):.2g}"),
            ("", table(frame)),
        ]
        return card("PairCorrelators", rows, "Four letters: connected, leading order.")


def _largest(errors: np.ndarray) -> float:
    return float(errors.max(initial=0.0))


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
    chosen = np.asarray(real_array("`pairs`", pairs, "(number of pairs, 2)"))
    valid = chosen.ndim == 2 and chosen.shape[1] == 2 and chosen.dtype.kind in "iu"
    if not valid or (chosen < 0).any() or (chosen >= len(points)).any():
        raise SpecError(
            f"`pairs` has shape {chosen.shape} and type {chosen.dtype}; expected "
            f"(number of pairs, 2), indices of the {len(points)} inputs"
        )
    first = _first_kernel(network, points)
    check_sizes(layers, np.diagonal(first)[np.unique(chosen)])
    check_jumps(layers, np.diagonal(first)[np.unique(chosen)])
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
