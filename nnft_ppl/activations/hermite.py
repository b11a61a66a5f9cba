r"""E[φ(u) φ(v)] of a smooth φ by its Hermite series.

In: an elementwise function, the variances q_u and q_v and the covariance c of two
centred Gaussians. Out: with r = √q, g a standard normal number and h_n the orthonormal
Hermite polynomials,

.. math:: E[φ(u) φ(v)] = Σ_n a_n(q_u) a_n(q_v) ρ^n, \quad a_n(q) = E[φ(r g) h_n(g)].

The coefficients know one variance each, so that in a table over pairs of inputs they
are computed once for an input, and a pair costs one polynomial in ρ. What is left out
is bounded by Parseval's identity: |ρ|^{T+1} √(R_u R_v), R = E[φ²] − Σ_{n≤T} a_n²; and
at ρ = ±1 it is known, since E[φ(r_u g) φ(±r_v g)] is one integral.

Source: Mehler's formula; Daniely, Frostig, Singer, arXiv:1602.05897 §4 (dual
activations).
"""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

type Function = Callable[[jax.Array], jax.Array]
type WidthAt = Callable[[jax.Array], jax.Array]
"""Arguments -> the width of the finest feature at arguments of their size."""

_DEGREE = 641
"""A pole of φ at z = ±ip leaves exp(−2p√(T/q)) at ρ = 1: with p = π/2 below 1e-10 up to
q = 10."""
_REACH = 13.0
"""Beyond it the weight of every term, exp(−g²/4), is below 1e-18."""
_STEP = 0.05
_GRADING = 0.2
_SMALLEST = 1e-11
"""Steps are at most _STEP, and at most _GRADING |g| down to the smallest |g|: what φ
does about 0 is resolved however large its argument is."""
_SAFETY = 2.0
"""Factor on the change when every other node is left out."""
_FINE = 0.5
"""Steps at most, in units of a feature: two nodes a period of an oscillation."""
_PARALLEL = 64
"""Multiples of rounding below which 1 − |ρ| is taken for 0."""


def _grade(g: np.ndarray) -> np.ndarray:
    """Number of steps from 0 to g."""
    return np.asarray(g / _STEP + np.arcsinh(g / _SMALLEST) / _GRADING)


@cache
def _mesh() -> tuple[np.ndarray, np.ndarray]:
    """Nodes g of a trapezoidal rule in graded steps, and the steps there, (node,).

    Every other node is a rule too.
    """
    half = int(_grade(np.array(_REACH)))
    half += half % 2
    number = np.arange(1, half + 1)
    low, high = np.zeros(half), np.full(half, 2 * _REACH)
    for _ in range(120):  # bisection: to the last digit of the smallest
        middle = np.where(low > 0, np.sqrt(low * high), high / 2**20)
        below = _grade(middle) < number
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    nodes = np.concatenate([-high[::-1], [0.0], high])
    steps = 1 / (1 / _STEP + 1 / (_GRADING * np.hypot(nodes, _SMALLEST)))
    return nodes, steps


def _nodes() -> np.ndarray:
    """(node,) g."""
    return _mesh()[0]


@cache
def _weights() -> np.ndarray:
    """(node,) of a Gaussian mean."""
    nodes, steps = _mesh()
    weights: np.ndarray = steps * np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)
    return weights


