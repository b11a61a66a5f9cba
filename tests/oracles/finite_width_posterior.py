"""Posteriors of finite networks with few random numbers, by quadrature; NumPy alone.

A field that is Gaussian given a kernel K̂ which depends on one or two random numbers:
evidence, mean and variance are integrals over these, of Gaussian formulas with K̂ + σ²
inverted as it stands.
"""

import numpy as np
from scipy import optimize, special


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


def deep_linear(x, y, x_new, *, widths, weight_std, noise_std, num_nodes=2000):
    """A deep linear network of one output, without biases, by quadrature.

    The length of a Gaussian image of a vector is its own length times a chi-squared
    number's root, so that f = X θ with θ normal given s = Π_l χ²(n_l)/n_l, the numbers
    independent: K̂ is as good as s times the linear kernel σ_W^{2(L+1)} x·x'/dim.
    Inputs are (point, dim), targets (point, output) of one output, or of any number in
    one hidden layer, or in one dimension.
    Source: Zavatone-Veth and Pehlevan, arXiv:2104.11734; Hanin and Zlokapa,
    arXiv:2212.14457.
    """
    scale, weight = np.ones(1), np.ones(1)
    for width in widths:
        s, p = gamma_grid(width / 2, num_nodes)
        scale, weight = np.outer(scale, s).ravel(), np.outer(weight, p).ravel()
    unit = linear_kernel(np.concatenate([x, x_new]), len(widths), weight_std)
    return mixture(scale[:, None, None] * unit, weight, y, noise_std, len(x))


def linear_kernel(x, depth, weight_std):
    """σ_W^{2(L+1)} x·x'/dim."""
    return weight_std ** (2 * (depth + 1)) / x.shape[1] * x @ x.T


def meijer_g(lower, log_argument):
    """Log of G^{m,0}_{0,m}(z | b_1 … b_m) of Meijer, by its definition.

    G = ∫ dt/(2πi) z^{−t} Π_j Γ(b_j + t) along a line to the right of all poles, there
    through the saddle, where nothing cancels. In m = 2 it is a Bessel function K.
    """
    lower = np.asarray(lower, float)

    def slope(t):
        return special.psi(lower + t).sum() - log_argument

    least = -lower.min()
    right = optimize.brentq(slope, least + 1e-6, least + 1e6)
    width = special.polygamma(1, lower + right).sum() ** -0.5
    t = right + 1j * width * np.linspace(-40, 40, 1601)
    log_each = special.loggamma(lower[:, None] + t).sum(axis=0) - t * log_argument
    top = log_each.real.max()
    step = width * 80 / 1600
    return top + np.log(np.exp(log_each - top).real.sum() * step / (2 * np.pi))


def deep_linear_noiseless(x, y, x_new, *, widths, weight_std):
    """A deep linear network without noise, fewer data than dimensions: closed form.

    Averages of s^{k − P/2} exp(−q/2s) over s = Π_l χ²(n_l)/n_l, by their Mellin
    transform, are Π_l (n_l/2)^{P/2−k} / Γ(n_l/2) times
    G^{L+1,0}_{0,L+1}(q/2 Π_l n_l/2 | 0, n_l/2 + k − P/2). The mean is the interpolant
    of least norm.

    Source: Hanin and Zlokapa, arXiv:2212.14457; Zavatone-Veth and Pehlevan,
    arXiv:2104.11734, for one datum.

    Returns:
        log evidence; mean and variance (new,).
    """
    both = linear_kernel(np.concatenate([x, x_new]), len(widths), weight_std)
    data, new = slice(len(x)), slice(len(x), None)
    half = np.array(widths) / 2
    solved = np.linalg.solve(both[data, data], y)
    length = y @ solved

    def log_average(k):
        power = k - len(x) / 2
        found = meijer_g([0, *half + power], np.log(length / 2) + np.log(half).sum())
        return found - np.sum(power * np.log(half) + special.gammaln(half))

    log_evidence = (
        log_average(0) - np.linalg.slogdet(2 * np.pi * both[data, data])[1] / 2
    )
    left = np.diag(
        both[new, new]
        - both[new, data] @ np.linalg.solve(both[data, data], both[data, new])
    )
    scale = np.exp(log_average(1) - log_average(0))
    return log_evidence, both[new, data] @ solved, scale * left


def linear_distances(x, y, *, width, weight_std, noise_std, num_nodes=500):
    """How far a linear network with one hidden layer is from its Gaussian process.

    One-dimensional inputs, no biases: f = θ x, given s a Bayesian linear regression
    with a prior variance σ_W⁴ s of θ, s = χ²(N)/N, so that all predictive laws are that
    of θ. They are compared on a fine grid of θ.

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
    # Probabilities of small intervals, as laws of small s are narrower than these.
    below = special.ndtr((theta - mean[:, None]) / np.sqrt(variance[:, None]))
    apart = np.abs(np.diff(posterior @ below - below[-1]))
    shift = abs(posterior @ mean - mean[-1]) / variance[-1] ** 0.5
    return shift, 0.5 * apart.sum()


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


def relu_on_a_line(x, y, x_new, *, width, weight_std, noise_std, num_nodes=500):
    """One hidden layer of max(z, 0), one-dimensional inputs, one output, no biases.

    A unit of positive weight is on at positive inputs alone: K̂ is σ_W⁴ x x' S₊ there,
    σ_W⁴ x x' S₋ at negative ones and 0 between, with S± = χ²(n±)/N independent given
    n₊ = N − n₋, which is binomial: a sum of products of one-dimensional integrals.
    """
    counts = np.arange(width + 1)
    log_weight = -special.betaln(1 + counts, 1 + width - counts) - np.log(width + 1)
    log_weight -= width * np.log(2)
    counts = counts[log_weight > -80]
    log_weight = log_weight[log_weight > -80]
    mean, second = (np.empty((len(counts), len(x_new))) for _ in range(2))
    for number, positive in enumerate(counts):
        for sign, n in ((1, positive), (-1, width - positive)):
            s, p = gamma_grid(n / 2, num_nodes) if n else (np.zeros(1), np.ones(1))
            mine, new = sign * x > 0, sign * x_new > 0
            both = np.concatenate([x[mine], x_new[new]])
            unit = weight_std**4 * n / width * np.outer(both, both)
            log_evidence, at, variance = mixture(
                s[:, None, None] * unit, p, y[mine, None], noise_std, mine.sum()
            )
            log_weight[number] += log_evidence
            mean[number, new] = at[:, 0]
            second[number, new] = variance[:, 0] + at[:, 0] ** 2
    top = log_weight.max()
    posterior = np.exp(log_weight - top)
    total = posterior.sum()
    average, square = ((posterior @ part / total)[:, None] for part in (mean, second))
    return top + np.log(total), average, square - average**2
