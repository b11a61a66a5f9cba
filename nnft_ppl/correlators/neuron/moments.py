"""Expectations over one hidden neuron of all products of its activations.

In: a `Neuron` and inputs, or an activation and the covariance of its arguments. Out:
E[φ(x_a)…φ(x_k)] for every unique set of legs, with an estimate of the absolute error.
The caller need not know how: a closed form where the neuron has one, else quadrature.
All arithmetic is float64.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._arrays import returned_numbers
from nnft_ppl._errors import PluginError, SpecError, UnavailableError
from nnft_ppl._host import on_host
from nnft_ppl._typing import Matrix, Packed, Points
from nnft_ppl.architecture import Neuron
from nnft_ppl.correlators.neuron.node_products import Moments
from nnft_ppl.correlators.neuron.quadrature import (
    Elementwise,
    Integrand,
    integrated,
)
from nnft_ppl.correlators.symmetric import entries


def neuron_moments(
    neuron: Neuron, x: Points, orders: Sequence[int]
) -> tuple[dict[int, Packed], dict[int, Packed]]:
    r"""E[φ(x_1)…φ(x_k)] over one hidden neuron, for all C(n+k−1, k) sets of legs.

    .. math:: E_{a_1 \dots a_k} = \langle \phi(z_{a_1}) \cdots \phi(z_{a_k}) \rangle,
        \quad z \sim N(0, s)

    Args:
        neuron: The hidden neuron.
        x: Inputs, (point, dim).
        orders: Numbers k; beside an odd one the even one above it.

    Returns:
        By order, the packed moments and their absolute errors, float64, (entry,). The
        error is an estimated bound, not a standard deviation. It is ε_k times the
        Hölder bound Π_i E[φ_i^k]^{1/k} of the entry, with ε_k one number an order:
        the error estimated from the largest changes in the last refinements, the part
        outside the region of integration, and rounding.

    Raises:
        SpecError: An order is not positive, or an odd one without the even one above.
        UnavailableError: The neuron has no closed form and products of as many
            activations depend on more than `quadrature.MAX_RANK` independent
            preactivations; or a moment is infinite or not a finite number.
        PluginError: The neuron's covariance is not a finite positive matrix.

    Source: theory.md §2.
    """
    _check(orders)
    s = preactivation_covariance(neuron.covariance, x)
    product_mean = neuron.product_mean
    if any(k % 2 for k in orders) and not neuron.odd_product_means:
        product_mean = None
        if neuron.activation is None:
            raise UnavailableError(
                "the neuron gives products of an even number of features alone, by "
                "`product_mean`, and no activation, so that odd correlators have no "
                "exact form here; use measure_correlators, or say "
                "`odd_product_means=True` where it holds for odd numbers, too"
            )
    if product_mean is None:
        assert neuron.activation is not None  # as `Neuron` ensures
        return gaussian_moments(s, neuron.activation, neuron.homogeneity, orders)
    with on_host(), jax.enable_x64(True):
        moments = _closed_form(product_mean, s, orders)
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
        orders: As `neuron_moments`.
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
    integrand = Integrand(activation, homogeneity, tolerance)
    with on_host(), jax.enable_x64(True):
        return _finite(*integrated(integrand, covariance, orders))


def _check(orders: Sequence[int]) -> None:
    """Refuse orders that are none."""
    for order in orders:
        if order < 1 or (order % 2 and order + 1 not in orders):
            raise SpecError(
                f"order {order!r} is not an even number ≥ 2, or an odd one beside the "
                "even one above it"
            )


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
    with on_host(), jax.enable_x64(True):
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
