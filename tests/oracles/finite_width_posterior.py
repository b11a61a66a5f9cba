"""Posteriors of finite networks with few random numbers, by quadrature; NumPy alone.

A field that is Gaussian given a kernel K̂ which depends on one or two random numbers:
evidence, mean and variance are integrals over these, of Gaussian formulas with K̂ + σ²
inverted as it stands.
"""

import numpy as np
from scipy import special


def mixture(kernel, weights, y, noise_std, num_data):
    """Posterior of a mixture of Gaussian processes.

    Args:
        kernel: (node, row, row) at the data, then at new inputs.
        weights: (node,) prior probability of each.
        y: (data, output), outputs independent given the node.
        noise_std: Of y.
        num_data: How many rows are data.

    Returns:
        log evidence; mean and variance (new, output).
    """
    kernel, weights = kernel[weights > 0], weights[weights > 0]
    data, new = slice(num_data), slice(num_data, None)
    seen = kernel[:, data, data] + noise_std**2 * np.eye(num_data)
    inverse = np.linalg.inv(seen)
    misfit = np.einsum("io,mij,jo->m", y, inverse, y)
    _, log_det = np.linalg.slogdet(2 * np.pi * seen)
    log_each = np.log(weights) - 0.5 * (misfit + y.shape[1] * log_det)
    top = log_each.max()
    posterior = np.exp(log_each - top)
    evidence = posterior.sum()
    posterior = posterior / evidence
    gain = kernel[:, new, data] @ inverse
    means = gain @ y
    variances = np.diagonal(
        kernel[:, new, new] - gain @ kernel[:, data, new], axis1=1, axis2=2
    )
    mean = np.einsum("m,mno->no", posterior, means)
    second = np.einsum("m,mno->no", posterior, variances[:, :, None] + means**2)
    return top + np.log(evidence), mean, second - mean**2


def normal_grid(num_nodes, reach=8.0):
    """Nodes and weights for a standard normal number, by the trapezoidal rule."""
    nodes = np.linspace(-reach, reach, num_nodes)
    weights = np.exp(-(nodes**2) / 2)
    return nodes, weights / weights.sum()


def one_unit(activation, x, y, x_new, *, weight_std, bias_std, noise_std, num_nodes):
    """A single hidden unit: f = v φ(w x + b) + c, one-dimensional inputs."""
    w, p = normal_grid(num_nodes)
    b, q = normal_grid(num_nodes) if bias_std else (np.zeros(1), np.ones(1))
    z = weight_std * np.multiply.outer(w, np.concatenate([x, x_new]))
    z = (z[:, None] + bias_std * b[:, None]).reshape(len(w) * len(b), -1)
    features = weight_std * activation(z)
    kernel = features[:, :, None] * features[:, None, :] + bias_std**2
    return mixture(kernel, np.outer(p, q).ravel(), y, noise_std, len(x))


def gamma_grid(shape, num_nodes=2000):
    """Nodes and weights for a chi-squared number over its mean, 2·shape of freedom."""
    log_s = np.linspace(-30 / shape - 3, 3 + 6 / np.sqrt(shape), num_nodes)
    s = np.exp(log_s)
    log_weight = shape * (np.log(shape) + log_s) - shape * s - special.gammaln(shape)
    weights = np.exp(log_weight) * (log_s[1] - log_s[0])
    return s, weights / weights.sum()


def deep_linear_scalar(x, y, x_new, *, widths, weight_std, noise_std, num_nodes=2000):
    """A deep linear network of one-dimensional inputs, without biases.

    K̂ = σ_W^{2(L+1)} x x' Π_l χ²(n_l)/n_l, the chi-squared numbers independent: the
    length of a Gaussian image of a vector is its own length times one of them.
    Source: Zavatone-Veth and Pehlevan, arXiv:2104.11734; Hanin and Zlokapa,
    arXiv:2212.14457.
    """
    scale, weight = np.ones(1), np.ones(1)
    for width in widths:
        s, p = gamma_grid(width / 2, num_nodes)
        scale, weight = np.outer(scale, s).ravel(), np.outer(weight, p).ravel()
    both = np.concatenate([x, x_new])
    unit = weight_std ** (2 * (len(widths) + 1)) * np.outer(both, both)
    return mixture(scale[:, None, None] * unit, weight, y, noise_std, len(x))


