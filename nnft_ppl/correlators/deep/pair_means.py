"""Expectations of one activation at two Gaussians, and how they change with them.

In: an activation and the standard deviations and correlation of many pairs of Gaussian
arguments. Out: for every pair E[φφ], its first and second derivatives and the five
means of four factors, by one quadrature over the plane. Only φ and φ' are evaluated,
and nothing is divided by a vanishing angle before it is needed, so that a kink at 0 and
arguments that are nearly or exactly proportional are no special cases.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Float

from nnft_ppl._compile import KEPT_PROGRAMS
from nnft_ppl._host import on_host
from nnft_ppl.activations import Activation
from nnft_ppl.correlators.neuron.lattice import (
    ball_lattice,
    enclosing_radius,
    has_parity,
)

type PerPair = Float[np.ndarray, " pair"]
type _Blocks = Iterator[tuple[np.ndarray, np.ndarray]]
"""Nodes (1 or pair, node, 2) and weights (1 or pair, node), block by block."""

_TARGET = 1e-12
"""Relative error at which refinement stops."""

_PARALLEL = 1e-12
"""Squared sine of the angle below which a pair counts as proportional: the correlation
then fluctuates by less than this, and its curvature adds less than rounding."""

_NODES, _PAIRS = 1024, 64
"""Shape of one compiled evaluation."""


@dataclass(frozen=True)
class PairMeans:
    """F = E[φ(σ_a u) φ(σ_b v)] for standard normal u, v of correlation ρ.

    Derivatives are along t = (log σ_a, log σ_b, ρ).

    Attributes:
        value: F, (pair,).
        slope: ∂F/∂t_i, (pair, 3).
        curvature: ∂²F/∂t_i∂t_j, (pair, 3, 3); that along ρ is 0 for proportional pairs.
        fourth: E[φ_a^{4−i} φ_b^i] for i = 0 … 4, (pair, 5).
        relative_error: Estimated error of all of them, relative to the size of each.
    """

    value: PerPair
    slope: Float[np.ndarray, "pair 3"]
    curvature: Float[np.ndarray, "pair 3 3"]
    fourth: Float[np.ndarray, "pair 5"]
    relative_error: float


def pair_means(
    activation: Activation, std_a: PerPair, std_b: PerPair, correlation: PerPair
) -> PairMeans:
    """All of `PairMeans`, float64.

    A homogeneous activation is integrated over sectors between its kinks, any other on
    lattices of falling step until they agree.

    Args:
        activation: Differentiable by JAX, but for kinks.
        std_a: σ_a ≥ 0.
        std_b: σ_b ≥ 0.
        correlation: ρ, exactly 1 where both arguments are one.

    Source: theory.md §2; derivatives by Price's theorem, Trans. IRE IT-4 (1958) 69, and
    integration by parts.
    """
    given = np.stack([std_a, std_b, np.clip(correlation, -1.0, 1.0)], axis=1)
    unique, inverse = np.unique(given, axis=0, return_inverse=True)
    with on_host(), jax.enable_x64(True):
        if activation.homogeneity is None:
            levels = _smooth_levels(activation, unique)
        else:
            levels = _homogeneous_levels(activation, unique)
        means, error = _refine(levels)
    means = means[inverse.reshape(-1)]
    return _assembled(means, given[:, 2], error)


def _smooth_levels(
    activation: Activation, pairs: Float[np.ndarray, "pair 3"]
) -> Iterator[Float[np.ndarray, "pair mean"]]:
    """The means on lattices of falling step."""
    std = np.unique(pairs[:, :2])

    def function(z: np.ndarray) -> np.ndarray:
        return np.asarray(activation.function(jnp.asarray(z)))

    radius, _ = enclosing_radius(function, std, 2, (4,), _TARGET / 100)
    even = has_parity(function, std)
    for level in range(8):
        rule = list(ball_lattice(2, 0.6 / 2 ** (level / 2), radius, even=even))
        nodes = np.concatenate([n for n, _ in rule])[None]
        weights = np.concatenate([w for _, w in rule])[None]
        yield _integrate(activation, pairs, nodes, weights)


def _homogeneous_levels(
    activation: Activation, pairs: Float[np.ndarray, "pair 3"]
) -> Iterator[Float[np.ndarray, "pair mean"]]:
    """The means over sectors of the plane with both kinks on their borders.

    Along a ray the integrands are polynomials in its squared length, for which a Gauss
    rule is exact.
    """
    rho = pairs[:, 2]
    angle = np.arctan2(np.sqrt((1 - rho) * (1 + rho)), rho)
    degree = activation.homogeneity or 0
    half_squares, radial = scipy.special.roots_laguerre(degree + 1)
    # u = 0 at ±π/2 and v = 0 at angle ± π/2; the other two sectors are opposite.
    starts = np.stack([np.full_like(angle, -np.pi / 2), angle - np.pi / 2], axis=1)
    widths = np.stack([angle, np.pi - angle], axis=1)[..., None]
    for num_nodes in (10, 14, 19, 25):
        x, w = np.polynomial.legendre.leggauss(num_nodes)
        along = (starts[..., None] + widths * (x + 1) / 2).reshape(len(pairs), -1)
        share = (widths * w / (4 * np.pi)).reshape(len(pairs), -1)
        unit = np.stack([np.cos(along), np.sin(along)], axis=-1)[:, :, None]
        nodes = (unit * np.sqrt(2 * half_squares)[:, None]).reshape(len(pairs), -1, 2)
        weights = (share[:, :, None] * radial).reshape(len(pairs), -1)
        yield _integrate(
            activation,
            pairs,
            np.concatenate([nodes, -nodes], axis=1),
            np.concatenate([weights, weights], axis=1),
        )


def _integrate(
    activation: Activation,
    pairs: Float[np.ndarray, "pair 3"],
    nodes: Float[np.ndarray, "pair_or_1 node 2"],
    weights: Float[np.ndarray, "pair_or_1 node"],
) -> Float[np.ndarray, "pair mean"]:
    """The means of `_block_means`, in blocks of few shapes, each compiled once."""
    size = min(_NODES, 1 << (weights.shape[1] - 1).bit_length())
    more = -weights.shape[1] % size
    nodes = np.pad(nodes, ((0, 0), (0, more), (0, 0)))
    weights = np.pad(weights, ((0, 0), (0, more)))
    batch = min(_PAIRS, 1 << (len(pairs) - 1).bit_length())
    rows = np.pad(pairs, ((0, -len(pairs) % batch), (0, 0)), mode="edge")
    if len(nodes) > 1:
        extra = (0, len(rows) - len(pairs))
        nodes = np.pad(nodes, (extra, (0, 0), (0, 0)), mode="edge")
        weights = np.pad(weights, (extra, (0, 0)), mode="edge")
    means = np.zeros((len(rows), _NUM_MEANS))
    program = _block_program(activation.function)
    for start in range(0, len(rows), batch):
        some = slice(start, start + batch)
        own = some if len(nodes) > 1 else slice(0, 1)
        for first in range(0, weights.shape[1], size):
            part = slice(first, first + size)
            means[some] += program(rows[some], nodes[own, part], weights[own, part])
    return means[: len(pairs)]


_NUM_MEANS = 15


@lru_cache(maxsize=KEPT_PROGRAMS)
def _block_program(
    function: Callable[[jax.Array], jax.Array],
) -> Callable[..., jax.Array]:
    """`_block_means` of an activation; what is compiled goes with it."""
    return jax.jit(partial(_block_means, function))


def _block_means(
    function: Callable[[jax.Array], jax.Array],
    pairs: jax.Array,
    nodes: jax.Array,
    weights: jax.Array,
) -> jax.Array:
    """Sums over some nodes of the integrands, (pair, mean).

    With u = g_1 and v at angle θ from it, ⟂ is the derivative along the angle of each:
    ∂²F/∂θ² = −⟨φ_a' u_⟂ φ_b' v_⟂⟩ because F depends on the difference of two angles.
    """
    std_a, std_b, rho = pairs[:, :1], pairs[:, 1:2], pairs[:, 2:]
    sine = jnp.sqrt((1 - rho) * (1 + rho))
    u, u_turned = nodes[..., 0], nodes[..., 1]
    v, v_turned = rho * u + sine * u_turned, rho * u_turned - sine * u

    def with_slope(z: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.jvp(function, (z,), (jnp.ones_like(z),))

    phi_a, slope_a = with_slope(std_a * u)
    phi_b, slope_b = with_slope(std_b * v)
    phi_a, phi_b = (jnp.broadcast_to(phi, v.shape) for phi in (phi_a, phi_b))
    # Slopes of φ(σ u) along u, so that σ appears no more.
    slope_a, slope_b = std_a * slope_a, std_b * slope_b
    both = slope_a * slope_b
    integrands = (
        phi_a * phi_b,
        u * slope_a * phi_b,
        phi_a * v * slope_b,
        both,
        # Stein's identity stands in for φ'': ⟨u² φ_a'' φ_b⟩ from first derivatives.
        slope_a * ((u**3 - u) * phi_b - rho * u**2 * slope_b),
        slope_b * ((v**3 - v) * phi_a - rho * v**2 * slope_a),
        both * u * v,
        -both * u_turned * v_turned,
        both * u * v_turned,
        -both * v * u_turned,
        *(phi_a ** (4 - i) * phi_b**i for i in range(5)),
    )
    return jnp.stack([jnp.sum(weights * f, axis=-1) for f in integrands], axis=-1)


def _refine(
    levels: Iterator[Float[np.ndarray, "pair mean"]],
) -> tuple[Float[np.ndarray, "pair mean"], float]:
    """Take levels until two agree: the last, and the largest relative change to it."""
    for before, means in pairwise(levels):
        # That of one factor: √(φ_a φ_b), from the means of their fourth powers.
        size = (np.abs(means[:, -5] * means[:, -1]) ** 0.125)[:, None]
        scale = np.maximum(np.abs(means), size ** ([2] * 10 + [4] * 5))
        change = np.abs(means - before)
        np.divide(change, scale, out=change, where=scale > 0)
        error = float(change.max(initial=0.0))
        if error < _TARGET:
            break
    return means, error + 32 * np.finfo(float).eps


def _assembled(
    means: Float[np.ndarray, "pair mean"], rho: PerPair, error: float
) -> PairMeans:
    """Derivatives along ρ = cos θ from those along θ."""
    value, log_a, log_b, along_rho, aa, bb, ab, angle, angle_a, angle_b = means.T[:10]
    square = (1 - rho) * (1 + rho)
    wide = square > _PARALLEL
    per_square = np.divide(1.0, square, out=np.zeros_like(rho), where=wide)
    per_sine = np.sqrt(per_square)
    a_rho, b_rho = -angle_a * per_sine, -angle_b * per_sine
    rho_rho = (angle + rho * along_rho) * per_square
    return PairMeans(
        value=value,
        slope=np.stack([log_a, log_b, along_rho], axis=1),
        curvature=np.stack(
            [
                np.stack([aa, ab, a_rho], axis=1),
                np.stack([ab, bb, b_rho], axis=1),
                np.stack([a_rho, b_rho, rho_rho], axis=1),
            ],
            axis=1,
        ),
        fourth=means[:, 10:],
        relative_error=error,
    )
