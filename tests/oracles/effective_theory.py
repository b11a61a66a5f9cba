"""First-order diagrams and integrals by brute force and by adaptive quadrature.

NumPy and SciPy alone; nothing here imports the package under test.
"""

from collections import Counter
from itertools import (
    combinations,
    combinations_with_replacement,
    pairwise,
    permutations,
)
from math import factorial

import numpy as np
from numpy.polynomial.hermite_e import hermegauss, hermeval
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


def contraction_counts(fields, num_legs):
    """(legs at each point, lines between points) -> number of Wick pairings.

    All pairings of the legs with the fields are tried; those that pair every leg with a
    field are the connected ones. A line is a pair of fields, as sorted points.
    """
    k = num_legs
    counts = Counter()
    for pairing in all_pairings(list(range(k + len(fields)))):
        if any(max(pair) < k for pair in pairing):
            continue
        legs = [[] for _ in set(fields)]
        lines = []
        for a, b in pairing:
            if min(a, b) < k:
                legs[fields[max(a, b) - k]].append(min(a, b))
            else:
                lines.append(tuple(sorted((fields[a - k], fields[b - k]))))
        key = tuple(tuple(sorted(group)) for group in legs), tuple(sorted(lines))
        counts[key] += 1
    return counts


def hermite_power(f, power, variance):
    """The Wick-ordered power :f^n: of a Gaussian variable of the given variance."""
    width = np.sqrt(variance)
    return width**power * hermeval(f / width, [0] * power + [1])


def cumulant_derivatives(operator, variance, order):
    """d^order/dg^order at g = 0 of the cumulants of exp(−f²/2K − g O(f)), by moments.

    The expansion of moments in g is exact; cumulants follow by the series of log E e^tf
    with polynomial arithmetic in g.
    """
    orders = (2, 4, 6)
    coefficients = {}
    for k in (0, *orders):
        coefficients[k] = np.array(
            [
                (-1) ** n
                / factorial(n)
                * gaussian_average(
                    lambda f, k=k, n=n: f**k * operator(f) ** n, variance
                )
                for n in range(order + 1)
            ]
        )

    def times(*series):
        product = np.ones(1)
        for one in series:
            product = np.convolve(product, one)[: order + 1]
        return product

    def over(numerator, denominator):
        quotient = np.zeros(order + 1)
        for n in range(order + 1):
            known = sum(quotient[j] * denominator[n - j] for j in range(n))
            quotient[n] = (numerator[n] - known) / denominator[0]
        return quotient

    m2, m4, m6 = (over(coefficients[k], coefficients[0]) for k in orders)
    cumulants = {
        2: m2,
        4: m4 - 3 * times(m2, m2),
        6: m6 - 15 * times(m4, m2) + 30 * times(m2, m2, m2),
    }
    return {k: factorial(order) * series[order] for k, series in cumulants.items()}


def joint_cumulant_series(action, kernel, legs, order, nodes=24):
    """Coefficients of 1, g, …, g^order in κ(f_legs) of exp(−½ f K⁻¹ f − g action(f)).

    The field at a few points, by a product Gauss–Hermite rule: exact for polynomials,
    whose moments are expanded in g; joint cumulants follow from the sum over set
    partitions with weights (−1)^{b−1} (b−1)!.

    `action` takes (point, node).
    """
    z, q = hermegauss(nodes)
    grid = np.meshgrid(*[z] * len(kernel), indexing="ij")
    weights = np.prod(np.meshgrid(*[q] * len(kernel), indexing="ij"), axis=0).ravel()
    weights = weights / weights.sum()
    field = np.linalg.cholesky(kernel) @ np.array([part.ravel() for part in grid])
    powers = [(-action(field)) ** n / factorial(n) for n in range(order + 1)]

    def times(one, other):
        return np.convolve(one, other)[: order + 1]

    def moment(block):
        product = np.prod(field[list(block)], axis=0)
        return np.array([weights @ (product * power) for power in powers])

    def partitions(items):
        if not items:
            yield []
            return
        first, *rest = items
        for size in range(len(rest) + 1):
            for others in combinations(rest, size):
                left = [item for item in rest if item not in others]
                for more in partitions(left):
                    yield [(first, *others), *more]

    norm = moment(())
    inverse = np.zeros(order + 1)
    inverse[0] = 1 / norm[0]
    for n in range(1, order + 1):
        inverse[n] = -sum(norm[j] * inverse[n - j] for j in range(1, n + 1)) / norm[0]
    total = np.zeros(order + 1)
    for partition in partitions(list(range(len(legs)))):
        number = len(partition)
        term = np.zeros(order + 1)
        term[0] = (-1) ** (number - 1) * factorial(number - 1)
        for block in partition:
            term = times(term, times(moment([legs[i] for i in block]), inverse))
        total += term
    return total


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


def tree_integral(kernel, points, cutoff, weights, nodes=24):
    """½ Σ over 20 splits of 24² ∫∫ w w' KKK(y) K(y, y') KKK(y'), packed.

    Product Gauss rule on the square [−Λ, Λ]², panels between the inputs and growing by
    two beyond them. The kernel takes two arrays.
    """
    unit, unit_weight = np.polynomial.legendre.leggauss(nodes)
    marks = [0.0, *np.abs(points)]
    far = max(marks)
    while far < cutoff:
        far *= 2
        marks.append(far)
    marks = sorted({m for m in marks if m < cutoff} | {cutoff})
    edges = np.array([-m for m in reversed(marks) if m] + marks)
    half = np.diff(edges) / 2
    y = (edges[:-1, None] + half[:, None] * (unit + 1)).ravel()
    q = (half[:, None] * unit_weight).ravel()
    table = kernel(np.asarray(points), y)
    line = kernel(y, y)
    total = []
    for legs in combinations_with_replacement(range(len(points)), 6):
        value = 0.0
        for left in combinations(range(6), 3):
            right = [leg for leg in range(6) if leg not in left]
            first = np.prod(table[[legs[leg] for leg in left]], axis=0)
            second = np.prod(table[[legs[leg] for leg in right]], axis=0)
            value += (first * q * weights[0](y)) @ line @ (second * q * weights[1](y))
        total.append(24**2 * value / 2)
    return np.array(total)
