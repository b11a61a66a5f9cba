r"""E[φ(u) φ(v)] of a smooth φ by its Hermite series.

In: an elementwise function, the variances q_u and q_v and the covariance c of two
centred Gaussians. Out: with r = √q, g a standard normal number and h_n the orthonormal
Hermite polynomials,

.. math:: E[φ(u) φ(v)] = Σ_n a_n(q_u) a_n(q_v) ρ^n, \quad a_n(q) = E[φ(r g) h_n(g)].

The coefficients know one variance each, so that in a table over pairs of inputs they
are computed once for an input, and a pair costs one polynomial in ρ. What is left out
is bounded by Parseval's identity: |ρ|^{T+1} √(R_u R_v), R = E[φ²] − Σ_{n≤T} a_n².

Source: Mehler's formula; Daniely, Frostig, Singer, arXiv:1602.05897 §4 (dual
activations).
"""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

type Function = Callable[[jax.Array], jax.Array]

_DEGREE = 640
_STEP = 0.05
_REACH = 13.0
"""Poles of φ at z = ±ip limit both: at ρ = 1 the remainder falls as exp(−2p√(T/q)), the
error of the sum as exp(−2πp/(step·r)). With p = π/2 both are below 1e-10 up to q = 10.
Beyond the reach the weight of every term, exp(−g²/4), is below 1e-18."""


@cache
def _nodes() -> np.ndarray:
    """Nodes g of the trapezoidal rule, (node,); every other one is a rule too."""
    half = round(_REACH / _STEP)
    half += half % 2
    return _STEP * np.arange(-half, half + 1)


@cache
def _weights() -> np.ndarray:
    """(node,) of a Gaussian mean."""
    weights: np.ndarray = _STEP * np.exp(-(_nodes() ** 2) / 2) / np.sqrt(2 * np.pi)
    return weights


@cache
def _projections() -> np.ndarray:
    """Weights of the coefficients a_n, (node, degree)."""
    nodes = _nodes()
    # h_n exp(−g²/4) by its recurrence: h_n alone would overflow.
    columns = [np.exp(-(nodes**2) / 4), nodes * np.exp(-(nodes**2) / 4)]
    for n in range(1, _DEGREE):
        columns.append(
            (nodes * columns[n] - np.sqrt(n) * columns[n - 1]) / np.sqrt(n + 1)
        )
    weights = _STEP * np.exp(-(nodes**2) / 4) / np.sqrt(2 * np.pi)
    return np.asarray(weights[:, None] * np.stack(columns, axis=1))


def root(variance: jax.Array) -> jax.Array:
    """√(q + ε): the mean at variances that differ by rounding, of finite slope at 0."""
    return jnp.sqrt(variance + 64 * np.finfo(variance.dtype).eps)


def _values(function: Function, variance: jax.Array) -> jax.Array:
    """φ at the nodes, (..., node)."""
    nodes = jnp.asarray(_nodes(), variance.dtype)
    return function(
        jnp.expand_dims(root(variance), -1)
        * nodes.reshape((1,) * variance.ndim + (-1,))
    )


def _mean(values: jax.Array, stride: int = 1) -> jax.Array:
    """Mean over the nodes, with one node in `stride`."""
    weights = jnp.asarray(stride * _weights()[::stride], values.dtype)
    return jnp.matmul(values[..., ::stride], weights, precision="highest")


def _coefficients(values: jax.Array, stride: int = 1) -> jax.Array:
    """a_n from φ at the nodes, (..., degree)."""
    table = jnp.asarray(stride * _projections()[::stride], values.dtype)
    return jnp.matmul(values[..., ::stride], table, precision="highest")


def _series(a: jax.Array, b: jax.Array, rho: jax.Array) -> jax.Array:
    """Σ_n a_n b_n ρ^n by Horner's rule; the degree is the last axis of a and b."""

    def step(
        total: jax.Array, terms: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, None]:
        return total * rho + terms[0] * terms[1], None

    degrees = jnp.moveaxis(a, -1, 0), jnp.moveaxis(b, -1, 0)
    shape = jnp.broadcast_shapes(a.shape[:-1], b.shape[:-1], rho.shape)
    total, _ = jax.lax.scan(
        step, jnp.zeros(shape, rho.dtype), degrees, reverse=True, unroll=16
    )
    return total


def mean_square(function: Function, variance: jax.Array) -> jax.Array:
    """E[φ(z)²]."""
    return _mean(_values(function, variance) ** 2)


def mean_square_error(function: Function, variance: jax.Array) -> jax.Array:
    """How much E[φ(z)²] changes when every other node is left out."""
    squares = _values(function, variance) ** 2
    return jnp.abs(_mean(squares) - _mean(squares, stride=2))


def mean_product(
    function: Function, variance_u: jax.Array, variance_v: jax.Array, rho: jax.Array
) -> jax.Array:
    """E[φ(u) φ(v)]; the arguments are of one rank."""
    a = _coefficients(_values(function, variance_u))
    b = _coefficients(_values(function, variance_v))
    return _series(a, b, rho)


def mean_product_error(
    function: Function, variance_u: jax.Array, variance_v: jax.Array, rho: jax.Array
) -> jax.Array:
    """The bound of the remainder, plus the change when every other node is left out."""
    u, v = _values(function, variance_u), _values(function, variance_v)
    a, b = _coefficients(u), _coefficients(v)
    # Coefficient by coefficient: sums over a coarse rule may be right by accident.
    changed_u = jnp.abs(a - _coefficients(u, stride=2))
    changed_v = jnp.abs(b - _coefficients(v, stride=2))
    changed = _series(changed_u, jnp.abs(b), jnp.abs(rho))
    changed += _series(jnp.abs(a), changed_v, jnp.abs(rho))
    left_u = jnp.maximum(_mean(u**2) - jnp.sum(a**2, axis=-1), 0.0)
    left_v = jnp.maximum(_mean(v**2) - jnp.sum(b**2, axis=-1), 0.0)
    remainder = jnp.abs(rho) ** (_DEGREE + 1) * jnp.sqrt(left_u * left_v)
    return changed + remainder
