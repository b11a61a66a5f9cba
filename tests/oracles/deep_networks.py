"""Deep fully connected networks by other means: NumPy only, never nnft_ppl.

Tensors are full, one axis an input. φ is a NumPy function; layers are given by their
widths, and every layer has the same weight and bias scales.
"""

from itertools import product
from math import comb, prod

import numpy as np


def gauss_hermite_rule(kernel, num_nodes):
    """Nodes (node, point) and weights of a tensor rule for z ~ N(0, kernel)."""
    values, vectors = np.linalg.eigh(kernel)
    keep = values > 1e-12 * values.max()
    factor = vectors[:, keep] * np.sqrt(values[keep])
    x, w = np.polynomial.hermite_e.hermegauss(num_nodes)
    rank = factor.shape[1]
    grid = np.array(np.meshgrid(*[x] * rank, indexing="ij")).reshape(rank, -1)
    weights = np.ones(1)
    for _ in range(rank):
        weights = np.outer(weights, w / np.sqrt(2 * np.pi)).ravel()
    return (factor @ grid).T, weights


def fourth_hermite(inverse, z):
    """Fourth derivative of the density N(0, K) over itself, (node, e, f, g, h)."""
    y = z @ inverse
    pairs = [((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2))]
    total = np.einsum("ne,nf,ng,nh->nefgh", y, y, y, y)
    for left, right in pairs:
        both = np.einsum("ij,kl->ijkl", inverse, inverse)
        total = total + np.transpose(both, np.argsort([*left, *right]))[None]
        for out, other in ((left, right), (right, left)):
            mixed = np.einsum("ij,nk,nl->nijkl", inverse, y, y)
            axes = 1 + np.argsort([*out, *other])
            total = total - np.transpose(mixed, (0, *axes))
    return total


def expansion(activation, first_kernel, widths, weight_std, bias_std, num_nodes):
    """K, m and C of the output by the tensor formulas of theory.md §2.

    C' = σ_W⁴/n [⟨φφφφ⟩ − ⟨φφ⟩⟨φφ⟩] + (σ_W⁴/4) D C D, D = K⁻¹K⁻¹⟨φφ(zz − K)⟩, and m' by
    the first and second derivatives of the density.
    """
    size = len(first_kernel)
    kernel = np.array(first_kernel)
    shift, spread = np.zeros_like(kernel), np.zeros((size,) * 4)
    for width in widths:
        z, weights = gauss_hermite_rule(kernel, num_nodes)
        phi = activation(z)
        pair = np.einsum("n,na,nb->nab", weights, phi, phi)
        mean = pair.sum(axis=0)
        four = np.einsum("nab,nc,nd->abcd", pair, phi, phi)
        noise = four - np.einsum("ab,cd->abcd", mean, mean)
        if np.any(spread):
            inverse = np.linalg.inv(kernel)
            y = z @ inverse
            second = np.einsum("ne,nf->nef", y, y) - inverse
            d = np.einsum("nab,nef->abef", pair, second)
            h = np.einsum(
                "nab,nefgh,efgh->ab", pair, fourth_hermite(inverse, z), spread
            )
            shift = weight_std**2 * (np.einsum("abef,ef->ab", d, shift) / 2 + h / 8)
            spread = np.einsum("abef,efgh,cdgh->abcd", d, spread, d) / 4
        spread = weight_std**4 * (spread + noise / width)
        kernel = bias_std**2 + weight_std**2 * mean
    return kernel, shift, spread


def connected_four(spread):
    """G4c, full: C_(12)(34) + C_(13)(24) + C_(14)(23)."""
    return (
        spread + np.transpose(spread, (0, 2, 1, 3)) + np.transpose(spread, (0, 2, 3, 1))
    )


def chain_kurtosis(widths, per_layer):
    """E f⁴/(E f²)² = 3 Π (1 + c/n_l): 2 for linear, 5 for ReLU (theory.md §8)."""
    return 3 * np.prod([1 + per_layer / width for width in widths])


def random_kernels(activation, x, widths, weight_std, bias_std, num_networks, seed):
    """K̂ of the output of networks drawn weight by weight, (network, a, b)."""
    rng = np.random.default_rng(seed)
    below = np.broadcast_to(x.T, (num_networks, *x.T.shape))
    for width in widths:
        fan_in = below.shape[1]
        weights = rng.normal(size=(num_networks, width, fan_in))
        biases = rng.normal(size=(num_networks, width, 1))
        below = activation(
            weight_std / fan_in**0.5 * weights @ below + bias_std * biases
        )
    features = np.einsum("nja,njb->nab", below, below) / widths[-1]
    return bias_std**2 + weight_std**2 * features


def sampled_functions(kernels, num_batches=40):
    """G2 and G4c, full, with standard errors from batches of sampled K̂."""
    size = kernels.shape[-1]
    two, four = [], []
    for batch in np.array_split(kernels, num_batches):
        flat = batch.reshape(len(batch), -1)
        two.append(batch.mean(axis=0))
        four.append(connected_four(np.cov(flat, rowvar=False).reshape((size,) * 4)))
    return tuple(
        (np.mean(v, axis=0), np.std(v, axis=0, ddof=1) / num_batches**0.5)
        for v in (two, four)
    )


def packed_order(num_points, order):
    """Index tuples i ≤ j ≤ …, in the packed order."""
    return [t for t in product(range(num_points), repeat=order) if list(t) == sorted(t)]


def power_chain_series(widths, degree, power):
    """E[(K̂/K)^p] of the output for φ = z^h or relu(z)^h, one input and no biases.

    K̂' = σ² K̂^h T with T the mean over n units of φ(unit normal)², independent of K̂, so
    that E K̂^p is a product of E T^q. Returned as its terms of order 0, 1, 2 in 1/width:
    with t = T/E T, E t^q = 1 + C(q,2) k2/n + [C(q,3) k3 + 3 C(q,4) k2²]/n² + …

    Args:
        widths: Of the hidden layers, first to last.
        degree: h, and whether one half of the line alone counts: (h, half).
        power: p.
    """
    exponent, half = degree
    share = 0.5 if half else 1.0
    m1, m2, m3 = (
        share * prod(range(1, 2 * exponent * k, 2), start=1) for k in (1, 2, 3)
    )
    k2 = m2 / m1**2 - 1
    k3 = m3 / m1**3 - 3 * m2 / m1**2 + 2
    series = np.array([1.0, 0.0, 0.0])
    for above, width in enumerate(reversed(widths)):
        q = power * exponent**above
        first = comb(q, 2) * k2 / width
        second = (comb(q, 3) * k3 + 3 * comb(q, 4) * k2**2) / width**2
        one, two = series[1], series[2]
        series = np.array([1.0, one + first, two + one * first + second])
    return series
