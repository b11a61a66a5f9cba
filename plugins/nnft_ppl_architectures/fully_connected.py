"""The kernel of fully connected layers at infinite width, and its error.

From the covariances Kˡ of three pairs of preactivations, (x, x), (y, y) and (x, y),
the next layer's are

    Kˡ⁺¹ = gain (σ_b² + σ_W² E[φ φ']),   E over Gaussians of covariance Kˡ,

with Kˡ added where a layer is added to the one before (`skip`). The output has the
covariance σ_b² + σ_W² E[φ φ'] of the last.
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
