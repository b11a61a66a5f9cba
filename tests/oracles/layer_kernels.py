"""GP kernels of deep nets by plain loops over layers, positions and pairs of positions.

NumPy alone; nothing here imports the package under test.
"""

from itertools import product

import numpy as np


def relu_mean(uu, vv, uv):
    """E[φ(u) φ(v)] of max(z, 0): Cho and Saul (2009), eq. 6."""
    norm = np.sqrt(uu * vv)
    if norm == 0:
        return 0.0
    angle = np.arccos(np.clip(uv / norm, -1, 1))
    return norm * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)


def erf_mean(uu, vv, uv):
    """E[φ(u) φ(v)] of erf: Williams (1997), eq. 11."""
    return 2 / np.pi * np.arcsin(2 * uv / np.sqrt((1 + 2 * uu) * (1 + 2 * vv)))


def grid_mean(activation):
    """E[φ(u) φ(v)] of a smooth φ by the trapezoidal rule in two standard normals.

    Its error is exp(−2πp/(step √variance)) for poles of φ at a distance p from the real
    line, below 1e-16 for tanh and variances up to 9.
    """
    z, step = np.linspace(-9, 9, 241, retstep=True)
    w = step * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)

    def mean(uu, vv, uv):
        slope = uv / uu if uu else 0.0
        second = slope * np.sqrt(uu) * z[:, None]
        second = second + np.sqrt(max(vv - slope * uv, 0.0)) * z[None, :]
        return w @ (activation(np.sqrt(uu) * z)[:, None] * activation(second)) @ w

    return mean


def residual_kernel(mean, x, y, *, depth, branch_scale, weight_std, bias_std):
    """Gram matrix of the two inputs, layer by layer (arXiv:2010.12859 §2)."""
    inputs = np.stack([x, y])
    gram = bias_std**2 + weight_std**2 * inputs @ inputs.T / inputs.shape[1]
    for _ in range(depth):
        gram = gram + branch_scale**2 * _layer(mean, gram, weight_std, bias_std)
    return _layer(mean, gram, weight_std, bias_std)[0, 1]


def _layer(mean, gram, weight_std, bias_std):
    means = [
        [mean(gram[i, i], gram[j, j], gram[i, j]) for j in range(len(gram))]
        for i in range(len(gram))
    ]
    return bias_std**2 + weight_std**2 * np.array(means)


def convolution_kernel(
    mean, x, y, *, depth, kernel_size, padding, readout, weight_std, bias_std
):
    """Every pair of positions of both images in every layer (arXiv:1810.05148 §2.2)."""
    images = np.stack([x, y])
    shape = images.shape[1:-1]
    sites = [(i, *p) for i in range(2) for p in product(*map(range, shape))]
    reach = kernel_size // 2
    offsets = list(product(range(-reach, reach + 1), repeat=len(shape)))

    def neighbour(site, offset):
        moved = [p + o for p, o in zip(site[1:], offset, strict=True)]
        if padding == "circular":
            moved = [p % n for p, n in zip(moved, shape, strict=True)]
        inside = all(0 <= p < n for p, n in zip(moved, shape, strict=True))
        return (site[0], *moved) if inside else None

    below = {(a, b): np.mean(images[a] * images[b]) for a in sites for b in sites}
    for _ in range(depth):
        above = {}
        for a, b in below:
            total = 0.0
            for offset in offsets:
                pair = neighbour(a, offset), neighbour(b, offset)
                total += 0.0 if None in pair else below[pair]
            above[a, b] = bias_std**2 + weight_std**2 * total / len(offsets)
        below = {
            (a, b): mean(above[a, a], above[b, b], covariance)
            for (a, b), covariance in above.items()
        }
    pairs = [
        value
        for (a, b), value in below.items()
        if a[0] == 0 and b[0] == 1 and (readout == "pool" or a[1:] == b[1:])
    ]
    return bias_std**2 + weight_std**2 * np.mean(pairs)


def convolve(image, weights, biases, padding):
    """One convolution of an image (..., channel) by a sum over positions.

    `weights` has the shape (*offsets, channel, new channel).
    """
    shape, sizes = image.shape[:-1], weights.shape[:-2]
    out = np.zeros((*shape, weights.shape[-1]))
    for position in product(*map(range, shape)):
        out[position] = biases
        for offset in product(*map(range, sizes)):
            moved = [
                p + o - size // 2
                for p, o, size in zip(position, offset, sizes, strict=True)
            ]
            if padding == "circular":
                moved = [p % n for p, n in zip(moved, shape, strict=True)]
            if all(0 <= p < n for p, n in zip(moved, shape, strict=True)):
                out[position] += image[tuple(moved)] @ weights[offset]
    return out