def linear_distances(x, y, *, width, weight_std, noise_std, num_nodes=500):
    """How far a linear network with one hidden layer is from its Gaussian process.

    One-dimensional inputs, no biases: f = θ x, given s a Bayesian linear regression
    with a prior variance σ_W⁴ s of θ, s = χ²(N)/N, so that all predictive laws are that
    of θ. Densities are compared on a fine grid of θ.

    Returns:
        The distance of means in standard deviations of the Gaussian process's law, and
        the total variation distance; the same at every input.
    """
    s, prior = gamma_grid(width / 2, num_nodes)
    s, prior = np.append(s, 1.0), np.append(prior, 0.0)  # last, the Gaussian process
    variance = 1 / (1 / (weight_std**4 * s) + x @ x / noise_std**2)
    mean = variance * (x @ y) / noise_std**2
    # N(y; 0, σ² + σ_W⁴ s x xᵀ) up to what does not depend on s.
    log_each = -0.5 * np.log(weight_std**4 * s / variance) + 0.5 * mean**2 / variance
    posterior = prior * np.exp(log_each - log_each.max())
    posterior = posterior / posterior.sum()
    theta = mean[-1] + variance[-1] ** 0.5 * np.linspace(-9, 9, 1801)
    density = np.exp(-((theta - mean[:, None]) ** 2) / (2 * variance[:, None]))
    density = density / np.sqrt(2 * np.pi * variance[:, None])
    apart = np.abs(posterior @ density - density[-1])
    shift = abs(posterior @ mean - mean[-1]) / variance[-1] ** 0.5
    return shift, 0.5 * apart.sum() * (theta[1] - theta[0])


def shallow_linear_noiseless(x, y, x_new, *, width, weight_std):
    """One hidden linear layer, no bias, no noise, fewer data than dimensions: closed.

    y = X θ with θ = W v of normal W and v, so that given |v| the targets are Gaussian
    with a multiple s of the linear kernel, s = χ²(N)/N. Integrals over s are Bessel
    functions K_ν, ν = (N − P)/2; the mean is the interpolant of least norm.

    Source: Hanin and Zlokapa, arXiv:2212.14457, whose G^{2,0}_{0,2} of
    Meijer is this Bessel function.

    Returns:
        log evidence; mean and variance (new,).
    """
    num_data, dim = x.shape
    unit = weight_std**4 / dim
    seen, cross = unit * x @ x.T, unit * x_new @ x.T
    length = y @ np.linalg.solve(seen, y)
    half = width / 2
    index = half - num_data / 2
    argument = np.sqrt(2 * half * length)

    def log_bessel(order):
        return np.log(special.kve(order, argument)) - argument

    # ∫ ds s^{ν−1} exp(−h s − q/(2s)) = 2 (q/2h)^{ν/2} K_ν(√(2 h q))
    ratio = length / (2 * half)
    log_evidence = (
        half * np.log(half)
        - special.gammaln(half)
        - 0.5 * np.linalg.slogdet(2 * np.pi * seen)[1]
        + np.log(2)
        + index / 2 * np.log(ratio)
        + log_bessel(index)
    )
    scale = np.sqrt(ratio) * np.exp(log_bessel(index + 1) - log_bessel(index))
    mean = cross @ np.linalg.solve(seen, y)
    left = unit * (x_new**2).sum(1) - np.einsum(
        "ni,in->n", cross, np.linalg.solve(seen, cross.T)
    )
    return log_evidence, mean, scale * left
