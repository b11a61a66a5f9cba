"""Every built-in and some home-made operators against integrals done by SciPy."""

from itertools import combinations, permutations

import numpy as np
import pytest
from oracles.effective_theory import box_breaks, quad_pieces, two_point_integral

from nnft_ppl import Operator, PluginError, UnavailableError, network
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.eft.integrals import Integrals
from nnft_ppl.eft.operators import operator
from nnft_ppl.operator import ProductWeight

X = np.array([-0.4, 0.3, 0.9])
CUTOFF = 2.5


def erf_net():
    return network("erf-net", width=10, input_dim=1, bias_std=1.0)


def scalar_kernel(net):
    return lambda a, b: float(net.propagator([a], [b])[0, 0])


NODES, WEIGHTS = (CUTOFF * part for part in np.polynomial.legendre.leggauss(200))
STEP = 1e-3


def gradient_tables(net):
    """K(x, y), ∂_y K(x, y), K(y, y), ⟨ff'⟩ and ⟨f'f'⟩ at nodes, by differences."""
    shifted = {h: net.propagator(X, NODES + h * STEP) for h in (-2, -1, 0, 1, 2)}
    slope = (8 * (shifted[1] - shifted[-1]) - shifted[2] + shifted[-2]) / (12 * STEP)

    def near(a, b):
        return np.diag(net.propagator(NODES + a * STEP, NODES + b * STEP))

    mixed = (8 * (near(0, 1) - near(0, -1)) - near(0, 2) + near(0, -2)) / (12 * STEP)
    both = (near(1, 1) - near(1, -1) - near(-1, 1) + near(-1, -1)) / (4 * STEP**2)
    return shifted[0], slope, near(0, 0), mixed, both


def integral(function):
    return quad_pieces(function, box_breaks(X, CUTOFF))


def column(given, order=None, cutoff=CUTOFF, net=None):
    return Integrals(net or erf_net(), X, [cutoff]).first_order(given, order).values[0]


def test_the_gradient_operator_is_the_sum_over_which_legs_are_differentiated():
    plain, slope, *_ = gradient_tables(erf_net())
    found = column(operator("gradient"))
    for entry, legs in enumerate(entries(3, 4)):
        total = 0.0
        for pair in combinations(range(4), 2):
            rest = [leg for leg in range(4) if leg not in pair]
            product = np.prod(slope[legs[list(pair)]], axis=0)
            total -= 4 * WEIGHTS @ (product * np.prod(plain[legs[rest]], axis=0))
        assert found[entry] == pytest.approx(total, rel=1e-8)


@pytest.mark.parametrize("name", ["lambda_nl", "lambda_nl2"])
def test_bilocal_operators_agree_with_a_product_rule(name):
    power = {"lambda_nl": 0, "lambda_nl2": 2}[name]
    found = column(operator(name))
    for entry in (0, 4, 7):
        expected = two_point_integral(
            scalar_kernel(erf_net()),
            (0, 0, 1, 1),
            X[entries(3, 4)[entry]],
            CUTOFF,
            lambda y, z: np.abs(y - z) ** power,
            nodes=40,
        )
        assert found[entry] == pytest.approx(expected, rel=1e-9)


def test_a_product_weight_and_a_plain_one_agree():
    plain = Operator(
        name="plain",
        symbol="p",
        fields=(0, 0, 1, 1),
        weight=lambda y, z: np.sum((y - z) ** 2, axis=-1),
    )
    np.testing.assert_allclose(
        column(plain), column(operator("lambda_nl2")), rtol=1e-9, atol=0
    )


def test_three_points_factorise():
    three = Operator(name="three", symbol="t", fields=(0, 0, 1, 1, 2, 2))
    net = erf_net()
    nodes, weights = np.polynomial.legendre.leggauss(200)
    y, q = CUTOFF * nodes, CUTOFF * weights
    table = net.propagator(X, y)
    joined = (table * q) @ table.T
    expected = []
    for legs in entries(3, 6):
        total = sum(
            joined[legs[o[0]], legs[o[1]]]
            * joined[legs[o[2]], legs[o[3]]]
            * joined[legs[o[4]], legs[o[5]]]
            for o in permutations(range(6))
        )
        expected.append(-total)
    np.testing.assert_allclose(column(three), expected, rtol=1e-7)


