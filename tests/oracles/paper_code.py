"""What the public code of arXiv:2008.08601 computes, for ensembles without noise.

Written anew from reading github.com/keeganstoner/nn-qft (lib.py, rg.py, lam_fit/,
six_pt_prediction.py); NumPy and SciPy alone, nothing here imports the package under
test. One-dimensional inputs, σ_W = 1. Couplings have that code's sign, not ours.
"""

from itertools import combinations_with_replacement, pairwise
from math import factorial, prod

import numpy as np
from oracles.effective_theory import (
    connected_four_point,
    exponential_moment,
    smooth_moment,
)
from oracles.kernels import erf_activation, erf_kernel, gauss_kernel, relu_kernel
from scipy.stats import linregress

CUTOFFS = (
    *(7, 10, 15, 20, 30, 40, 50, 70, 100, 200, 500, 1000, 2000, 5000, 7000),
    *(10000, 20000, 40000, 60000, 80000, 100000),
)
"""Of rg.py."""

INPUTS = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])


def relu_moment(x, bias_std):
    """E[Π relu(w x_i + b)]: polar coordinates, the radius by itself."""

    def moment(index):
        points = [x[i] for i in index]
        # w = r cos t and b = σ_b r sin t: each neuron switches at two angles.
        kinks = [np.arctan2(-p, bias_std) for p in points]
        edges = sorted({-np.pi, np.pi, *kinks, *(k + np.pi for k in kinks)})
        edges = [e for e in edges if -np.pi <= e <= np.pi]
        node, weight = np.polynomial.legendre.leggauss(40)
        total = 0.0
        for low, high in pairwise(edges):
            t = (low + high + (high - low) * node) / 2
            inner = [
                np.maximum(p * np.cos(t) + bias_std * np.sin(t), 0) for p in points
            ]
            total += (high - low) / 2 * weight @ np.prod(inner, axis=0)
        radius = 2 ** (len(index) / 2) * factorial(len(index) // 2)
        return radius * total / (2 * np.pi)

    return moment


def four_point(name, x, width, bias_std):
    """Connected and Gaussian 4-pt function, unique entries; the latter with bias."""
    moment, kernel = {
        "relu": (relu_moment(x, bias_std), relu_kernel),
        "erf": (smooth_moment(lambda z: erf_activation(z, 0), x, bias_std), erf_kernel),
        "gauss": (exponential_moment(x, bias_std), gauss_kernel),
    }[name]
    table = np.array([[kernel([p], [q], 1.0, bias_std) for q in x] for p in x])
    gaussian = [
        table[a, b] * table[c, d]
        + table[a, c] * table[b, d]
        + table[a, d] * table[b, c]
        for a, b, c, d in combinations_with_replacement(range(len(x)), 4)
    ]
    return connected_four_point(moment, len(x)) / width, np.array(gaussian)


def integrals(name, x, cutoffs, bias_std):
    """+24 ∫ K_W K_W K_W K_W over [−Λ, Λ] (lib.py, four_pt_int): (cutoff, entry)."""
    kernel = {"relu": relu_kernel, "erf": erf_kernel, "gauss": gauss_kernel}[name]
    node, weight = np.polynomial.legendre.leggauss(40)
    steps = {*np.geomspace(1e-3, max(cutoffs), 60), *np.abs(x), *cutoffs}
    marks = np.array([0.0, *sorted(m for m in steps if m <= max(cutoffs))])
    half = np.diff(marks)[:, None] / 2
    entries = list(combinations_with_replacement(range(len(x)), 4))
    total = np.zeros((len(marks) - 1, len(entries)))
    for sign in (-1, 1):
        y = sign * (marks[:-1, None] + half * (1 + node))
        table = np.array(
            [
                [kernel([p], [q], 1.0, bias_std) - bias_std**2 for q in y.ravel()]
                for p in x
            ]
        ).reshape(len(x), *y.shape)
        for column, legs in enumerate(entries):
            product_of_four = np.prod(table[list(legs)], axis=0)
            total[:, column] += (product_of_four * weight * half).sum(axis=1)
    upto = np.searchsorted(marks, cutoffs) - 1
    return 24 * np.cumsum(total, axis=0)[upto]


def rg_couplings(cutoffs, width=20):
    """λ_m of rg.py for the ReLU-net, (cutoff, entry): its σ_b stays 1."""
    connected, _ = four_point("relu", INPUTS, width, 1.0)
    return connected / integrals("relu", INPUTS, cutoffs, 1.0)


def rg_slope():
    """The line of rg.py: log10 |λ_m| of every entry over log10 Λ in two digits."""
    couplings = np.log10(np.abs(rg_couplings(CUTOFFS)))
    position = np.round(np.log10(CUTOFFS), 2)[:, None] + 0 * couplings
    return linregress(position.ravel(), couplings.ravel()).slope


def slope(name, x, low, high, bias_std):
    """Of log |λ_0| over log Λ between two cutoffs, averaged over the entries."""
    first, last = integrals(name, x, [low, high], bias_std)
    return -np.mean(np.log(last / first)) / np.log(high / low)


def fitted_coupling(name, width, cutoff, bias_std, scale):
    """λ_0 of lam_fit.py alone: least squares over the full tensor.

    The data are the full 4-pt function at the inputs times √2/2, the integrals are at
    the inputs themselves.
    """
    x = scale * INPUTS
    connected, gaussian = four_point(name, np.sqrt(0.5) * x, width, bias_std)
    (response,) = integrals(name, x, [cutoff], bias_std)
    count = np.array(
        [
            factorial(4) / prod(factorial(legs.count(i)) for i in set(legs))
            for legs in combinations_with_replacement(range(len(x)), 4)
        ]
    )
    data = connected + gaussian
    return (count * response) @ data / ((count * response) @ response)


def six_point_legs():
    """The legs of the 15 diagrams of six_pt_prediction.py: four at λ, then a pair."""
    return (
        (5, 6, 3, 4, 1, 2),
        (6, 2, 5, 5, 1, 3),
        (6, 2, 5, 3, 1, 4),
        (6, 2, 3, 4, 1, 5),
        (5, 2, 3, 4, 1, 6),
        (1, 4, 6, 5, 2, 3),
        (1, 6, 5, 3, 2, 4),
        (1, 3, 6, 4, 2, 5),
        (1, 5, 3, 4, 2, 6),
        (1, 2, 5, 6, 3, 4),
        (1, 2, 4, 6, 3, 5),
        (4, 2, 5, 1, 3, 6),
        (2, 1, 3, 6, 4, 5),
        (5, 2, 1, 3, 4, 6),
        (4, 2, 1, 3, 5, 6),
    )


def six_point_prediction(width=20):
    """Its 6-pt prediction over the true one at (x_1 … x_6), ReLU-net without bias.

    K = x y/2 on one side of 0: every diagram is 3.75/2N times the product of its legs.
    """
    x = dict(enumerate(INPUTS, start=1))
    every = prod(x.values())
    diagrams = sum(prod(x[leg] for leg in legs) for legs in six_point_legs())
    predicted = 15 / 8 * every + 3.75 / width / 2 * diagrams
    return predicted / ((15 / 8 + 15 * 3.75 / width / 2 + 82.5 / width**2) * every)


def gauss_normalisation(input_dim):
    """Its Gauss features over exp(z − s): √exp((4 + 4|x|²)/2d) for exp s."""
    return np.exp(1 - 1 / input_dim)


def block_background(num_blocks=10):
    """Its background over the standard error of the mean, in the root mean square.

    np.std of blocks, neither with n − 1 nor divided by √n (free_theory.py).
    """
    return np.sqrt(num_blocks - 1)


def natural_units(name, x, bias_std):
    """1/Π √K_W(x_i, x_i) of every entry (theory.md §6)."""
    kernel = {"relu": relu_kernel, "erf": erf_kernel, "gauss": gauss_kernel}[name]
    size = [(kernel([p], [p], 1.0, bias_std) - bias_std**2) ** -0.5 for p in x]
    packed = combinations_with_replacement(size, 4)
    return np.array([prod(entry) for entry in packed])


def natural_coupling(name, x, width, cutoff, bias_std):
    """What we take for λ_0, by our sign: least squares with all entries alike."""
    unit = natural_units(name, x, bias_std)
    data = unit * four_point(name, x, width, bias_std)[0]
    response = -unit * integrals(name, x, [cutoff], bias_std)[0]
    return response @ data / (response @ response)


def misfit(name, x, width, cutoff, bias_std):
    """Relative rms that λ_0, λ_2 and λ_NL leave of G4c, unweighted least squares."""
    data = four_point(name, x, width, bias_std)[0]
    kernel = {"relu": relu_kernel, "erf": erf_kernel, "gauss": gauss_kernel}[name]
    node, weight = np.polynomial.legendre.leggauss(40)
    marks = {*np.geomspace(1e-3, cutoff, 40), *np.abs(x[x != 0])}
    marks = np.array([0.0, *sorted(m for m in marks if m <= cutoff)])
    half = np.diff(marks)[:, None] / 2
    y = (marks[:-1, None] + half * (1 + node)).ravel()
    y, weight = np.concatenate([-y, y]), np.tile((half * weight).ravel(), 2)
    table = [[kernel([p], [q], 1.0, bias_std) - bias_std**2 for q in y] for p in x]
    table = np.array(table)
    pair = (table * weight) @ table.T
    response = [
        (
            (weight * np.prod(table[[a, b, c, d]], axis=0)).sum(),
            (weight * y**2 * np.prod(table[[a, b, c, d]], axis=0)).sum(),
            pair[a, b] * pair[c, d] + pair[a, c] * pair[b, d] + pair[a, d] * pair[b, c],
        )
        for a, b, c, d in combinations_with_replacement(range(len(x)), 4)
    ]
    response = np.array(response) / np.max(np.abs(response), axis=0)
    left = data - response @ np.linalg.lstsq(response, data, rcond=None)[0]
    return np.sqrt((left @ left) / (data @ data))
