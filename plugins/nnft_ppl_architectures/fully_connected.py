"""Kernel and tangent kernel of fully connected layers at infinite width.

From the covariances Kˡ of three pairs of preactivations, (x, x), (y, y) and (x, y),
the next layer's are

    Kˡ⁺¹ = gain (σ_b² + σ_W² E[φ φ']),   E over Gaussians of covariance Kˡ,

with Kˡ added where a layer is added to the one before (`skip`). The output has the
covariance σ_b² + σ_W² E[φ φ'] of the last.

A change of the covariance of preactivations z(x), z(y) changes that of the next by
gain σ_W² E[φ' φ'] (+ 1 with a skip), which is also what two gradients with respect to z
have in common; so the tangent kernel is a sum over layers of what their weights and
biases add to the covariance, times these factors of all layers above.
"""

from typing import Any

import jax
import jax.numpy as jnp

import nnft_ppl as nnft
from nnft_ppl_architectures.activations import chosen_activation
from nnft_ppl_architectures.carried_errors import product_error, square_error
from nnft_ppl_architectures.layers import input_covariance, layer_covariance

type Arrays = tuple[jax.Array, ...]


def kernel(
    hp: nnft.Hyperparameters,
    x: jax.Array,
    y: jax.Array,
    *,
    num_steps: int,
    skip: bool = False,
    gain: float = 1.0,
) -> jax.Array:
    """K of the output after so many steps from the first layer's s(x, y)."""

    def step(covariances: Arrays, _: None) -> tuple[Arrays, None]:
        return _next(hp, covariances, skip, gain), None

    # A scan compiles one layer, however many there are.
    last, _ = jax.lax.scan(step, _first(hp, x, y), length=num_steps)
    mean = nnft.activations.mean_product(chosen_activation(hp), *last)
    return layer_covariance(hp, mean)


def kernel_error(
    hp: nnft.Hyperparameters,
    x: jax.Array,
    y: jax.Array,
    *,
    num_steps: int,
    skip: bool = False,
    gain: float = 1.0,
) -> jax.Array:
    """The errors of all means, carried to the output to first order."""
    phi = chosen_activation(hp)

    def step(carried: tuple[Arrays, Arrays], _: None) -> tuple[Any, None]:
        covariances, errors = carried
        (xx, yy, _xy), (e_xx, e_yy, _e_xy) = covariances, errors
        grown = (
            square_error(phi, xx, e_xx),
            square_error(phi, yy, e_yy),
            product_error(phi, covariances, errors),
        )
        after = tuple(
            gain * hp.weight_std**2 * new + (old if skip else 0.0)
            for old, new in zip(errors, grown, strict=True)
        )
        return (_next(hp, covariances, skip, gain), after), None

    start = _first(hp, x, y)
    exact = tuple(jnp.zeros_like(value) for value in start)
    last, _ = jax.lax.scan(step, (start, exact), length=num_steps)
    return hp.weight_std**2 * product_error(phi, *last)


def tangent_kernel(
    hp: nnft.Hyperparameters,
    x: jax.Array,
    y: jax.Array,
    *,
    num_steps: int,
    skip: bool = False,
    gain: float = 1.0,
) -> dict[str, jax.Array]:
    """Shares of W0, b0, W1, … in the tangent kernel, each parameter in units of its σ.

    Source: Jacot et al., arXiv:1806.07572 theorem 1; with a skip, derived here.
    """
    phi, duals = chosen_activation(hp), nnft.activations

    def step(covariances: Arrays, _: None) -> tuple[Arrays, Arrays]:
        mean = duals.mean_product(phi, *covariances)
        slope = duals.mean_slope_product(phi, *covariances)
        return _next(hp, covariances, skip, gain), (mean, slope)

    # The last step is the readout's; what would follow it plays no part.
    _, (means, slopes) = jax.lax.scan(step, _first(hp, x, y), length=num_steps + 1)
    products = jnp.vdot(x, y, precision="highest") / hp.input_dim
    means = jnp.concatenate([products.astype(means.dtype)[None], means])
    gains = jnp.asarray([1.0] + num_steps * [gain] + [1.0], means.dtype)
    skips = jnp.asarray(num_steps * [float(skip)] + [0.0], means.dtype)
    factors = skips + gains[1:] * hp.weight_std**2 * slopes
    one = jnp.ones((1,), means.dtype)
    above = jnp.concatenate([jnp.cumprod(factors[::-1])[::-1], one])
    weights = hp.weight_std**2 * gains * means * above
    biases = hp.bias_std**2 * gains * above
    return {f"W{layer}": share for layer, share in enumerate(weights)} | {
        f"b{layer}": share for layer, share in enumerate(biases)
    }


def _first(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> Arrays:
    """s(x, x), s(y, y) and s(x, y), in the precision of the layers above."""
    pairs = ((x, x), (y, y), (x, y))
    return tuple(input_covariance(hp, a, b).astype(float) for a, b in pairs)


def _next(
    hp: nnft.Hyperparameters, covariances: Arrays, skip: bool, gain: float
) -> Arrays:
    """Kˡ⁺¹ from Kˡ."""
    phi, duals = chosen_activation(hp), nnft.activations
    xx, yy, xy = covariances
    means = (
        duals.mean_square(phi, xx),
        duals.mean_square(phi, yy),
        duals.mean_product(phi, xx, yy, xy),
    )
    return tuple(
        gain * layer_covariance(hp, mean) + (old if skip else 0.0)
        for old, mean in zip(covariances, means, strict=True)
    )
