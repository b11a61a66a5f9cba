"""Independent moments of one neuron: NumPy and SciPy only, never nnft_ppl.

Every function takes the covariance of the preactivations, not the inputs.
"""

from itertools import product
from math import prod

import numpy as np
from scipy.integrate import dblquad
from scipy.special import erf


def isserlis(covariance, legs):
    """E[Π z_i] over a Gaussian: sum over pairings."""
    if not legs:
        return 1.0
    first, *others = legs
    return sum(
        covariance[first, other] * isserlis(covariance, others[:i] + others[i + 1 :])
        for i, other in enumerate(others)
    )


def relu_two_inputs(covariance, power):
    """E[relu(u)^p relu(v)^p], p ≤ 3; Cho and Saul (2009), eqs. 2 and 4 and J_3."""
    size = np.sqrt(covariance[0, 0] * covariance[1, 1])
    theta = np.arccos(np.clip(covariance[0, 1] / size, -1, 1))
    sin, cos = np.sin(theta), np.cos(theta)
    angular = {
        1: sin + (np.pi - theta) * cos,
        2: 3 * sin * cos + (np.pi - theta) * (1 + 2 * cos**2),
        3: 15 * sin - 11 * sin**3 + (np.pi - theta) * (9 * cos + 6 * cos**3),
    }
    return size**power * angular[power] / (2 * np.pi)


def relu_power(variance, power):
    """E[relu(z)^p] of even p: half the Gaussian moment."""
    return variance ** (power / 2) * prod(range(1, power, 2)) / 2


def positive_orthant(covariance):
    """P(z_1, z_2, z_3 > 0) of a Gaussian (Sheppard)."""
    std = np.sqrt(np.diagonal(covariance))
    angles = np.arcsin((covariance / np.outer(std, std))[np.triu_indices(3, 1)])
    return 1 / 8 + angles.sum() / (4 * np.pi)


def erf_two_inputs(covariance, powers):
    """E[erf(u)^p erf(v)^q] by adaptive quadrature over two independent normals."""
    factor = np.linalg.cholesky(covariance)

    def integrand(b, a):
        u, v = factor @ [a, b]
        density = np.exp(-(a**2 + b**2) / 2) / (2 * np.pi)
        return erf(u) ** powers[0] * erf(v) ** powers[1] * density

    return dblquad(integrand, -8, 8, -8, 8, epsabs=1e-10, epsrel=1e-10)[0]


def gauss_hermite(activation, covariance, legs, num_nodes):
    """E[Π φ] by a tensor Gauss–Hermite rule in the full dimension."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(num_nodes)
    rank = len(covariance)
    grid = np.array(np.meshgrid(*[nodes] * rank, indexing="ij")).reshape(rank, -1)
    total = np.ones(1)
    for _ in range(rank):
        total = np.outer(total, weights / np.sqrt(2 * np.pi)).ravel()
    phi = activation(np.linalg.cholesky(covariance) @ grid)
    return float(np.prod(phi[list(legs)], axis=0) @ total)


def monte_carlo(activation, covariance, legs, num_draws, seed):
    """Means and standard errors of Π φ over draws, for rows of `legs`."""
    values, vectors = np.linalg.eigh(covariance)
    factor = vectors * np.sqrt(np.maximum(values, 0))
    normals = np.random.default_rng(seed).normal(size=(len(covariance), num_draws))
    phi = activation(factor @ normals)
    products = np.array([np.prod(phi[list(row)], axis=0) for row in legs])
    return products.mean(axis=1), products.std(axis=1) / np.sqrt(num_draws)


def sign_choices(num_legs):
    """All choices of ±1 for every leg."""
    return list(product((1, -1), repeat=num_legs))


def erf_far_deficit(slopes, scale, bias_std):
    """lim Π erf − E Π erf(slope scale w + b), w ~ N(0, 1), b ~ N(0, bias_std²).

    The limit is that of scale → ∞, of equal sign for w → ±∞. What is left is where w is
    of order 1/scale, and is integrated there, so that nothing cancels.
    """
    limit = np.prod(np.sign(slopes))
    x, w = np.polynomial.legendre.leggauss(40)

    def panels(ends):
        half = np.diff(ends)[:, None] / 2
        return (ends[:-1, None] + half * (x + 1)).ravel(), (half * w).ravel()

    ends = np.concatenate([[0.0], 0.5 ** np.arange(12, -8, -1.0)])
    t, weights = panels(np.concatenate([-ends[:0:-1], ends]))
    weights = weights * np.exp(-((t / scale) ** 2) / 2) / np.sqrt(2 * np.pi) / scale
    if bias_std == 0:
        biases, shares = np.zeros(1), np.ones(1)
    else:
        b, shares = panels(np.linspace(-8.5, 8.5, 18))
        shares = shares * np.exp(-(b**2) / 2) / np.sqrt(2 * np.pi)
        biases = bias_std * b
    product = np.prod([erf(slope * t[:, None] + biases) for slope in slopes], axis=0)
    return float(weights @ (limit - product) @ shares)
