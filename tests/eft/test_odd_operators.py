"""Operators with an odd number of fields, beside exact integrals over few points.

The measure is the data set of the inputs, so that the theory is an ordinary density.
"""

from itertools import combinations_with_replacement

import numpy as np
import pytest
from oracles.effective_theory import (
    hermite_power,
    joint_cumulant_series,
    one_point_integral,
)
from oracles.kernels import erf_kernel

import nnft_ppl as nnft
from nnft_ppl.eft.expansion import coupling_scale, expand

X = np.array([[-0.7], [0.4]])
NET = nnft.network("erf-net", width=10, input_dim=1, bias_std=1.0)
DATA = nnft.Empirical(X)
QUINTIC = nnft.Operator(name="quintic", symbol="q", fields=(0,) * 5)
SPLIT = nnft.Operator(name="split", symbol="s", fields=(0, 1, 1))
CUTOFFS = np.array([5.0])


def expected(action, order, power, nodes=24):
    """Coefficient of g^power in the packed connected correlator."""
    kernel = NET.propagator(X)
    return np.array(
        [
            joint_cumulant_series(action, kernel, legs, power, nodes)[power]
            for legs in combinations_with_replacement(range(len(X)), order)
        ]
    )


@pytest.mark.parametrize(
    ("operator", "function"),
    [
        ("source", lambda f: f.mean(axis=0)),
        ("cubic", lambda f: (f**3).mean(axis=0)),
        (QUINTIC, lambda f: (f**5).mean(axis=0)),
        (SPLIT, lambda f: f.mean(axis=0) * (f**2).mean(axis=0)),
        ("lambda_0", lambda f: (f**4).mean(axis=0)),
    ],
)
def test_first_order_is_the_slope_of_the_exact_cumulants(operator, function):
    """In the bare scheme, self-contractions included, at every order."""
    action = nnft.Action([operator], measure=DATA, scheme="bare")
    found = expand(action, NET, X, CUTOFFS, (1, 2, 3, 4, 5))
    for order in (1, 2, 3, 4, 5):
        np.testing.assert_allclose(
            found.linear[order].values[0, :, 0],
            expected(function, order, 1),
            rtol=1e-9,
            atol=1e-11,
        )


@pytest.mark.parametrize(("name", "power"), [("source", 1), ("cubic", 3), (QUINTIC, 5)])
def test_in_the_renormalised_scheme_fields_are_wick_ordered(name, power):
    variance = np.diag(NET.propagator(X))

    def ordered(f):
        parts = zip(f, variance, strict=True)
        return np.mean([hermite_power(one, power, v) for one, v in parts], axis=0)

    found = expand(nnft.Action([name], measure=DATA), NET, X, CUTOFFS, (1, 3, 5))
    for order in (1, 3, 5):
        np.testing.assert_allclose(
            found.linear[order].values[0, :, 0],
            expected(ordered, order, 1),
            rtol=1e-9,
            atol=1e-11,
        )


def test_two_cubic_vertices_make_the_trees_of_the_four_point_function():
    """All that is of second order in :f³: there: 36 Σ_3 ∫∫ KK K(y, y') KK."""
    variance = np.diag(NET.propagator(X))
    weighted = nnft.Operator(
        name="weighted", symbol="w", fields=(0,) * 3, weight=lambda y: y[..., 0]
    )

    def ordered(f):
        cubes = [hermite_power(one, 3, v) for one, v in zip(f, variance, strict=True)]
        return np.mean((0.8 - 1.3 * X) * cubes, axis=0)

    action = nnft.Action(["cubic", "lambda_0", weighted], measure=DATA)
    found = expand(action, NET, X, CUTOFFS, (3, 4))
    assert set(found.trees) == {4}
    second = expected(ordered, 4, 2)
    couplings = np.array([0.8, 0.0, -1.3])
    np.testing.assert_allclose(
        found.connected(4, 0, couplings), second, rtol=1e-9, atol=1e-11
    )
    alone = expand(nnft.Action(["cubic"], measure=DATA), NET, X, CUTOFFS, (3,))
    bare = nnft.Action(["cubic", "lambda_0"], measure=DATA, scheme="bare")
    assert not alone.trees
    assert not expand(bare, NET, X, CUTOFFS, (3, 4)).trees


def test_trees_of_three_vertices_are_refused_but_not_in_the_bare_scheme():
    operators = ["cubic", QUINTIC]
    with pytest.raises(nnft.UnavailableError, match="three fields beside ones of 5"):
        expand(nnft.Action(operators, measure=DATA), NET, X, CUTOFFS, (3, 5))
    bare = nnft.Action(operators, measure=DATA, scheme="bare")
    assert bare.orders == (3, 5)
    expand(bare, NET, X, CUTOFFS, bare.orders)


def test_orders_of_an_action_are_those_of_its_operators():
    assert nnft.Action(["source", "cubic", "lambda_0"]).orders == (1, 3, 4)
    assert nnft.Action(["cubic", "kappa"], scheme="bare").orders == (3, 4, 6)
    assert nnft.Action([QUINTIC, "source"], scheme="bare").orders == (1, 3, 5)


@pytest.mark.parametrize("name", ["source", "cubic"])
def test_integrals_over_the_box_are_those_by_adaptive_quadrature(name):
    cutoff, points = 3.0, X[:, 0]
    found = nnft.first_order(name, NET, X, [cutoff])
    legs = combinations_with_replacement(points, 1 if name == "source" else 3)
    exact = [
        one_point_integral(
            lambda x, y: erf_kernel([x], [y], 1.0, 1.0) - 1.0, some, cutoff
        )
        for some in legs
    ]
    np.testing.assert_allclose(found.values[0], exact, rtol=1e-9)


def test_the_running_is_the_slope_of_the_integral_and_powers_are_relative():
    """ReLU-net without bias: a coupling of k fields falls as Λ^−(1 + k)."""
    net = nnft.network("relu-net", width=10, input_dim=1, bias_std=0.0)
    action = nnft.Action(["source", "cubic", "lambda_0", QUINTIC])
    found = nnft.beta_functions(action, net, [0.3, 0.8], [10.0, 30.0], np.ones((2, 4)))
    np.testing.assert_allclose(found["eigenvalue"].real, [[-2, -4, -5, -6]] * 2)
    table = nnft.relevance(action, net, [0.3, 0.8], [10.0])
    assert list(table["operator"]) == ["source", "cubic", "lambda_0", "quintic"]
    np.testing.assert_allclose(table["exponent"], [-2, -4, -5, -6])


def test_an_odd_coupling_is_measured_by_the_absolute_moment():
    """At one input −3! K³ g beside E|f|³ = 2 √(2/π) K^{3/2}."""
    x = X[:1]
    action = nnft.Action(["cubic"], measure=nnft.Empirical(x))
    linear = expand(action, NET, x, CUTOFFS, (3,)).linear
    variance = float(NET.propagator(x)[0, 0])
    scale = coupling_scale(action, (5.0,), linear, NET.propagator(x))
    np.testing.assert_allclose(
        scale, 6 * variance**1.5 / (2 * np.sqrt(2 / np.pi)), rtol=1e-12
    )
