"""The random covariance of a layer's preactivations, to first order in 1/width.

In: the covariance of the first preactivation and the layers above. Out: mean and
covariance of the random covariance K̂ of the output, given the features, and the
connected correlators that follow. Groups of points that know nothing of each other are
carried along one axis; pairs of points are packed as everywhere.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from nnft_ppl.activations import Activation
from nnft_ppl.correlators.deep.pair_means import PairMeans, pair_means
from nnft_ppl.correlators.symmetric import entries, num_entries, positions

type Pairs = Float[np.ndarray, "group pair"]
type PairSquare = Float[np.ndarray, "group pair pair"]
type FourthMeans = Callable[[Pairs, PairMeans], tuple[np.ndarray, np.ndarray]]
"""K and its pair means -> E[φφφφ] and its absolute error, both (group, entry)."""


@dataclass(frozen=True)
class LayerStep:
    """From the preactivations of one layer to the next: φ at `width` units, then W, b.

    Args:
        activation: φ.
        width: n.
        weight_variance: σ_W².
        bias_variance: σ_b².
    """

    activation: Activation
    width: int
    weight_variance: float
    bias_variance: float


@dataclass(frozen=True)
class RandomKernel:
    """K̂ of one layer, to first order, and what quadrature makes of it.

    Attributes:
        limit: K, the mean at infinite width.
        shift: m, what the mean gains at first order.
        covariance: C = Cov(K̂_ab, K̂_cd) at first order.
        limit_error: Estimated absolute error of `limit`.
        shift_error: Of `shift`.
        covariance_error: Of `covariance`.
    """

    limit: Pairs
    shift: Pairs
    covariance: PairSquare
    limit_error: Pairs
    shift_error: Pairs
    covariance_error: PairSquare


def propagate(
    steps: Sequence[LayerStep], first: Pairs, num_points: int, fourth: FourthMeans
) -> RandomKernel:
    """From the covariance of the first preactivation, which is fixed, to the output.

    Args:
        steps: From the first hidden layer to the output.
        first: Covariance of the first preactivation.
        num_points: Points of each group.
        fourth: How to get means of four factors.

    Source: `recursion_correlators`.
    """
    none, square = np.zeros_like(first), np.zeros((*first.shape, first.shape[1]))
    state = RandomKernel(first, none, square, none, none, square)
    for step in steps:
        state = _next(step, state, num_points, fourth)
    return state


def infinite_width_kernel(
    steps: Sequence[LayerStep], first: Pairs, num_points: int
) -> Pairs:
    """K of the output, (group, pair)."""
    for step in steps:
        means = pair_means(
            step.activation, *_Geometry.of(first, num_points).arguments()
        )
        value = means.value.reshape(first.shape)
        first = step.bias_variance + step.weight_variance * value
    return first


def connected_functions(
    output: RandomKernel, num_points: int, num_outputs: int = 1
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    """G2 and G4c by order, and their errors, each (group, entry).

    Given K̂ the outputs are independent, so that each pair of legs that K̂ joins is of
    one output. A leg is a point and an output, the output running faster.
    """
    four = np.zeros((len(output.limit), num_entries(num_points * num_outputs, 4)))
    error = np.zeros_like(four)
    for entry, row, column in pairings(num_points, num_outputs):
        four[:, entry] += output.covariance[:, row, column]
        error[:, entry] += output.covariance_error[:, row, column]
    point, of_output = np.divmod(entries(num_points * num_outputs, 2), num_outputs)
    same = of_output[:, 0] == of_output[:, 1]
    pair = positions(num_points, point)
    return (
        {2: same * (output.limit + output.shift)[:, pair], 4: four},
        {2: same * (output.limit_error + output.shift_error)[:, pair], 4: error},
    )


def pairings(
    num_points: int, num_outputs: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The three ways to pair four legs, each within one output.

    Returns:
        Entries of G4c where a way is allowed, and the packed positions of its pairs of
        points.
    """
    point, of_output = np.divmod(entries(num_points * num_outputs, 4), num_outputs)
    for left, right in (([0, 1], [2, 3]), ([0, 2], [1, 3]), ([0, 3], [1, 2])):
        one, other = of_output[:, left], of_output[:, right]
        entry = np.flatnonzero((one[:, 0] == one[:, 1]) & (other[:, 0] == other[:, 1]))
        row = positions(num_points, point[entry][:, left])
        yield entry, row, positions(num_points, point[entry][:, right])