@cache
def _projections() -> np.ndarray:
    """Weights of the coefficients a_n, (node ≥ 0, degree).

    Of the even part of φ for even n, of its odd part for odd n.
    """
    nodes, steps = (part[len(part) // 2 :] for part in _mesh())
    # h_n exp(−g²/4) by its recurrence: h_n alone would overflow.
    columns = [np.exp(-(nodes**2) / 4), nodes * np.exp(-(nodes**2) / 4)]
    for n in range(1, _DEGREE):
        columns.append(
            (nodes * columns[n] - np.sqrt(n) * columns[n - 1]) / np.sqrt(n + 1)
        )
    weights = 2 * steps * np.exp(-(nodes**2) / 4) / np.sqrt(2 * np.pi)
    weights[0] /= 2
    return np.asarray(weights[:, None] * np.stack(columns, axis=1))


def root(variance: jax.Array) -> jax.Array:
    """√q, and at q = 0 that of rounding, so that the slope is finite."""
    least = 64 * np.finfo(variance.dtype).eps
    return jnp.sqrt(jnp.where(variance > 0, variance, variance + least))


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


def _parts(values: jax.Array, stride: int) -> tuple[jax.Array, jax.Array]:
    """Even and odd part of φ at the nodes g ≥ 0, with one node in `stride`."""
    half = values.shape[-1] // 2
    right, left = values[..., half::stride], values[..., half::-stride]
    return (right + left) / 2, (right - left) / 2


def _coefficients(values: jax.Array, stride: int = 1) -> jax.Array:
    """a_n from φ at the nodes, (..., degree)."""
    table = jnp.asarray(stride * _projections()[::stride], values.dtype)
    parts = [
        jnp.matmul(part, table[:, parity::2], precision="highest")
        for parity, part in enumerate(_parts(values, stride))
    ]
    return jnp.stack(parts, axis=-1).reshape(*values.shape[:-1], _DEGREE + 1)


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


def mean_square_error(
    function: Function, width_at: WidthAt, variance: jax.Array
) -> jax.Array:
    """How much E[φ(z)²] changes when every other node is left out, with a margin.

    To which comes twice the share of arguments that the nodes do not resolve.
    """
    squares = _values(function, variance) ** 2
    change = jnp.abs(_mean(squares) - _mean(squares, stride=2))
    missed = _unresolved(width_at, variance, squares)
    return _SAFETY * change + 2 * missed + _rounding(_mean(squares))


def mean_product(
    function: Function, variance_u: jax.Array, variance_v: jax.Array, rho: jax.Array
) -> jax.Array:
    """E[φ(u) φ(v)]; the arguments are of one rank."""
    u, v = _values(function, variance_u), _values(function, variance_v)
    a, b = _coefficients(u), _coefficients(v)
    series = _series(a, b, rho)
    parallel = _at_parallel(u, v, rho, stride=1)
    # Slopes are those of the series: they are finite at ρ = ±1.
    left = jnp.where(is_parallel(rho), parallel - series, 0.0)
    return series + jax.lax.stop_gradient(left)


def mean_product_error(
    function: Function,
    width_at: WidthAt,
    variance_u: jax.Array,
    variance_v: jax.Array,
    rho: jax.Array,
) -> jax.Array:
    """The remainder, the quadrature's error and what the nodes do not resolve, bounded.

    That of the quadrature is the change when every other node is left out, with a
    margin.
    """
    u, v = _values(function, variance_u), _values(function, variance_v)
    a, b = _coefficients(u), _coefficients(v)
    # Coefficient by coefficient: sums over a coarse rule may be right by accident.
    changed_u = jnp.abs(a - _coefficients(u, stride=2))
    changed_v = jnp.abs(b - _coefficients(v, stride=2))
    changed = _series(changed_u, jnp.abs(b), jnp.abs(rho))
    changed += _series(jnp.abs(a), changed_v, jnp.abs(rho))
    square_u, square_v = _mean(u**2), _mean(v**2)
    left_u = jnp.maximum(square_u - jnp.sum(a**2, axis=-1), 0.0)
    left_v = jnp.maximum(square_v - jnp.sum(b**2, axis=-1), 0.0)
    remainder = jnp.abs(rho) ** (_DEGREE + 1) * jnp.sqrt(left_u * left_v)
    fine, coarse = (_at_parallel(u, v, rho, stride) for stride in (1, 2))
    missed_u = _unresolved(width_at, variance_u, u**2)
    missed_v = _unresolved(width_at, variance_v, v**2)
    missed = jnp.sqrt(missed_u * square_v) + jnp.sqrt(square_u * missed_v)
    size = jnp.sqrt(square_u * square_v)
    own = jnp.where(
        is_parallel(rho),
        _SAFETY * jnp.abs(fine - coarse),
        _SAFETY * changed + remainder,
    )
    return own + 2 * missed + _rounding(size)


def share_left_out(function: Function, variance: jax.Array) -> jax.Array:
    """R/E[φ²]: what the series does not hold of E[φ(z)²], of the shape of q."""
    values = _values(function, variance)
    square = _mean(values**2)
    left = square - jnp.sum(_coefficients(values) ** 2, axis=-1)
    return jnp.maximum(left, 0.0) / jnp.maximum(square, np.finfo(square.dtype).tiny)


def _rounding(size: jax.Array) -> jax.Array:
    """That of a mean of this size."""
    rounding: jax.Array = 1e3 * np.finfo(size.dtype).eps * size
    return rounding


def is_parallel(rho: jax.Array) -> jax.Array:
    """Whether |ρ| is 1 but for rounding."""
    parallel: jax.Array = 1 - jnp.abs(rho) <= _PARALLEL * np.finfo(rho.dtype).eps
    return parallel


def _dot(one: jax.Array, other: jax.Array) -> jax.Array:
    """Over the last axis; a product of matrices where vmap makes a table of it."""
    return jnp.einsum("...k,...k->...", one, other, precision="highest")


def _at_parallel(u: jax.Array, v: jax.Array, rho: jax.Array, stride: int) -> jax.Array:
    """E[φ(r_u g) φ(±r_v g)] with the sign of ρ."""
    half = u.shape[-1] // 2
    weights = 2 * stride * _weights()[half::stride]
    weights[0] /= 2
    row = jnp.asarray(weights, u.dtype).reshape((1,) * (u.ndim - 1) + (-1,))
    even, odd = (
        _dot(one * row, other)
        for one, other in zip(_parts(u, stride), _parts(v, stride), strict=True)
    )
    return even + jnp.where(rho < 0, -odd, odd)


def _unresolved(
    width_at: WidthAt, variance: jax.Array, squares: jax.Array
) -> jax.Array:
    """Share of E[φ²] from arguments between which φ has features that nodes miss."""
    scale = jnp.expand_dims(root(variance), -1)
    shape = (1,) * variance.ndim + (-1,)
    nodes, steps = (jnp.asarray(part, scale.dtype).reshape(shape) for part in _mesh())
    missed = scale * steps > _FINE * width_at(scale * nodes)
    return _mean(jnp.where(missed, squares, 0.0))
