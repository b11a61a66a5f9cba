"""Trees and gradients in two and three dimensions, over every measure.

Oracles: over a data set the integrals are sums, done by brute force over ordered legs;
over a box, ball or Gaussian they are Monte Carlo averages with standard errors.
"""

from itertools import combinations, permutations

import numpy as np
import pytest

from nnft_ppl import Operator, network
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.eft.integrals import Integrals, first_order
from nnft_ppl.eft.measures import Ball, Box, Empirical, GaussianCutoff
from nnft_ppl.eft.operators import operator

RNG = np.random.default_rng(3)
X = {2: RNG.uniform(-1, 1, (3, 2)), 3: RNG.uniform(-1, 1, (3, 3))}
STEP = 1e-4
LEGS = (0, 0, 1, 1, 2, 2)
"""Of the entry of the 6-pt function that is looked at."""


def entry_of(legs):
    return [tuple(row) for row in entries(3, 6)].index(legs)


def gradient(net, x, y):
    """∂K(x, y)/∂y_a by central differences, (point, node, dim)."""
    return np.stack(
        [
            (net.propagator(x, y + STEP * e) - net.propagator(x, y - STEP * e))
            / (2 * STEP)
            for e in np.eye(y.shape[1])
        ],
        axis=-1,
    )


class Sum:
    """Vertices of operators as sums over data points, open leg at any point z."""

    def __init__(self, net, x, data, z):
        ends = np.concatenate([x, z])
        self.data, self.z = data, z
        self.number = len(x)
        self.table = net.propagator(ends, data)
        self.slope = gradient(net, ends, data)
        self.straight = net.propagator(ends)

    def average(self, *fields):
        return np.mean(np.prod(fields, axis=0), axis=-1)

    def vertex(self, name, legs):
        """−Σ over assignments with legs (a, b, c) and the open leg at every z."""
        total = np.zeros(len(self.z))
        for i in range(len(self.z)):
            ends = [*legs, self.number + i]
            for a, b, c, d in permutations(ends):
                k, s = self.table, self.slope
                if name == "lambda_0":
                    term = self.average(k[a], k[b], k[c], k[d])
                elif name == "gradient":
                    inner = np.sum(s[c] * s[d], axis=-1)
                    term = self.average(k[a], k[b], inner)
                elif name == "lambda_nl":
                    term = self.average(k[a], k[b]) * self.average(k[c], k[d])
                elif name == "lambda_nl2":
                    square = np.sum(
                        (self.data[:, None] - self.data[None]) ** 2, axis=-1
                    )
                    term = (k[a] * k[b]) @ square @ (k[c] * k[d]) / square.size
                else:  # (S_GP)²: ¼ f K⁻¹ f f K⁻¹ f, every pair of legs a straight line
                    term = self.straight[a, b] * self.straight[c, d] / 4
                total[i] -= term
        return total


@pytest.mark.parametrize(
    "name", ["lambda_0", "gradient", "lambda_nl", "lambda_nl2", "quadratic_squared"]
)
def test_trees_over_a_data_set_are_sums(name):
    """T = ½ Σ_20 of V_i(abc; y) and λ_0 at y with the other three legs.

    The open leg of λ_0's partner is where λ_0 sits, so its propagator is the line.
    """
    net = network("erf-net", width=10, input_dim=2, bias_std=1.0)
    data = np.random.default_rng(5).normal(size=(7, 2))
    tree = Integrals(net, X[2], [np.inf], Empirical(data)).tree(
        operator(name), operator("lambda_0")
    )
    table = net.propagator(X[2], data)
    sums = Sum(net, X[2], data, data)
    total = 0.0
    for split in combinations(range(6), 3):
        legs = [LEGS[i] for i in split]
        others = [LEGS[i] for i in range(6) if i not in split]
        line = sums.vertex(name, legs)
        total -= 24 * np.mean(line * np.prod(table[others], axis=0))
    found = tree.values[0, entry_of(LEGS)]
    # differences of step h are good to h² beside third derivatives of order one
    tolerance = 1e2 * STEP**2 if name == "gradient" else 1e-9
    assert found == pytest.approx(total / 2, rel=tolerance)
    assert tree.error[0].max() < 1e-6 * np.abs(tree.values).max()


def draws(measure, dim, cutoff, number, rng):
    """Points of the measure, and what the mean over them is multiplied with."""
    if measure == Box():
        return rng.uniform(-cutoff, cutoff, (number, dim)), (2 * cutoff) ** dim
    normal = rng.standard_normal((number, dim))
    if measure == GaussianCutoff():
        return cutoff * normal, (np.sqrt(2 * np.pi) * cutoff) ** dim
    radius = cutoff * rng.uniform(size=(number, 1)) ** (1 / dim)
    volume = {2: np.pi, 3: 4 * np.pi / 3}[dim] * cutoff**dim
    return radius * normal / np.linalg.norm(normal, axis=1, keepdims=True), volume


