"""`mean_product_error` bounds the error, whatever the function and its scale.

Against closed forms; none of the functions tells the toolkit anything but its values.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nnft_ppl.activations import (
    Activation,
    mean_product,
    mean_product_error,
    mean_square,
    mean_square_error,
)

SCALES = (1e-8, 1e-4, 1e-2, 0.3, 1.0, 2.0, 10.0, 100.0, 255.0, 1e4, 1e9)
CORRELATIONS = (1.0, 0.9999, 0.97, 0.7, 0.0, -0.4, -0.995, -1.0)
SIZES = (0.8, 1.0)


def arguments():
    """Variances and covariance over scales, ratios of the two and correlations."""
    scale, size, rho = (
        a.ravel() for a in np.meshgrid(SCALES, SIZES, CORRELATIONS, indexing="ij")
    )
    q_u, q_v = scale**2, (size * scale) ** 2
    return q_u, q_v, rho, rho * np.sqrt(q_u * q_v)


def sine(rho):
    return np.sqrt((1 - rho) * (1 + rho))


def sign_mean(q_u, q_v, rho):
    return 2 / np.pi * np.arctan2(rho, sine(rho))


def step_mean(q_u, q_v, rho):
    return 0.25 + np.arctan2(rho, sine(rho)) / (2 * np.pi)


def abs_mean(q_u, q_v, rho):
    angle = np.arctan2(rho, sine(rho))
    return np.sqrt(q_u * q_v) * 2 / np.pi * (sine(rho) + rho * angle)


def relu_mean(q_u, q_v, rho):
    angle = np.arctan2(sine(rho), rho)
    return np.sqrt(q_u * q_v) * (sine(rho) + (np.pi - angle) * rho) / (2 * np.pi)


def determinant(q_u, q_v, rho, added):
    """Of the covariance with a number added to its diagonal."""
    return added * (added + q_u + q_v) + q_u * q_v * sine(rho) ** 2


def erf_mean(q_u, q_v, rho):
    c = rho * np.sqrt(q_u * q_v)
    return 2 / np.pi * np.arctan2(c, np.sqrt(determinant(q_u, q_v, rho, 0.5)))


def bump_mean(place, width):
    def mean(q_u, q_v, rho):
        det = determinant(q_u, q_v, rho, width**2)
        spread = 2 * width**2 + q_u + q_v - 2 * rho * np.sqrt(q_u * q_v)
        return width**2 / np.sqrt(det) * np.exp(-(place**2) * spread / det / 2)

    return mean


def sin_mean(rate):
    def mean(q_u, q_v, rho):
        u, v = rate * np.sqrt(q_u), rate * np.sqrt(q_v)
        unlike = 1 - np.abs(rho)
        away = np.exp(-((u - v) ** 2) / 2 - u * v * unlike)
        return np.sign(rho) * away * -np.expm1(-2 * u * v * np.abs(rho)) / 2

    return mean


def square_mean(q_u, q_v, rho):
    return q_u * q_v * (1 + 2 * rho**2)


def bump(place, width):
    return lambda z: jnp.exp(-(((z - place) / width) ** 2) / 2)


FUNCTIONS = {
    "sign": (jnp.sign, sign_mean),
    "step": (lambda z: jnp.where(z > 0, 1.0, 0.0), step_mean),
    "abs": (jnp.abs, abs_mean),
    "relu": (jax.nn.relu, relu_mean),
    "erf": (jax.scipy.special.erf, erf_mean),
    "gauss": (bump(0.0, 1.0), bump_mean(0.0, 1.0)),
    "bump": (bump(1.0, 0.01), bump_mean(1.0, 0.01)),
    "narrow": (bump(0.0, 1e-3), bump_mean(0.0, 1e-3)),
    "sin": (jnp.sin, sin_mean(1.0)),
    "sin20": (lambda z: jnp.sin(20 * z), sin_mean(20.0)),
    "sin1000": (lambda z: jnp.sin(1000 * z), sin_mean(1000.0)),
    "square": (lambda z: z**2, square_mean),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_error_bounds_the_difference_from_the_closed_form(name):
    function, exact = FUNCTIONS[name]
    activation = Activation(name=name, function=function)
    q_u, q_v, rho, c = arguments()
    with jax.enable_x64(True):
        value, error, square, square_error = (
            np.asarray(jax.jit(lambda *a, of=of: of(activation, *a))(*given))
            for of, given in (
                (mean_product, (q_u, q_v, c)),
                (mean_product_error, (q_u, q_v, c)),
                (mean_square, (q_u,)),
                (mean_square_error, (q_u,)),
            )
        )
    expected, one = exact(q_u, q_v, rho), np.ones_like(rho)
    size = np.sqrt(exact(q_u, q_u, one) * exact(q_v, q_v, one))
    # The nearer |ρ| is to 1, the more its rounding shows.
    conditioned = np.minimum(1e-12 / np.sqrt(2 * (1 - np.abs(rho)) + 1e-12), 1e-10)
    rounding = np.maximum(conditioned, 1e-12) * size
    miss = np.abs(value - expected)
    assert (miss <= error + rounding).all()
    assert (
        np.abs(square - exact(q_u, q_u, one)) <= square_error + 1e-12 * square
    ).all()