def test_the_squared_quadratic_form_does_not_know_the_cutoff():
    net = erf_net()
    table = net.propagator(X)
    form = Integrals(net, X, [1.0, 50.0])
    values = form.first_order(operator("quadratic_squared")).values
    for entry, (a, b, c, d) in enumerate(entries(3, 4)):
        wick = (
            table[a, b] * table[c, d]
            + table[a, c] * table[b, d]
            + table[a, d] * table[b, c]
        )
        np.testing.assert_allclose(values[:, entry], -2 * wick, rtol=1e-14)
    assert not form.log_cutoff_derivative(operator("quadratic_squared")).any()


@pytest.mark.slow
def test_bare_tadpoles_of_a_local_operator():
    """G2 ∋ −12 λ ∫ K K K(y,y); κ: G4c ∋ −360 ∫ KKKK K(y,y), G2 ∋ −90 ∫ KK K(y,y)²."""
    kernel = scalar_kernel(erf_net())

    def expected(factor, legs, loops):
        return -factor * integral(
            lambda y: kernel(y, y) ** loops * np.prod([kernel(leg, y) for leg in legs])
        )

    for name, order, factor, loops in (
        ("lambda_0", 2, 12, 1),
        ("kappa", 4, 360, 1),
        ("kappa", 2, 90, 2),
    ):
        found = column(operator(name), order)
        for entry in (0, 2, len(found) - 1):
            legs = X[entries(3, order)[entry]]
            exact = expected(factor, legs, loops)
            assert found[entry] == pytest.approx(exact, rel=1e-8), (name, order)


def test_bare_tadpole_of_the_gradient():
    """f²|∇f|² with two legs: K'K'⟨ff⟩, KK⟨f'f'⟩ and K K'⟨ff'⟩, 2, 2 and 4 times."""
    plain, slope, variance, mixed, both = gradient_tables(erf_net())
    found = column(operator("gradient"), 2)
    for entry, (a, b) in enumerate(entries(3, 2)):
        integrand = 2 * slope[a] * slope[b] * variance + 2 * plain[a] * plain[b] * both
        integrand += 4 * (plain[a] * slope[b] + slope[a] * plain[b]) * mixed
        # ⟨f'f'⟩ by differences is good to STEP² times a fourth derivative of a few
        assert found[entry] == pytest.approx(-WEIGHTS @ integrand, rel=4 * STEP**2)


def test_bare_line_between_two_points():
    """(∫f²)² with two legs: −8 ∫∫ K(a,y)K(y,z)K(z,b) − 4 P(a,b) ∫K(z,z)."""
    net = erf_net()
    nodes, weights = np.polynomial.legendre.leggauss(120)
    y, q = CUTOFF * nodes, CUTOFF * weights
    table = net.propagator(X, y) * q
    chain = table @ net.propagator(y, y) @ table.T
    loop = q @ np.diag(net.propagator(y, y))
    expected = -8 * chain - 4 * (table @ net.propagator(y, X)) * loop
    rows, columns = entries(3, 2).T
    np.testing.assert_allclose(
        column(operator("lambda_nl"), 2), expected[rows, columns], rtol=1e-8
    )


def test_a_weight_of_the_wrong_shape_is_refused():
    bad = Operator(name="bad", symbol="b", fields=(0, 0), weight=lambda y: y**2)
    with pytest.raises(PluginError, match=r"'bad': its weight has shape \(\d+, 1\)"):
        column(bad)
    factors = ProductWeight((lambda y: y[..., 0], lambda y: y))
    bad = Operator(name="bad", symbol="b", fields=(0, 1), weight=factors)
    with pytest.raises(PluginError, match=r"factor 0 of its weight has shape \(\d+,\)"):
        column(bad)


def test_three_points_with_a_weight_that_does_not_factorise_are_unavailable():
    three = Operator(
        name="three",
        symbol="t",
        fields=(0, 0, 1, 1, 2, 2),
        weight=lambda a, b, c: np.abs(a - b - c)[..., 0],
    )
    with pytest.raises(UnavailableError, match="'three' has 3 integration points"):
        column(three)
