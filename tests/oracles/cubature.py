"""Integrals of products of propagators in several dimensions, by other methods.

NumPy and SciPy alone; nothing here imports the package under test.
"""

import numpy as np
from scipy.integrate import cubature


def relu_propagator(x, y, bias_std):
    """K_W of arc-cosine kind at σ_W = 1, (point, node); Cho and Saul (2009), eq. 6."""
    dim = x.shape[1]
    xx = bias_std**2 + np.sum(x**2, axis=1)[:, None] / dim
    yy = bias_std**2 + np.sum(y**2, axis=1)[None, :] / dim
    norm = np.sqrt(xx * yy)
    cosine = np.clip((bias_std**2 + x @ y.T / dim) / norm, -1, 1)
    angle = np.arccos(cosine)
    return norm * (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi)


def erf_propagator(x, y, bias_std):
    """K_W of erf at σ_W = 1, (point, node); Williams (1997), eq. 11."""
    dim = x.shape[1]
    xx = 1 + 2 * (bias_std**2 + np.sum(x**2, axis=1)[:, None] / dim)
    yy = 1 + 2 * (bias_std**2 + np.sum(y**2, axis=1)[None, :] / dim)
    return 2 / np.pi * np.arcsin(2 * (bias_std**2 + x @ y.T / dim) / np.sqrt(xx * yy))


def box_cubature(integrand, dim, cutoff, points, rtol):
    """∫ over [−Λ, Λ]^dim of a vector integrand (node, dim) -> (node, value)."""
    low, high = np.full(dim, -cutoff), np.full(dim, cutoff)
    marks = [np.asarray(p, dtype=float) for p in points]
    result = cubature(
        integrand,
        low,
        high,
        rule="gk15",
        rtol=rtol,
        points=marks,
        max_subdivisions=4000,
    )
    assert result.status == "converged"
    return result.estimate


def monte_carlo(integrand, positions, volume):
    """Mean and standard error of ∫ from uniform positions; values on the last axis."""
    values = integrand(positions) * volume
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


def uniform_ball(rng, number, dim, cutoff):
    """Uniform points in |y| ≤ Λ, by radius and Gaussian direction."""
    direction = rng.standard_normal((number, dim))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return cutoff * rng.uniform(size=(number, 1)) ** (1 / dim) * direction


def gaussian_product(x, degree, cutoff):
    """∫ dy exp(−degree Σ… ) for propagators exp(−|x_i − y|²/(2d)), in closed form.

    Args:
        x: The legs, (leg, dim), repetitions allowed.
        degree: Number of legs.
        cutoff: Λ of the weight exp(−|y|²/(2Λ²)); inf for none.
    """
    legs, dim = x.shape
    assert legs == degree
    precision = legs / dim + cutoff**-2.0
    pull = x.sum(axis=0) / dim
    exponent = pull @ pull / (2 * precision) - np.sum(x**2) / (2 * dim)
    return (2 * np.pi / precision) ** (dim / 2) * np.exp(exponent)
