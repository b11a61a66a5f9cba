"""Means of products of one activation at two Gaussians: the step of a kernel recursion.

In: an `Activation` and the variances and the covariance of two centred Gaussians u and
v. Out: E[φ(u) φ(v)] (the dual activation), E[φ(z)²], their errors, and
E[φ'(u) φ'(v)]. Everything is
elementwise over arrays that broadcast, and for JAX to trace, map and differentiate;
`jax.enable_x64(True)` makes it double precision. What depends on one variance alone is
computed in that variance's own shape: pass (n, 1) and (1, m), or use nested `vmap`.

The method follows from the activation: its own closed form, else the angular integral
of a homogeneous one, else, by what `structure` finds of the function and by the kinks
that are declared, panels cut at its kinks and its features, or the Hermite series.
"""

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
from jaxtyping import ArrayLike

from nnft_ppl.activations import hermite, homogeneous, panels
from nnft_ppl.activations.activation import Activation
from nnft_ppl.activations.structure import Structure, structure


def mean_product(
    activation: Activation,
    variance_u: ArrayLike,
    variance_v: ArrayLike,
    covariance: ArrayLike,
) -> jax.Array:
    """E[φ(u) φ(v)] of two centred Gaussians.

    Twice differentiable where |covariance| < √(variance_u variance_v), and of finite
    first derivatives where equality holds.

    Args:
        activation: φ.
        variance_u: q_u = E[u²] ≥ 0.
        variance_v: q_v = E[v²] ≥ 0.
        covariance: c = E[u v], |c| ≤ √(q_u q_v) but for rounding.

    Returns:
        Of the shape that the three broadcast to.
    """
    q_u, q_v, c = _aligned(variance_u, variance_v, covariance)
    if activation.dual is not None:
        return activation.dual(q_u, q_v, c)
    if activation.homogeneity is not None:
        return homogeneous.mean_product(
            activation.function, activation.homogeneity, q_u, q_v, c
        )
    found = structure(activation.function, activation.kinks)
    if found.needs_panels:
        return _over_panels(activation, found, q_u, q_v, c, panels.NODES)
    return hermite.mean_product(activation.function, q_u, q_v, _rho(q_u, q_v, c))


def mean_square(activation: Activation, variance: ArrayLike) -> jax.Array:
    """E[φ(z)²] of one centred Gaussian: `mean_product` where u = v.

    Args:
        activation: φ.
        variance: q = E[z²] ≥ 0.

    Returns:
        Of the shape of `variance`, twice differentiable for q > 0.
    """
    (q,) = _aligned(variance)
    if activation.dual is not None:
        return activation.dual(q, q, q)
    if activation.homogeneity is not None:
        return homogeneous.mean_square(activation.function, activation.homogeneity, q)
    found = structure(activation.function, activation.kinks)
    if found.needs_panels:
        return _square_over_panels(activation, found, q, panels.NODES)
    return hermite.mean_square(activation.function, q)


def mean_slope_product(
    activation: Activation,
    variance_u: ArrayLike,
    variance_v: ArrayLike,
    covariance: ArrayLike,
) -> jax.Array:
    """E[φ'(u) φ'(v)] of two centred Gaussians: the step of a tangent kernel.

    By Price's theorem it is the slope of `mean_product` in the covariance, where φ does
    not jump. Jumps count for nothing, as for automatic differentiation.

    Args:
        activation: φ.
        variance_u: q_u = E[u²] ≥ 0.
        variance_v: q_v = E[v²] ≥ 0.
        covariance: c = E[u v], |c| ≤ √(q_u q_v) but for rounding.

    Returns:
        Of the shape that the three broadcast to.

    Source: Price, Trans. IRE IT-4 (1958) 69.
    """
    q_u, q_v, c = _aligned(variance_u, variance_v, covariance)
    slope, degree = _slope_of(activation.function), activation.homogeneity
    if degree == 0:
        return jnp.zeros(jnp.broadcast_shapes(q_u.shape, q_v.shape, c.shape), c.dtype)
    if degree is not None:
        return homogeneous.mean_product(slope, degree - 1, q_u, q_v, c)
    if activation.dual is not None:
        dual, by_c = activation.dual, jnp.ones_like(c)
        slopes: jax.Array = jax.jvp(lambda c: dual(q_u, q_v, c), (c,), (by_c,))[1]
        return slopes
    own = Activation(name=activation.name, function=slope, kinks=activation.kinks)
    return mean_product(own, q_u, q_v, c)


