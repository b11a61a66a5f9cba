"""Tangent kernels at infinite width, upward layer by layer, and gradients by hand.

Θ of the next layer is what its own weights and biases give, plus σ_W² E[φ' φ'] times Θ
of the layer before (Jacot et al., arXiv:1806.07572, theorem 1). NumPy alone; nothing
here imports the package under test.
"""

from itertools import product

import numpy as np


def relu_slope(uu, vv, uv):
    """E[φ'(u) φ'(v)]: the arc-cosine kernel of degree 0, Cho and Saul (2009), eq. 5."""
    return (np.pi - np.arccos(np.clip(uv / np.sqrt(uu * vv), -1, 1))) / (2 * np.pi)


def erf_slope(uu, vv, uv):
    """E[φ'(u) φ'(v)] of erf, a Gaussian integral of two Gaussians."""
    return 4 / np.pi / np.sqrt((1 + 2 * uu) * (1 + 2 * vv) - 4 * uv**2)


def tangent_kernel(
    mean, slope, x, y, *, depth, weight_std, bias_std, skip=0.0, gain=1.0
):
    """Θ(x, y) of so many hidden layers, each beside `skip` times the one before."""
    inputs = np.stack([x, y])
    gram = bias_std**2 + weight_std**2 * inputs @ inputs.T / inputs.shape[1]
    theta = gram[0, 1]
    for layer in range(depth):
        last = layer == depth - 1
        keep, strength = (0.0, 1.0) if last else (skip, gain)
        turned = slope(gram[0, 0], gram[1, 1], gram[0, 1])
        means = [
            [mean(gram[i, i], gram[j, j], gram[i, j]) for j in (0, 1)] for i in (0, 1)
        ]
        new = strength * (bias_std**2 + weight_std**2 * np.array(means))
        theta = keep * theta + new[0, 1] + strength * weight_std**2 * turned * theta
        gram = keep * gram + new
    return theta


def quadrature_tangent_kernel(activation, slope, x, y, weight_std, bias_std):
    """Θ of one hidden layer in one dimension, from integrals over one hidden unit.

    f = b1 + Σ_j a_j φ(w_j x + b_j): the expectations are over w and b, by radius
    and angle in their plane.
    """

    nodes, step = np.polynomial.legendre.leggauss(100)
    radius, step = 4.5 * (nodes + 1), 4.5 * step
    angle = 2 * np.pi * (np.arange(6000) + 0.5) / 6000
    w, b = radius[:, None] * np.cos(angle), radius[:, None] * np.sin(angle)
    z, other = weight_std * w * x + bias_std * b, weight_std * w * y + bias_std * b
    common = weight_std**2 * x * y + bias_std**2
    unit = activation(z) * activation(other) + slope(z) * slope(other) * common
    weights = step * radius * np.exp(-(radius**2) / 2)
    return bias_std**2 + weight_std**2 * weights @ unit.mean(axis=1)


def convolution_tangent_kernel(
    mean, slope, x, y, *, depth, kernel_size, padding, readout, weight_std, bias_std
):
    """Θ between every pair of positions of two images, layer by layer."""
    images = np.stack([x, y])
    shape = images.shape[1:-1]
    sites = [(i, *p) for i in range(2) for p in product(*map(range, shape))]
    reach = kernel_size // 2
    offsets = list(product(range(-reach, reach + 1), repeat=len(shape)))

    def average(table, a, b):
        total = 0.0
        for offset in offsets:
            pair = []
            for site in (a, b):
                moved = [p + o for p, o in zip(site[1:], offset, strict=True)]
                if padding == "circular":
                    moved = [p % n for p, n in zip(moved, shape, strict=True)]
                if all(0 <= p < n for p, n in zip(moved, shape, strict=True)):
                    pair.append((site[0], *moved))
            total += table[tuple(pair)] if len(pair) == 2 else 0.0
        return total / len(offsets)

    below = {(a, b): np.mean(images[a] * images[b]) for a in sites for b in sites}
    theta = dict.fromkeys(below, 0.0)
    for _ in range(depth):
        above = {p: bias_std**2 + weight_std**2 * average(below, *p) for p in below}
        passed = {p: weight_std**2 * average(theta, *p) + above[p] for p in below}
        below, theta = (
            {
                (a, b): mean(above[a, a], above[b, b], covariance)
                for (a, b), covariance in above.items()
            },
            {
                (a, b): slope(above[a, a], above[b, b], covariance) * passed[a, b]
                for (a, b), covariance in above.items()
            },
        )
    pairs = [
        (below[a, b], theta[a, b])
        for a, b in below
        if a[0] == 0 and b[0] == 1 and (readout == "pool" or a[1:] == b[1:])
    ]
    return bias_std**2 + weight_std**2 * np.mean(np.sum(pairs, axis=1))