def _next(
    step: LayerStep, state: RandomKernel, num_points: int, fourth: FourthMeans
) -> RandomKernel:
    """K' = F(K), m' = J m + ½ H:C, C' = J C Jᵀ + noise of the layer's own width."""
    geometry = _Geometry.of(state.limit, num_points)
    means = pair_means(step.activation, *geometry.arguments())
    value = means.value.reshape(state.limit.shape)
    jacobian = step.weight_variance * geometry.jacobian(means)
    half_hessian = step.weight_variance * geometry.half_hessian(means)
    curved = np.sum(half_hessian * geometry.of_three(state.covariance), axis=(-2, -1))
    curved_error = np.sum(
        np.abs(half_hessian) * geometry.of_three(state.covariance_error), axis=(-2, -1)
    )

    quartic, quartic_error = fourth(state.limit, means)
    pairs = entries(num_points, 2)
    legs = np.broadcast_to(
        np.concatenate(np.broadcast_arrays(pairs[:, None], pairs[None]), axis=-1),
        (len(pairs), len(pairs), 4),
    )
    quads = positions(num_points, legs)
    scale = step.weight_variance**2 / step.width
    noise = quartic[:, quads] - value[:, :, None] * value[:, None, :]
    covariance = _both_sides(jacobian, state.covariance) + scale * noise

    # First order in the errors. An error ε of K and of the means counts once in each
    # factor of what is made of them, four at most.
    size = step.weight_variance * geometry.sizes(value)
    off = means.relative_error
    epsilon = 4 * (off + geometry.relative(state.limit_error))
    spread = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2).clip(min=0.0))
    steep = np.abs(jacobian)
    return RandomKernel(
        limit=step.bias_variance + step.weight_variance * value,
        shift=_apply(jacobian, state.shift) + curved,
        covariance=covariance,
        limit_error=_apply(steep, state.limit_error) + off * size,
        shift_error=_apply(steep, state.shift_error)
        + curved_error
        + epsilon * np.abs(curved),
        covariance_error=_both_sides(steep, state.covariance_error)
        + scale * quartic_error[:, quads]
        + epsilon[..., None] * spread[:, :, None] * spread[:, None, :]
        + scale * off * size[:, :, None] * size[:, None, :] / step.weight_variance**2,
    )


