"""Regression with ∫ f⁴ as a small perturbation of a Gaussian process; NumPy alone.

The field on a grid that holds data and new inputs; O = Σ_y h :f(y)⁴:, normal-ordered
with the prior's variance. Formulas in terms of the posterior of the Gaussian process.
"""

import numpy as np


def first_order(kernel, weights, data, y, noise_std, new):
    """What one unit of the coupling adds to log evidence, mean and variance.

    Args:
        kernel: (grid, grid) of the prior.
        weights: (grid,) of the integral.
        data: Numbers of the grid points that have targets.
        y: (data,) targets.
        noise_std: Of y.
        new: Numbers of the grid points where the field is asked for.
    """
    seen = kernel[np.ix_(data, data)] + noise_std**2 * np.eye(len(data))
    gain = np.linalg.solve(seen, kernel[data]).T
    mean = gain @ y
    taken = np.einsum("gd,dg->g", gain, kernel[data])
    covariance = kernel - gain @ kernel[data]
    log_evidence = -weights @ (mean**4 - 6 * mean**2 * taken + 3 * taken**2)
    cubic = mean**3 - 3 * taken * mean
    moved = -4 * covariance[new] @ (weights * cubic)
    variance = -12 * covariance[new] ** 2 @ (weights * (mean**2 - taken))
    return log_evidence, moved, variance


def by_density(kernel, weights, data, y, noise_std, new, coupling, num_nodes=160):
    """Log evidence, mean, variance of a field on two points by quadrature.

    The density is N(f; 0, K) exp(−g Σ h :f⁴:), normalised numerically.
    """
    nodes = np.linspace(-9, 9, num_nodes)
    z = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    field = z @ np.linalg.cholesky(kernel).T
    var = np.diag(kernel)
    ordered = field**4 - 6 * var * field**2 + 3 * var**2
    prior = np.exp(-(z**2).sum(axis=1) / 2 - coupling * ordered @ weights)
    prior /= prior.sum()
    misfit = (y - field[:, data]) / noise_std
    like = np.exp(-(misfit**2).sum(axis=1) / 2)
    like /= (2 * np.pi * noise_std**2) ** (len(data) / 2)
    evidence = prior @ like
    posterior = prior * like / evidence
    mean = posterior @ field[:, new]
    return np.log(evidence), mean, posterior @ field[:, new] ** 2 - mean**2
