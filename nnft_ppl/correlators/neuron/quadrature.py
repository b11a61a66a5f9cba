"""Expectations of products of activations by quadrature over their Gaussian arguments.

In: an activation, the covariance of its arguments and orders. Out: packed moments and
their absolute errors. The method follows from the activation and from how many
independent arguments there are: the sphere cut at the kinks where it is homogeneous, a
lattice where it is smooth, a rule graded about 0 where it is too steep for that.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Float

from nnft_ppl._arrays import returned_numbers
from nnft_ppl._errors import PluginError, UnavailableError
from nnft_ppl._typing import Matrix, Packed
from nnft_ppl.correlators.neuron import graded
from nnft_ppl.correlators.neuron.cones import simplicial_cones, sphere_rules
from nnft_ppl.correlators.neuron.lattice import (
    ball_lattice,
    enclosing_radius,
    has_parity,
)
from nnft_ppl.correlators.neuron.node_products import (
    Activation,
    Moments,
    hoelder_bound,
    means_over_nodes,
)
from nnft_ppl.correlators.symmetric import entries, num_entries, positions

type Elementwise = Callable[[jax.Array, jax.Array], jax.Array]
"""(z, variance of z) -> φ."""

MAX_RANK = 4
"""Most independent preactivations over which expectations are integrated."""

_RANK_TOLERANCE = 1e-13
"""Eigenvalues of the correlation matrix below this count as zero."""

_TARGETS = {1: 1e-13, 2: 1e-12, 3: 1e-11, 4: 1e-10}
"""Relative error at which refinement stops, by rank, if the budget allows it."""

_BUDGET = 1e11
"""Most work of one level of refinement, see `_work`: some 10 s of one core."""

_GRADED_NODES = (10, 14, 19, 25)
"""Gauss nodes of a panel on the levels of the graded rule."""

_SAFETY = 3.0
"""Factor on the estimated errors of refinement and of the part left out."""


@dataclass(frozen=True)
class Integrand:
    """What is integrated, and how well."""

    activation: Elementwise
    homogeneity: int | None
    tolerance: float

    def target(self, rank: int) -> float:
        """Relative error at which refinement stops."""
        return max(_TARGETS[rank], self.tolerance)


def _factor(s: Matrix) -> tuple[Float[np.ndarray, "point axis"], float]:
    """A with s = A Aᵀ and as few columns as rounding allows, and what was dropped.

    The correlation matrix is factored, so that inputs of very different size count
    alike; the part dropped is relative to variances of one.
    """
    std = np.sqrt(np.diagonal(s))
    scale = np.divide(1.0, std, out=np.zeros_like(std), where=std > 0)
    values, vectors = np.linalg.eigh(s * np.outer(scale, scale))
    keep = values > _RANK_TOLERANCE * len(s)
    dropped = max(float(np.abs(values[~keep]).max(initial=0.0)), 1e-15)
    if dropped > 1e-8:
        raise PluginError(
            "the neuron's `covariance` is not positive: its correlation matrix has "
            f"the eigenvalue {values.min():.3g}"
        )
    # Scaling back the rows restores variances, and gives zero rows for s(x,x) = 0.
    return std[:, None] * vectors[:, keep] * np.sqrt(values[keep]), dropped


def integrated(
    integrand: Integrand, s: Matrix, orders: Sequence[int]
) -> tuple[Moments, dict[int, Packed]]:
    """The moments by quadrature, and their absolute errors."""
    factor, dropped = _factor(s)
    num_points, rank = factor.shape
    if rank > MAX_RANK:
        if max(orders) > MAX_RANK:
            raise UnavailableError(
                f"the preactivations at the {num_points} inputs span {rank} dimensions "
                "and the neuron gives no closed form `product_mean`; integration over "
                f"{MAX_RANK} dimensions serves orders up to {MAX_RANK}, not "
                f"{max(orders)}. Give at most {MAX_RANK} inputs, ask for lower orders, "
                "or use measure_correlators"
            )
        return _by_subsets(integrand, s, orders)
    if rank == 0:
        origin = [(np.zeros((1, 0)), np.ones(1))]
        moments = means_over_nodes(
            _evaluate(integrand.activation, s), factor, origin, orders
        )
        relative = dict.fromkeys(orders, 0.0)
    elif integrand.homogeneity is None:
        moments, relative = _smooth(integrand, s, factor, orders)
    else:
        moments, relative = _homogeneous(
            integrand, integrand.homogeneity, s, factor, orders
        )
    slack = _slack(_evaluate(integrand.activation, s), np.sqrt(np.diagonal(s)), dropped)
    errors = {
        k: (relative[k] + k**2 * slack) * hoelder_bound(moments, num_points, k)
        for k in orders
    }
    return moments, errors


def _slack(
    activation: Activation, std: Float[np.ndarray, " point"], dropped: float
) -> float:
    """What the part of s that was dropped, or rounded, does to a mean, relative to it.

    It moves the arguments by δ = √dropped standard deviations, independently of each
    other: E (φ(z + δ) − φ(z))² / E φ², which is about δ² where φ is smooth on its own
    scale, δ for a step, and between the two where it is as steep as δ is small.
    """
    rule = list(graded.graded_rule(np.ones((1, 1)), 9.0, 10, even=False))
    nodes = np.concatenate([nodes[:, 0] for nodes, _ in rule])
    weights = np.concatenate([weights for _, weights in rule])
    delta = std[:, None] * dropped**0.5
    at = std[:, None] * nodes
    moved, whole = activation(at + delta) - activation(at), activation(at)
    change, size = moved**2 @ weights, whole**2 @ weights
    ratio = np.divide(change, size, out=np.zeros_like(change), where=size > 0)
    return max(dropped, float(ratio.max()))


def _by_subsets(
    integrand: Integrand, s: Matrix, orders: Sequence[int]
) -> tuple[Moments, dict[int, Packed]]:
    """Moments from sets of `MAX_RANK` inputs: no entry has more different legs."""
    shapes = {k: num_entries(len(s), k) for k in orders}
    moments = {k: np.zeros(size) for k, size in shapes.items()}
    errors = {k: np.zeros(size) for k, size in shapes.items()}
    for subset in combinations(range(len(s)), MAX_RANK):
        chosen = np.array(subset)
        values, bounds = integrated(integrand, s[np.ix_(chosen, chosen)], orders)
        for order in orders:
            at = positions(len(s), chosen[entries(MAX_RANK, order)])
            moments[order][at], errors[order][at] = values[order], bounds[order]
    return moments, errors


def _homogeneous(
    integrand: Integrand, degree: int, s: Matrix, factor: Matrix, orders: Sequence[int]
) -> tuple[Moments, dict[int, float]]:
    """Moments of φ(z) = |z|^h φ(±1): E[ρ^{kh}] times the mean over the unit sphere."""
    rank = factor.shape[1]
    ends = _evaluate(integrand.activation, s)(np.tile([-1.0, 0.0, 1.0], (len(s), 1)))

    def activation(z: np.ndarray) -> np.ndarray:
        at_sign = np.take_along_axis(ends, 1 + np.sign(z).astype(int), axis=1)
        return np.asarray(np.abs(z) ** degree * at_sign)

    cones = simplicial_cones(factor[np.any(factor != 0, axis=1)])
    columns = num_entries(len(s), (max(orders) + 1) // 2)

    def levels() -> Iterator[Moments]:
        for num_nodes in (5, 7, 9, 12, 15, 19, 24, 30):
            size = len(cones) * num_nodes ** (rank - 1)
            if num_nodes > 9 and _work(size, columns) > _BUDGET:
                return
            rule = sphere_rules(cones, num_nodes)
            sphere = means_over_nodes(activation, factor, rule, orders)
            yield {k: _radial(rank, k * degree) * sphere[k] for k in orders}

    return _refine(levels(), len(s), integrand.target(rank))


def _radial(rank: int, power: int) -> float:
    """E[ρ^power] of the length ρ of a standard normal vector of `rank` components."""
    log = scipy.special.gammaln([(rank + power) / 2, rank / 2])
    return float(2 ** (power / 2) * np.exp(log[0] - log[1]))


def _smooth(
    integrand: Integrand, s: Matrix, factor: Matrix, orders: Sequence[int]
) -> tuple[Moments, dict[int, float]]:
    """Moments of a smooth activation: by a lattice, or graded where it is too steep."""
    rank = factor.shape[1]
    activation = _evaluate(integrand.activation, s)
    target, std = integrand.target(rank), np.sqrt(np.diagonal(s))
    radius, outside = enclosing_radius(activation, std, rank, orders, target / 10)
    ball = np.pi ** (rank / 2) / scipy.special.gamma(rank / 2 + 1) * radius**rank
    columns = num_entries(len(s), (max(orders) + 1) // 2)
    even = has_parity(activation, std) and not any(k % 2 for k in orders)
    gradable = rank <= graded.MAX_RANK
    budget = _BUDGET / 100 if gradable else _BUDGET

    def lattices() -> Iterator[Moments]:
        for level in range(30):
            step = 0.8 / 2 ** (level / 4)
            size = (1 if even else 2) * ball / step**rank
            if level > 2 and _work(size, columns) > budget:
                return
            rule = ball_lattice(rank, step, radius, even=even)
            yield means_over_nodes(activation, factor, rule, orders)

    def gradings() -> Iterator[Moments]:
        for num_nodes in _GRADED_NODES:
            size = graded.num_nodes_of(factor, radius, num_nodes, even=even)
            if num_nodes > _GRADED_NODES[1] and _work(size, columns) > _BUDGET:
                return
            rule = graded.graded_rule(factor, radius, num_nodes, even=even)
            yield means_over_nodes(activation, factor, rule, orders)

    moments, relative = _refine(lattices(), len(s), target)
    if max(relative.values()) > target and gradable:
        size = graded.num_nodes_of(factor, radius, _GRADED_NODES[1], even=even)
        if _work(size, columns) < _BUDGET:
            steep, steep_error = _refine(gradings(), len(s), target)
            if max(steep_error.values()) < max(relative.values()):
                moments, relative = steep, steep_error
    return moments, {k: relative[k] + _SAFETY * outside[k] for k in orders}


def _work(num_nodes: float, num_columns: int) -> float:
    """Cost of a level: products of monomials, and making and moving each of them."""
    return num_nodes * num_columns * (num_columns + 300)


def _refine(
    levels: Iterator[Moments], num_points: int, target: float
) -> tuple[Moments, dict[int, float]]:
    """Take levels until the error is below `target`: the last one, relative errors.

    Changes between levels fall at least geometrically, by a ratio ρ, so that those to
    come sum to ρ/(1−ρ) times the last. ρ is measured, and never taken below 1/100.
    """
    moments: Moments = {}
    changes: dict[int, float] = {}
    for before, moments in pairwise(levels):
        relative = {}
        for order, values in moments.items():
            bound = hoelder_bound(moments, num_points, order)
            ratio = np.abs(values - before[order])
            np.divide(ratio, bound, out=ratio, where=bound > 0)
            change = float(ratio.max())
            # At the first pair of levels there is no ρ yet: as if it were 0.9.
            last = changes.get(order, change)
            rho = min(0.9, max(0.01, change / last if last > 0 else 0.01))
            relative[order] = _SAFETY * change * rho / (1 - rho)
            changes[order] = change
        if max(relative.values()) < target:
            break
    return moments, relative


def _evaluate(function: Elementwise, s: Matrix) -> Activation:
    """The activation at preactivations z (point, node), compiled once a shape."""
    variance = np.diagonal(s)[:, None]
    compiled: Any = jax.jit(function)

    def activation(z: np.ndarray) -> np.ndarray:
        values = compiled(
            jnp.asarray(z), jnp.asarray(np.broadcast_to(variance, z.shape))
        )
        return returned_numbers("the activation", values, z.shape)

    return activation