@lru_cache(maxsize=64)  # one function, whose structure is found once
def _slope_of(
    function: Callable[[jax.Array], jax.Array],
) -> Callable[[jax.Array], jax.Array]:
    """φ', elementwise."""
    return lambda z: jax.jvp(function, (z,), (jnp.ones_like(z),))[1]


def mean_product_error(
    activation: Activation,
    variance_u: ArrayLike,
    variance_v: ArrayLike,
    covariance: ArrayLike,
) -> jax.Array:
    """Bound on the absolute error of `mean_product`.

    The remainder of the series is bounded; the error of the quadrature is taken from a
    rule of fewer nodes, with a margin, and arguments between which φ varies faster than
    the nodes follow count in full. It is 0 for a closed form, whose rounding is not
    counted, and infinite where it cannot be told.
    """
    q_u, q_v, c = _aligned(variance_u, variance_v, covariance)
    if _is_closed(activation):
        return jnp.zeros(jnp.broadcast_shapes(q_u.shape, q_v.shape, c.shape), c.dtype)
    found = structure(activation.function, activation.kinks)
    if found.needs_panels:
        more, fewer = (
            _over_panels(activation, found, q_u, q_v, c, nodes)
            for nodes in (panels.NODES, panels.FEWER_NODES)
        )
        size = jnp.sqrt(
            _square_over_panels(activation, found, q_u, panels.NODES)
            * _square_over_panels(activation, found, q_v, panels.NODES)
        )
        error = panels.error(more, fewer, size)
    else:
        error = hermite.mean_product_error(
            activation.function, found.width_at, q_u, q_v, _rho(q_u, q_v, c)
        )
    return jnp.where(jnp.isnan(error), jnp.inf, error)


def mean_square_error(activation: Activation, variance: ArrayLike) -> jax.Array:
    """Absolute error of `mean_square`, as `mean_product_error` has it."""
    (q,) = _aligned(variance)
    if _is_closed(activation):
        return jnp.zeros_like(q)
    found = structure(activation.function, activation.kinks)
    if found.needs_panels:
        more, fewer = (
            _square_over_panels(activation, found, q, nodes)
            for nodes in (panels.NODES, panels.FEWER_NODES)
        )
        error = panels.error(more, fewer, more)
    else:
        error = hermite.mean_square_error(activation.function, found.width_at, q)
    return jnp.where(jnp.isnan(error), jnp.inf, error)


def share_left_out(activation: Activation, variance: ArrayLike) -> jax.Array:
    """Share of E[φ(z)²] that the Hermite series of φ does not hold.

    0.01 to 0.03 for a jump, and for a slope as steep as one at this variance; some 10⁻⁵
    for a kink.

    Returns:
        Of the shape of `variance`.
    """
    (q,) = _aligned(variance)
    return hermite.share_left_out(activation.function, q)


def _rho(q_u: jax.Array, q_v: jax.Array, c: jax.Array) -> jax.Array:
    """The correlation of u and v, 0 where one of them is 0."""
    return c / (hermite.root(q_u) * hermite.root(q_v))


def _over_panels(
    activation: Activation,
    found: Structure,
    q_u: jax.Array,
    q_v: jax.Array,
    c: jax.Array,
    nodes: int,
) -> jax.Array:
    """E[φ(u) φ(v)] on panels cut at the kinks."""
    r_u, r_v = _root(q_u), _root(q_v)
    zero = r_u * r_v == 0
    return panels.mean_product(
        activation.function,
        found.kinks,
        found.ends,
        r_u,
        r_v,
        c * jnp.where(zero, 0.0, 1 / jnp.where(zero, 1.0, r_u * r_v)),
        nodes,
    )


def _square_over_panels(
    activation: Activation, found: Structure, q: jax.Array, nodes: int
) -> jax.Array:
    """E[φ(z)²] likewise."""
    return panels.mean_square(
        activation.function, found.kinks, found.ends, _root(q), nodes
    )


def _root(q: jax.Array) -> jax.Array:
    """√q, of slope 0 at 0: `hermite.root` would show beside a kink at 0."""
    return jnp.where(q > 0, jnp.sqrt(jnp.where(q > 0, q, 1.0)), 0.0)


def _is_closed(activation: Activation) -> bool:
    """Whether nothing but rounding is left out."""
    return activation.dual is not None or activation.homogeneity is not None


def _aligned(*arrays: ArrayLike) -> tuple[jax.Array, ...]:
    """The arrays in one floating type and rank; a silent change of rank may raise."""
    dtype = jnp.result_type(float, *arrays)
    given = [jnp.asarray(array, dtype) for array in arrays]
    rank = max(array.ndim for array in given)
    return tuple(
        array.reshape((1,) * (rank - array.ndim) + array.shape) for array in given
    )
