"""First-order diagrams and integrals by brute force and by adaptive quadrature.

NumPy and SciPy alone; nothing here imports the package under test.
"""

from collections import Counter
from itertools import combinations_with_replacement, pairwise, permutations

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.integrate import quad


def all_pairings(items):
    """Every way to pair up the items, as lists of pairs."""
    if not items:
        return [[]]
    first, rest = items[0], items[1:]
    return [
        [(first, other), *pairing]
        for i, other in enumerate(rest)
        for pairing in all_pairings(rest[:i] + rest[i + 1 :])
    ]


def contraction_counts(fields):
    """Legs at each integration point -> number of full Wick pairings that say so.

    All (2k−1)!! pairings of k legs with k fields are tried; those that pair every leg
    with a field are the connected ones.
    """
    k = len(fields)
    counts = Counter()
    for pairing in all_pairings(list(range(2 * k))):
        if all((a < k) != (b < k) for a, b in pairing):
            legs = [[] for _ in set(fields)]
            for a, b in pairing:
                legs[fields[max(a, b) - k]].append(min(a, b))
            counts[tuple(tuple(sorted(group)) for group in legs)] += 1
    return counts


def quad_pieces(integrand, breaks):
    """Adaptive quadrature between neighbouring breaks, summed."""
    edges = sorted(set(breaks))
    total = 0.0
    for low, high in pairwise(edges):
        total += quad(integrand, low, high, epsabs=0.0, epsrel=1e-11, limit=200)[0]
    return total


def box_breaks(points, cutoff):
    """Edges for `quad_pieces`: the box, the origin, the inputs, powers of ten."""
    decades = [s * 10.0**p for s in (-1, 1) for p in range(-3, 6)]
    inside = [p for p in [*points, *decades, 0.0] if abs(p) < cutoff]
    return [-cutoff, *inside, cutoff]


def one_point_integral(kernel, legs, cutoff, weight=lambda y: 1.0):
    """−k! ∫_{−Λ}^{Λ} w(y) Π kernel(leg, y) dy, the k! by counting permutations."""

    def integrand(y):
        return weight(y) * np.prod([kernel(leg, y) for leg in legs])

    count = sum(1 for _ in permutations(legs))
    return -count * quad_pieces(integrand, box_breaks(legs, cutoff))


def two_point_integral(kernel, fields, legs, cutoff, weight, nodes=80):
    """−Σ over all k! assignments of ∫∫ w(y, y') Π K, by a product Gauss rule."""
    unit, unit_weight = np.polynomial.legendre.leggauss(nodes)
    edges = sorted({*legs, 0.0, -cutoff, cutoff})
    pairs = list(pairwise(edges))
    y = np.concatenate([(a + b + (b - a) * unit) / 2 for a, b in pairs])
    q = np.concatenate([(b - a) / 2 * unit_weight for a, b in pairs])
    table = {leg: np.array([kernel(leg, p) for p in y]) for leg in legs}
    measure = weight(y[:, None], y[None, :]) * q[:, None] * q[None, :]
    total = 0.0
    for order in permutations(legs):
        sides = [np.ones_like(y), np.ones_like(y)]
        for leg, point in zip(order, fields, strict=True):
            sides[point] = sides[point] * table[leg]
        total -= sides[0] @ measure @ sides[1]
    return total


def connected_four_point(moment, num_points):
    """N·G4c at σ_W = 1 from one neuron's E[Π φ] (theory.md §2), packed.

    `moment` takes a tuple of indices of inputs.
    """
    packed = []
    for a, b, c, d in combinations_with_replacement(range(num_points), 4):
        pairs = (((a, b), (c, d)), ((a, c), (b, d)), ((a, d), (b, c)))
        disconnected = sum(moment(p) * moment(q) for p, q in pairs)
        packed.append(3 * moment((a, b, c, d)) - disconnected)
    return np.array(packed)


def exponential_moment(x, bias_std):
    """E[Π exp(z_i − s_ii)] = exp(½ Σ_ij s_ij − Σ_i s_ii), one-dimensional inputs."""

    def moment(index):
        points = np.array(x)[list(index)]
        s = bias_std**2 + np.outer(points, points)
        return np.exp(s.sum() / 2 - np.trace(s))

    return moment


def smooth_moment(activation, x, bias_std, nodes=120):
    """E[Π φ(w x_i + b)] by a Gauss–Hermite rule in (w, b), one-dimensional inputs."""
    z, q = hermegauss(nodes)
    q = np.outer(q, q) / q.sum() ** 2
    values = [activation(p * z[:, None] + bias_std * z[None, :]) for p in x]

    def moment(index):
        return np.sum(q * np.prod([values[i] for i in index], axis=0))

    return moment


def gaussian_average(function, variance):
    """E[function(f)] over one Gaussian variable, by adaptive quadrature."""
    width = np.sqrt(variance)

    def integrand(f):
        return function(f) * np.exp(-(f**2) / (2 * variance))

    norm = np.sqrt(2 * np.pi * variance)
    return quad(integrand, -14 * width, 14 * width, epsrel=1e-12, limit=200)[0] / norm
