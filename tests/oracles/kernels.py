"""GP kernels of the one-hidden-layer nets, from the papers and by quadrature.

NumPy and SciPy alone; nothing here imports the package under test.
"""

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.integrate import quad
from scipy.special import erf, ndtr


def preactivation(x, y, weight_std, bias_std):
    """s(x,y) = σ_b² + σ_W² x·y/d (arXiv:2008.08601 §2)."""
    return bias_std**2 + weight_std**2 * np.dot(x, y) / len(x)


def erf_kernel(x, y, weight_std, bias_std):
    """Williams (1997), eq. 11 in the variables of theory.md §1."""
    xx, yy, xy = _covariances(x, y, weight_std, bias_std)
    sine = 2 * xy / np.sqrt((1 + 2 * xx) * (1 + 2 * yy))
    return bias_std**2 + weight_std**2 * 2 / np.pi * np.arcsin(sine)


def relu_kernel(x, y, weight_std, bias_std):
    """Cho and Saul (2009), eq. 6."""
    xx, yy, xy = _covariances(x, y, weight_std, bias_std)
    norm = np.sqrt(xx * yy)
    if norm == 0:
        return bias_std**2
    angle = np.arccos(np.clip(xy / norm, -1, 1))
    shape = np.sin(angle) + (np.pi - angle) * np.cos(angle)
    return bias_std**2 + weight_std**2 * norm * shape / (2 * np.pi)


def gauss_kernel(x, y, weight_std, bias_std):
    """arXiv:2008.08601, eq. 2.24."""
    distance = np.sum((np.asarray(x) - np.asarray(y)) ** 2)
    gaussian = np.exp(-(weight_std**2) * distance / (2 * len(x)))
    return bias_std**2 + weight_std**2 * gaussian


def hermite_kernel(activation, x, y, weight_std, bias_std, nodes=160):
    """σ_b² + σ_W² E[φ φ'] by a product Gauss–Hermite rule; for smooth activations."""
    xx, yy, xy = _covariances(x, y, weight_std, bias_std)
    z, w = hermegauss(nodes)
    w = w / w.sum()
    first = np.sqrt(xx) * z[:, None]
    slope = xy / xx if xx else 0.0
    second = slope * first + np.sqrt(max(yy - slope * xy, 0.0)) * z[None, :]
    values = activation(first, xx) * activation(second, yy)
    return bias_std**2 + weight_std**2 * (w @ values @ w)


def relu_quadrature_kernel(x, y, weight_std, bias_std):
    """The same for max(z, 0): outer integral over z > 0, inner one in closed form."""
    xx, yy, xy = _covariances(x, y, weight_std, bias_std)
    if xx == 0 or yy == 0:
        return bias_std**2
    slope, std = xy / xx, np.sqrt(max(yy - xy**2 / xx, 0.0))

    def integrand(u):
        z = np.sqrt(xx) * u
        density = np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi)
        mean = slope * z
        if std < 1e-12:
            return z * density * max(mean, 0.0)
        t = mean / std
        rectified = mean * ndtr(t) + std * np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi)
        return z * density * rectified

    mean_product, _ = quad(integrand, 0, 40, points=[1.0], epsabs=1e-13, limit=200)
    return bias_std**2 + weight_std**2 * mean_product


def erf_activation(z, variance):
    """erf(z)."""
    return erf(z)


def gauss_activation(z, variance):
    """exp(z − s(x,x))."""
    return np.exp(z - variance)


def _covariances(x, y, weight_std, bias_std):
    return tuple(
        preactivation(a, b, weight_std, bias_std) for a, b in ((x, x), (y, y), (x, y))
    )