@dataclass(frozen=True)
class _Geometry:
    """Where K is, and what a change of K does to t = (log σ_a, log σ_b, ρ) of a pair.

    With α, β, γ the changes of K_aa, K_bb, K_ab relative to σ_a², σ_b², σ_a σ_b:
    δ log σ_a = α/2 − α²/4, δρ = γ − ρ(α+β)/2 − γ(α+β)/2 + ρ(3α²/8 + 3β²/8 + αβ/4).

    Args:
        needs: Packed positions of aa, bb, ab for each pair ab, (pair, 3).
        std: σ_a and σ_b, (group, pair, 2).
        rho: (group, pair), exactly 1 where a is b.
        per_size: 1/σ_a², 1/σ_b², 1/(σ_a σ_b), 0 where a variance is; (group, pair, 3).
    """

    needs: Int[np.ndarray, "pair 3"]
    std: Float[np.ndarray, "group pair 2"]
    rho: Pairs
    per_size: Float[np.ndarray, "group pair 3"]

    @staticmethod
    def of(kernel: Pairs, num_points: int) -> "_Geometry":
        pairs = entries(num_points, 2)
        needs = np.stack(
            [
                positions(num_points, pairs[:, legs])
                for legs in ([0, 0], [1, 1], [0, 1])
            ],
            axis=1,
        )
        std = np.sqrt(kernel[:, needs[:, :2]])
        sizes = np.concatenate([std**2, std[..., :1] * std[..., 1:]], axis=-1)
        per_size = np.divide(1.0, sizes, out=np.zeros_like(sizes), where=sizes > 0)
        rho = kernel * per_size[..., 2]
        rho[:, pairs[:, 0] == pairs[:, 1]] = 1.0
        return _Geometry(needs, std, rho, per_size)

    def arguments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """σ_a, σ_b, ρ of all pairs of all groups, each one axis."""
        return self.std[..., 0].ravel(), self.std[..., 1].ravel(), self.rho.ravel()

    def linear(self) -> Float[np.ndarray, "group pair 3 3"]:
        """First derivatives of t by (α, β, γ)."""
        matrix = np.zeros((*self.rho.shape, 3, 3))
        matrix[..., 0, 0] = matrix[..., 1, 1] = 0.5
        matrix[..., 2, :2] = -self.rho[..., None] / 2
        matrix[..., 2, 2] = 1.0
        return matrix

    def jacobian(self, means: PairMeans) -> PairSquare:
        """∂F_ab/∂K_cd."""
        slope = means.slope.reshape(*self.rho.shape, 3)
        pull = np.einsum("gpi,gpij,gpj->gpj", slope, self.linear(), self.per_size)
        num_groups, num_pairs = self.rho.shape
        matrix = np.zeros((num_groups, num_pairs, num_pairs))
        for i in range(3):  # aa, bb and ab are one where a is b, so they add
            matrix[:, np.arange(num_pairs), self.needs[:, i]] += pull[..., i]
        return matrix

    def half_hessian(self, means: PairMeans) -> Float[np.ndarray, "group pair 3 3"]:
        """½ ∂²F_ab/∂K_i∂K_j for i, j among aa, bb, ab."""
        rho, linear = self.rho, self.linear()
        curvature = means.curvature.reshape(*rho.shape, 3, 3)
        slope = means.slope.reshape(*rho.shape, 3)
        matrix = np.swapaxes(linear, -1, -2) @ curvature @ linear / 2
        matrix[..., 0, 0] -= slope[..., 0] / 4
        matrix[..., 1, 1] -= slope[..., 1] / 4
        of_rho = np.array([[3, 1, 0], [1, 3, 0], [0, 0, 0]]) / 8 * rho[..., None, None]
        of_rho = of_rho - np.array([[0, 0, 1], [0, 0, 1], [1, 1, 0]]) / 4
        matrix += slope[..., 2, None, None] * of_rho
        return np.asarray(
            matrix * self.per_size[..., :, None] * self.per_size[..., None, :]
        )

    def of_three(self, square: PairSquare) -> Float[np.ndarray, "group pair 3 3"]:
        """Of each pair ab the block of the square at aa, bb, ab."""
        return square[:, self.needs[:, :, None], self.needs[:, None, :]]

    def sizes(self, value: Pairs) -> Pairs:
        """√(⟨φ_a²⟩⟨φ_b²⟩) of every pair, from ⟨φ_aφ_b⟩ of every pair."""
        variances = value[:, self.needs[:, :2]]
        return np.asarray(np.sqrt(variances[..., 0] * variances[..., 1]))

    def relative(self, error: Pairs) -> Pairs:
        """The largest error of K relative to σ_a σ_b in each group, (group, 1)."""
        return np.asarray((error * self.per_size[..., 2]).max(axis=1, keepdims=True))


def _apply(matrix: PairSquare, vector: Pairs) -> Pairs:
    """Matrix times vector, in every group."""
    return np.asarray(np.einsum("gpq,gq->gp", matrix, vector))


def _both_sides(matrix: PairSquare, square: PairSquare) -> PairSquare:
    """M S Mᵀ, in every group."""
    return np.asarray(matrix @ square @ np.swapaxes(matrix, -1, -2))
