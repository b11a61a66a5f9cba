"""E[φ(u) φ(v)] of an activation with kinks, by Gauss's rule on panels cut at them.

In: an elementwise function, where its kinks k are, the deviations r = √q and the
correlation ρ of two centred Gaussians. Out: with s and t independent and standard
normal,

    u = r_u (a s + b t),  v = r_v (a s − b t),  a = √((1 + ρ)/2),  b = √((1 − ρ)/2).

For each s the integral over t is cut where u or v meets a kink. What remains is smooth
in s but where two cuts cross, and steep within some b/a of s = k/(a r): cut there too.
Nothing is lost at |ρ| = 1. Some 10⁴ values a pair of kinks, and not in one array.
Where φ is smooth but steep for a Gaussian of this size, further ends of panels say so.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl.activations.hermite import is_parallel

type Function = Callable[[jax.Array], jax.Array]

NODES, FEWER_NODES = 14, 10
_SAFETY, _ROUNDING = 2.0, 1e3
_BASE = (-9.0, -4.5, 0.0, 4.5, 9.0)
"""Ends of panels in any case: a normal number is beyond with probability 1e-18."""
_STEEP = (-8.0, -3.0, 0.0, 3.0, 8.0)
"""Further ends, in units of b/a, about the place of a kink."""


def mean_square(
    function: Function,
    kinks: tuple[float, ...],
    ends: tuple[float, ...],
    deviation: jax.Array,
    nodes: int,
) -> jax.Array:
    """E[φ(z)²], z of the given standard deviation."""
    places = [k * _inverse(deviation) for k in kinks + ends]
    points, weights = _panels(places, deviation, nodes)
    return jnp.sum(weights * function(deviation[None] * points) ** 2, axis=0)


def mean_product(
    function: Function,
    kinks: tuple[float, ...],
    ends: tuple[float, ...],
    deviation_u: jax.Array,
    deviation_v: jax.Array,
    correlation: jax.Array,
    nodes: int,
) -> jax.Array:
    """E[φ(u) φ(v)]; the arguments are of one rank.

    Panels end at the `ends` too, where φ changes fast, but is smooth.
    """
    r_u, r_v, rho = jnp.broadcast_arrays(deviation_u, deviation_v, correlation)
    # Roots of finite slope at ρ = ±1, where rounding may lead past them.
    tiny = np.finfo(rho.dtype).eps
    a = jnp.sqrt(jnp.maximum((1 + rho) / 2 + 8 * tiny, tiny))
    b = jnp.sqrt(jnp.maximum((1 - rho) / 2 + 8 * tiny, tiny))
    in_u = [k * _inverse(r_u) for k in kinks]
    in_v = [k * _inverse(r_v) for k in kinks]
    outer = [(place + step * b) / a for place in in_u + in_v for step in _STEEP]
    outer += [(place + other) / (2 * a) for place in in_u for other in in_v]
    in_u += [end * _inverse(r_u) for end in ends]
    in_v += [end * _inverse(r_v) for end in ends]
    outer += [place / a for place in in_u[len(kinks) :] + in_v[len(kinks) :]]

    def add(
        total: jax.Array, point: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, None]:
        s, weight = point
        cuts = [(place - a * s) / b for place in in_u]
        cuts += [(a * s - place) / b for place in in_v]
        t, weights = _panels(cuts, s, nodes)
        along, across = (a * s)[None], b[None] * t
        u, v = r_u[None] * (along + across), r_v[None] * (along - across)
        return total + weight * jnp.sum(weights * function(u) * function(v), 0), None

    total, _ = jax.lax.scan(add, jnp.zeros_like(rho), _panels(outer, rho, nodes))
    # Slopes are those of the double integral, which are finite there.
    return jnp.where(
        is_parallel(rho),
        total
        + jax.lax.stop_gradient(
            _parallel(function, in_u, in_v, r_u, r_v, rho, nodes) - total
        ),
        total,
    )


def _parallel(
    function: Function,
    in_u: list[jax.Array],
    in_v: list[jax.Array],
    deviation_u: jax.Array,
    deviation_v: jax.Array,
    correlation: jax.Array,
    nodes: int,
) -> jax.Array:
    """E[φ(r_u g) φ(±r_v g)], cut where either meets a kink; the sign is that of ρ.

    A jump turns the rounding of ρ into its square root in the double integral.
    """
    sign = jnp.where(correlation < 0, -1.0, 1.0)
    points, weights = _panels(in_u + [sign * place for place in in_v], sign, nodes)
    u, v = deviation_u[None] * points, (sign * deviation_v)[None] * points
    return jnp.sum(weights * function(u) * function(v), axis=0)


def error(more: jax.Array, fewer: jax.Array, size: jax.Array) -> jax.Array:
    """Bound on the error of a mean of that size, from rules of more and fewer nodes."""
    rounding = _ROUNDING * np.finfo(size.dtype).eps * size
    bound: jax.Array = _SAFETY * jnp.abs(more - fewer) + rounding
    return bound


def _inverse(deviation: jax.Array) -> jax.Array:
    """1/r, and 1 where r = 0: there φ is one number and no cut is needed."""
    return 1 / jnp.where(deviation == 0, 1.0, deviation)


def _panels(
    ends: list[jax.Array], like: jax.Array, nodes: int
) -> tuple[jax.Array, jax.Array]:
    """Points and weights of a standard normal mean, both (panel · node, ...)."""
    base = [jnp.full_like(like, end) for end in _BASE]
    cut = [jnp.clip(end, _BASE[0], _BASE[-1]) for end in ends]
    edges = jnp.sort(jnp.stack(base + cut), axis=0)
    rule, rule_weights = np.polynomial.legendre.leggauss(nodes)
    column = (1, nodes) + (1,) * like.ndim
    middle, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    points = middle[:, None] + half[:, None] * jnp.asarray(rule, like.dtype).reshape(
        column
    )
    weights = half[:, None] * jnp.asarray(rule_weights, like.dtype).reshape(column)
    weights = weights * jnp.exp(-(points**2) / 2) / np.sqrt(2 * np.pi)
    shape = (-1, *like.shape)
    return points.reshape(shape), weights.reshape(shape)
