r"""E[φ(u) φ(v)] of φ(c z) = c^h φ(z), c > 0, whose only kink is at 0.

In: the function, its degree h, variances and covariance of two centred Gaussians. Out:
in polar coordinates the radius is done exactly and, with γ the angle between u and v,

.. math:: E[φ(u) φ(v)] = (q_u q_v)^{h/2} \frac{2^h h!}{2π}
    [(φ_+² + φ_-²) J(γ) + 2 φ_+ φ_- J(π − γ)], \quad
    J(γ) = ∫_{γ-π/2}^{π/2} (\cos θ \cos(θ − γ))^h dθ,

φ_± = φ(±1): a trigonometric polynomial, for which Gauss's rule is exact to rounding.

Source: Cho and Saul (2009), arc-cosine kernels, for the rectified power.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

type Function = Callable[[jax.Array], jax.Array]

_NODES = 32
_PARALLEL = 64
"""Multiples of rounding below which 1 − ρ² is taken for 0."""


def _sides(function: Function, dtype: jnp.dtype) -> tuple[jax.Array, jax.Array]:
    """φ(1) and φ(−1)."""
    return function(jnp.ones((), dtype)), function(-jnp.ones((), dtype))


def _overlap(gamma: jax.Array, degree: int) -> jax.Array:
    """J(γ), of the shape of γ."""
    if degree == 0:
        return jnp.pi - gamma
    points, weights = np.polynomial.legendre.leggauss(_NODES)
    nodes = jnp.asarray(points, gamma.dtype).reshape((1,) * gamma.ndim + (-1,))
    gamma = jnp.expand_dims(gamma, -1)
    half = (jnp.pi - gamma) / 2
    theta = gamma / 2 + half * nodes
    values = half * (jnp.cos(theta) * jnp.cos(theta - gamma)) ** degree
    return jnp.matmul(values, jnp.asarray(weights, gamma.dtype), precision="highest")


def mean_square(function: Function, degree: int, variance: jax.Array) -> jax.Array:
    """E[φ(z)²] = q^h (2h − 1)!! (φ_+² + φ_-²)/2."""
    plus, minus = _sides(function, variance.dtype)
    moment = math.prod(range(2 * degree - 1, 0, -2))
    return variance**degree * moment * (plus**2 + minus**2) / 2


def mean_product(
    function: Function,
    degree: int,
    variance_u: jax.Array,
    variance_v: jax.Array,
    covariance: jax.Array,
) -> jax.Array:
    """E[φ(u) φ(v)]; the arguments are of one rank."""
    plus, minus = _sides(function, variance_u.dtype)
    product: jax.Array = _mean_product(
        degree, plus, minus, variance_u, variance_v, covariance
    )
    return product


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _mean_product(
    degree: int,
    plus: jax.Array,
    minus: jax.Array,
    variance_u: jax.Array,
    variance_v: jax.Array,
    covariance: jax.Array,
) -> jax.Array:
    product, sine = _sine(variance_u, variance_v, covariance)
    zero = product == 0
    gamma = jnp.arctan2(sine, jnp.where(zero, 1.0, covariance))
    scale = jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, product)))
    angular = (plus**2 + minus**2) * _overlap(gamma, degree) + (
        2 * plus * minus
    ) * _overlap(jnp.pi - gamma, degree)
    radial = 2**degree * math.factorial(degree) / (2 * np.pi)
    product_mean: jax.Array = radial * scale**degree * angular
    return product_mean


@_mean_product.defjvp
def _mean_product_jvp(
    degree: int, primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]
) -> tuple[jax.Array, jax.Array]:
    """Price's theorem, ∂K/∂c = E[φ'(u) φ'(v)], and 2 q ∂K/∂q + c ∂K/∂c = h K.

    Autodiff of the angle would divide 0 by 0 where u ∥ v.
    """
    plus, minus, q_u, q_v, c = primals
    value = _mean_product(degree, plus, minus, q_u, q_v, c)
    if degree > 0:
        by_c = _mean_product(degree - 1, degree * plus, -degree * minus, q_u, q_v, c)
    else:  # the density of u = v = 0, and 0 where there is none
        _, sine = _sine(q_u, q_v, c)
        density = jnp.where(sine == 0, 0.0, 1 / jnp.where(sine == 0, 1.0, sine))
        by_c = (plus - minus) ** 2 * density / (2 * jnp.pi)

    def by_variance(q: jax.Array) -> jax.Array:
        slope = (degree * value - c * by_c) / (2 * jnp.where(q == 0, 1.0, q))
        return jnp.where(q == 0, 0.0, slope)

    _, _, dot_u, dot_v, dot_c = tangents
    return value, by_variance(q_u) * dot_u + by_variance(q_v) * dot_v + by_c * dot_c


def _sine(
    variance_u: jax.Array, variance_v: jax.Array, covariance: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """q_u q_v, and √(q_u q_v) sin γ, which is 0 where u ∥ v but for rounding."""
    product = variance_u * variance_v
    squared = product - covariance**2
    parallel = squared <= _PARALLEL * np.finfo(product.dtype).eps * product
    return product, jnp.where(
        parallel, 0.0, jnp.sqrt(jnp.where(parallel, 1.0, squared))
    )
