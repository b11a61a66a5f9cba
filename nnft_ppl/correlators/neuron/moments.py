"""Expectations over one hidden neuron of all products of its activations.

In: a `Neuron` and inputs, or an activation and the covariance of its arguments. Out:
E[φ(x_a)…φ(x_k)] for every unique set of legs, with an estimate of the absolute error.
The caller need not know how: a closed form where the neuron has one, the sphere of
preactivations cut at the kinks where the activation is homogeneous, a lattice where it
is smooth. All arithmetic is float64.
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
from nnft_ppl._errors import PluginError, SpecError, UnavailableError
from nnft_ppl._typing import Matrix, Packed, Points
from nnft_ppl.architecture import Neuron
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

_SAFETY = 3.0
"""Factor on the estimated errors of refinement and of the part left out."""


def neuron_moments(
    neuron: Neuron, x: Points, orders: Sequence[int]
) -> tuple[dict[int, Packed], dict[int, Packed]]:
    r"""E[φ(x_1)…φ(x_k)] over one hidden neuron, for all C(n+k−1, k) sets of legs.

    .. math:: E_{a_1 \dots a_k} = \langle \phi(z_{a_1}) \cdots \phi(z_{a_k}) \rangle,
        \quad z \sim N(0, s)

    Args:
        neuron: The hidden neuron.
        x: Inputs, (point, dim).
        orders: Even numbers k.

    Returns:
        By order, the packed moments and their absolute errors, float64, (entry,). The
        error is an estimated bound, not a standard deviation. It is ε_k times the
        Hölder bound Π_i E[φ_i^k]^{1/k} of the entry, with ε_k one number an order:
        the error estimated from the largest changes in the last refinements, the part
        outside the region of integration, and rounding.

    Raises:
        SpecError: An order is not a positive even number.
        UnavailableError: The neuron has no closed form and products of as many
            activations depend on more than `MAX_RANK` independent preactivations; or a
            moment is infinite or not a finite number.
        PluginError: The neuron's covariance is not a finite positive matrix.

    Source: theory.md §2.
    """
    _check(orders)
    s = preactivation_covariance(neuron.covariance, x)
    if neuron.product_mean is None:
        assert neuron.activation is not None  # as `Neuron` ensures
        return gaussian_moments(s, neuron.activation, neuron.homogeneity, orders)
    with jax.enable_x64(True):
        moments = _closed_form(neuron.product_mean, s, orders)
    for order in sorted(orders):
        if not np.isfinite(moments[order]).all():
            lower = f"; or ask for orders below {order}" if order > 2 else ""
            raise UnavailableError(
                f"moments of order {order} of the neuron are infinite or not finite "
                f"numbers, by its closed form `product_mean`: so is the {order}-pt "
                "function at finite width. Smaller inputs or weights help only where "
                f"float64 overflows{lower}"
            )
    # The closed form is a function of sums of s: rounding grows with them.
    top, eps = np.abs(s).max(initial=0.0), np.finfo(float).eps
    errors = {k: (k**2 * top + 32) * eps * np.abs(moments[k]) for k in orders}
    return _finite(moments, errors)


def gaussian_moments(
    covariance: Matrix,
    activation: Elementwise,
    homogeneity: int | None,
    orders: Sequence[int],
    *,
    tolerance: float = 0.0,
) -> tuple[dict[int, Packed], dict[int, Packed]]:
    r"""E[φ(z_1)…φ(z_k)] for z ~ N(0, covariance), for all C(n+k−1, k) sets of legs.

    Args:
        covariance: Of z, (point, point).
        activation: (z, variance of z) -> φ, elementwise.
        homogeneity: See `nnft_ppl.Neuron`.
        orders: Even numbers k.
        tolerance: Relative error that is small enough; by default what double
            precision and some seconds allow.

    Returns:
        As `neuron_moments`.

    Raises:
        As `neuron_moments`.

    Source: theory.md §2.
    """
    _check(orders)
    if not orders:
        return {}, {}
    integrand = _Integrand(activation, homogeneity, tolerance)
    with jax.enable_x64(True):
        return _finite(*_integrated(integrand, covariance, orders))


@dataclass(frozen=True)
class _Integrand:
    """What is integrated, and how well."""

    activation: Elementwise
    homogeneity: int | None
    tolerance: float

    def target(self, rank: int) -> float:
        """Relative error at which refinement stops."""
        return max(_TARGETS[rank], self.tolerance)


def _check(orders: Sequence[int]) -> None:
    """Refuse orders that are none."""
    for order in orders:
        if order < 2 or order % 2:
            raise SpecError(f"order {order!r} is not an even number ≥ 2")


def _finite(
    moments: Moments, errors: dict[int, Packed]
) -> tuple[Moments, dict[int, Packed]]:
    """The same, refused where it overflowed."""
    for order, values in moments.items():
        if not np.isfinite(values + errors[order]).all():
            raise UnavailableError(
                f"moments of order {order} of the neuron are not finite in float64; "
                "use smaller inputs or weights"
            )
    return moments, errors


def preactivation_covariance(
    covariance: Callable[[jax.Array, jax.Array], jax.Array], x: Points
) -> Matrix:
    """Covariance s(x, x') of a neuron or first layer at all inputs, (point, point).

    Raises:
        PluginError: It is not finite and real, or a variance is negative.
    """
    with jax.enable_x64(True):
        points = jnp.asarray(x, dtype=jnp.float64)
        rows = jax.vmap(jax.vmap(covariance, (None, 0)), (0, None))
        s = returned_numbers(
            "the neuron's `covariance`, for each pair of inputs,",
            rows(points, points),
            (len(x), len(x)),
        )
    if not np.isfinite(s).all() or (np.diagonal(s) < 0).any():
        raise PluginError(
            "the neuron's `covariance` gives values that are not finite, or negative "
            f"variances, at the inputs {x.tolist()}"
        )
    return s


def _closed_form(
    product_mean: Callable[[jax.Array], jax.Array], s: Matrix, orders: Sequence[int]
) -> Moments:
    """The moments from the neuron's own formula."""
    moments = {}
    for order in orders:
        legs = entries(len(s), order)
        blocks = jnp.asarray(s[legs[:, :, None], legs[:, None, :]])
        moments[order] = returned_numbers(
            "the neuron's `product_mean`, for each entry,",
            jax.vmap(product_mean)(blocks),
            (len(legs),),
        )
    return moments


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


def _integrated(
    integrand: _Integrand, s: Matrix, orders: Sequence[int]
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
    # Rounding, at least 1e-15 of s: a step (h = 0) feels its square root, others s.
    slack = dropped**0.5 if integrand.homogeneity == 0 else dropped
    errors = {
        k: (relative[k] + k**2 * slack) * hoelder_bound(moments[k], num_points, k)
        for k in orders
    }
    return moments, errors


def _by_subsets(
    integrand: _Integrand, s: Matrix, orders: Sequence[int]
) -> tuple[Moments, dict[int, Packed]]:
    """Moments from sets of `MAX_RANK` inputs: no entry has more different legs."""
    shapes = {k: num_entries(len(s), k) for k in orders}
    moments = {k: np.zeros(size) for k, size in shapes.items()}
    errors = {k: np.zeros(size) for k, size in shapes.items()}
    for subset in combinations(range(len(s)), MAX_RANK):
        chosen = np.array(subset)
        values, bounds = _integrated(integrand, s[np.ix_(chosen, chosen)], orders)
        for order in orders:
            at = positions(len(s), chosen[entries(MAX_RANK, order)])
            moments[order][at], errors[order][at] = values[order], bounds[order]
    return moments, errors


def _homogeneous(
    integrand: _Integrand, degree: int, s: Matrix, factor: Matrix, orders: Sequence[int]
) -> tuple[Moments, dict[int, float]]:
    """Moments of φ(z) = |z|^h φ(±1): E[ρ^{kh}] times the mean over the unit sphere."""
    rank = factor.shape[1]
    ends = _evaluate(integrand.activation, s)(np.tile([-1.0, 0.0, 1.0], (len(s), 1)))

    def activation(z: np.ndarray) -> np.ndarray:
        at_sign = np.take_along_axis(ends, 1 + np.sign(z).astype(int), axis=1)
        return np.asarray(np.abs(z) ** degree * at_sign)

    cones = simplicial_cones(factor[np.any(factor != 0, axis=1)])
    columns = num_entries(len(s), max(orders) // 2)

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
    integrand: _Integrand, s: Matrix, factor: Matrix, orders: Sequence[int]
) -> tuple[Moments, dict[int, float]]:
    """Moments of a smooth activation on lattices of falling step."""
    rank = factor.shape[1]
    activation = _evaluate(integrand.activation, s)
    target, std = integrand.target(rank), np.sqrt(np.diagonal(s))
    radius, outside = enclosing_radius(activation, std, rank, orders, target / 10)
    ball = np.pi ** (rank / 2) / scipy.special.gamma(rank / 2 + 1) * radius**rank
    columns = num_entries(len(s), max(orders) // 2)
    even = has_parity(activation, std)

    def levels() -> Iterator[Moments]:
        for level in range(30):
            step = 0.8 / 2 ** (level / 4)
            size = (1 if even else 2) * ball / step**rank
            if level > 2 and _work(size, columns) > _BUDGET:
                return
            rule = ball_lattice(rank, step, radius, even=even)
            yield means_over_nodes(activation, factor, rule, orders)

    moments, relative = _refine(levels(), len(s), target)
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
            bound = hoelder_bound(values, num_points, order)
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
