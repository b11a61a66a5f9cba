"""A periodic chain of three sites with an interaction: integrals and exact draws.

S = ½ Σ (f_{i+1} − f_i)² + ½ Σ f² + Σ (g f⁴ + h f³).
"""

import itertools

import numpy as np

SITES = 3
PRECISION = 4.0 * np.eye(SITES) - np.ones((SITES, SITES))


def legs(order):
    return list(itertools.combinations_with_replacement(range(SITES), order))


def cumulants(g, h, nodes=40):
    """Order -> packed cumulants of orders 1 to 4, by Gauss and Hermite's quadrature."""
    t, w = np.polynomial.hermite_e.hermegauss(nodes)
    number = np.array(list(itertools.product(range(nodes), repeat=SITES)))
    field = t[number] @ np.linalg.cholesky(np.linalg.inv(PRECISION)).T
    weight = w[number].prod(axis=1) * np.exp(-(g * field**4 + h * field**3).sum(axis=1))
    weight /= weight.sum()
    mean = weight @ field
    off = field - mean
    two = np.einsum("n,ni,nj->ij", weight, off, off)

    def connected(leg):
        moment = weight @ off[:, leg].prod(axis=1)
        if len(leg) < 4:
            return moment
        a, b, c, d = leg
        pairs = two[a, b] * two[c, d] + two[a, c] * two[b, d] + two[a, d] * two[b, c]
        return moment - pairs

    found = {k: np.array([connected(list(leg)) for leg in legs(k)]) for k in (2, 3, 4)}
    return {1: mean, **found}


def couplings(cumulants):
    """(μ, λ) by least squares with all entries alike, of (1/n)Σ f³ and (1/n)Σ f⁴."""
    two = np.zeros((SITES, SITES))
    for (a, b), value in zip(legs(2), cumulants[2], strict=True):
        two[a, b] = two[b, a] = value
    deviation = np.sqrt(np.diag(two))

    def fitted(order, target):
        size = np.array([deviation[list(leg)].prod() for leg in legs(order)])
        factor = {3: -6, 4: -24}[order]
        vertex = [factor * two[list(leg)].prod(axis=0).mean() for leg in legs(order)]
        response = np.array(vertex) / size
        return response @ (target / size) / (response @ response)

    def tree(leg):
        a, b, c, d = leg
        splits = ((a, b, c, d), (a, c, b, d), (a, d, b, c))
        ends = [(two[i] * two[j], two[k] * two[m]) for i, j, k, m in splits]
        return 36 / SITES**2 * sum(one @ two @ other for one, other in ends)

    cubic = fitted(3, cumulants[3])
    trees = np.array([tree(leg) for leg in legs(4)])
    return cubic, fitted(4, cumulants[4] - cubic**2 * trees)


def draws(g, h, number, rng):
    """(draw, site), independent, by rejection from the free field."""
    line = np.linspace(-8.0, 8.0, 4001)
    least = SITES * (g * line**4 + h * line**3).min()
    free = rng.standard_normal((number, SITES))
    free = free @ np.linalg.cholesky(np.linalg.inv(PRECISION)).T
    action = (g * free**4 + h * free**3).sum(axis=1)
    return free[rng.uniform(size=number) < np.exp(least - action)]