@pytest.mark.slow_but("measure1-2")
@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("measure", [Box(), Ball(), GaussianCutoff()])
def test_trees_are_double_integrals(measure, dim):
    """∫∫ by pairs of independent draws; 4 standard errors, seed 11."""
    net = network("relu-net", width=10, input_dim=dim, bias_std=1.0)
    x, cutoff, number = X[dim], 2.0, 1500
    tree = Integrals(net, x, [cutoff], measure).tree(
        operator("lambda_0"), operator("lambda_0")
    )
    rng = np.random.default_rng(11)
    estimates = []
    for _ in range(12):  # each of all pairs of two samples
        y, volume = draws(measure, dim, cutoff, number, rng)
        z, _ = draws(measure, dim, cutoff, number, rng)
        line = net.propagator(y, z)
        here, there = net.propagator(x, y), net.propagator(x, z)
        total = 0.0
        for split in combinations(range(6), 3):
            legs = [LEGS[i] for i in split]
            others = [LEGS[i] for i in range(6) if i not in split]
            left = np.prod(here[legs], axis=0)
            total += left @ line @ np.prod(there[others], axis=0)
        estimates.append(576 / 2 * total * (volume / number) ** 2)
    error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    found = tree.values[0, entry_of(LEGS)]
    assert abs(found - np.mean(estimates)) < 4 * error
    assert error < 0.02 * abs(found)
    assert tree.error.max() < 1e-3 * np.abs(tree.values).max()


@pytest.mark.parametrize("dim", [2, 3])
def test_the_gradient_in_several_dimensions(dim):
    """−Σ over ordered legs of ∫ K_a K_b ∇K_c·∇K_d, by draws; 4 errors, seed 12."""
    net = network("gauss-net", width=10, input_dim=dim, bias_std=1.0)
    x, cutoff, number = X[dim], 3.0, 40_000
    found = Integrals(net, x, [cutoff], Ball()).first_order(operator("gradient"))
    y, volume = draws(Ball(), dim, cutoff, number, np.random.default_rng(12))
    table, slope = net.propagator(x, y), gradient(net, x, y)
    for entry in (0, 4, 8):
        integrand = np.zeros(number)
        for a, b, c, d in permutations(entries(3, 4)[entry]):
            inner = np.sum(slope[c] * slope[d], axis=-1)
            integrand -= table[a] * table[b] * inner
        error = volume * np.std(integrand) / np.sqrt(number)
        gap = found.values[0, entry] - volume * np.mean(integrand)
        assert abs(gap) < 4 * error
        assert error < 0.1 * np.abs(found.values).max()


@pytest.mark.slow
def test_a_tree_that_stops_at_the_largest_rank_says_so(monkeypatch):
    net = network("erf-net", width=10, input_dim=2, bias_std=1.0)
    vertex = operator("lambda_0")
    full = Integrals(net, X[2], [5.0]).tree(vertex, vertex)
    monkeypatch.setattr("nnft_ppl.eft.integrals._MAX_RANK", 6)
    short = Integrals(net, X[2], [5.0]).tree(vertex, vertex)
    gap = np.abs(short.values - full.values)
    assert gap.max() > 1e-4 * np.abs(full.values).max()
    assert gap.max() <= short.error.max() + full.error.max()


def test_directions_are_spread_where_the_kernel_depends_on_nothing_else():
    """ReLU-net without bias is homogeneous: a few directions would spoil the tree."""
    net = network("relu-net", width=10, input_dim=2, bias_std=0.0)
    x = np.array([[0.5, 0.5], [0.5, 1.0], [1.0, 0.5], [1.0, 1.0]])
    cutoffs = np.geomspace(7, 1e5, 21)
    tree = Integrals(net, x, cutoffs).tree(operator("lambda_0"), operator("lambda_0"))
    largest = np.abs(tree.values).max(axis=1)
    assert (tree.error.max(axis=1) < 1e-5 * largest).all()


def test_a_home_made_operator_of_two_points_has_trees():
    """4 fields at 4 points over one datum: the same as λ_0 there."""
    net = network("erf-net", width=10, input_dim=3, bias_std=1.0)
    four = Operator(name="four", symbol="4", fields=(0, 1, 2, 3))
    integrals = Integrals(net, X[3], [np.inf], Empirical([[0.4, -0.2, 0.8]]))
    vertex = operator("lambda_0")
    np.testing.assert_allclose(
        integrals.tree(four, vertex).values,
        integrals.tree(vertex, vertex).values,
        rtol=1e-9,
    )


def test_a_gradient_over_a_ball_in_many_dimensions_is_reduced_as_a_whole():
    """Its directions are not invariant about the inputs one by one; their sum is."""
    net = network("erf-net", width=5, input_dim=5, bias_std=1.0)
    x = np.array([[0.5, 0.2, 0.0, 0.1, 0.0], [0.1, -0.4, 0.3, 0.0, 0.2]])
    found = first_order("gradient", net, x, [1.5], Ball())
    rng = np.random.default_rng(3)
    y = rng.normal(size=(200_000, 5))
    y *= (
        1.5
        * rng.uniform(size=(len(y), 1)) ** 0.2
        / np.linalg.norm(y, axis=1, keepdims=True)
    )
    step = 1e-4
    k = net.propagator(x, y)
    slopes = [
        (net.propagator(x, y + e) - net.propagator(x, y - e)) / (2 * step)
        for e in step * np.eye(5)
    ]
    volume = 8 * np.pi**2 / 15 * 1.5**5
    # All four legs at input 0: 4! contractions are one product.
    sample = -24 * volume * k[0] ** 2 * sum(s[0] ** 2 for s in slopes)
    error = sample.std() / np.sqrt(len(sample))
    assert abs(found.values[0, 0] - sample.mean()) < 4 * error + found.error[0, 0]
    assert error < 0.01 * abs(sample.mean())
