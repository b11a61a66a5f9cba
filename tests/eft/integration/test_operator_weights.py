"""Weights that plugins may write wrongly are named, with the point where they fail."""

import numpy as np
import pytest

from nnft_ppl import Operator, PluginError, network
from nnft_ppl.eft.integrals import first_order
from nnft_ppl.operator import ProductWeight

X = np.array([0.2, 0.7])


def column(fields, weight, measure=None):
    net = network("erf-net", width=10, input_dim=1, bias_std=1.0)
    given = Operator(name="mine", symbol="m", fields=fields, weight=weight)
    return first_order(given, net, X, [2.0], measure).values


def ones(y):
    return np.ones_like(y)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (lambda y: np.log(y[..., 0] - 9), r"'mine': its weight is NaN at y = \["),
        (lambda y: y[..., 0] * 1j, "it gives complex128 numbers"),
        (lambda y: "no", "'mine': its weight failed .*expected a function of one"),
        (lambda y, z: y[..., 0], "missing 1 required positional argument"),
        (lambda y: 2.0, r"its weight has shape \(\)"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(weight, message):
    with pytest.raises(PluginError, match=message):
        column((0,) * 4, weight)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ((ones, lambda y: y * np.nan), "factor 1 of its weight is NaN at y = "),
        ((ones, lambda y: np.repeat(y, 2, -1)), "give 1 and 2 terms"),
        ((ones, lambda y: y[..., 0] / None), "factor 1 of its weight failed"),
    ],
)
def test_factors_that_do_not_match_are_refused(factors, message):
    with pytest.raises(PluginError, match=message):
        column((0, 0, 1, 1), ProductWeight(factors))


def test_a_weight_need_not_be_symmetric():
    """∫∫ f(y)² f(z)² w(y): legs are summed over both points either way."""
    one_sided = column((0, 0, 1, 1), lambda y, z: np.exp(-(y[..., 0] ** 2)))
    other = column((0, 0, 1, 1), lambda y, z: np.exp(-(z[..., 0] ** 2)))
    factors = ProductWeight((lambda y: np.exp(-(y**2)), ones))
    np.testing.assert_allclose(one_sided, other, rtol=1e-9)
    np.testing.assert_allclose(one_sided, column((0, 0, 1, 1), factors), rtol=1e-9)


def test_four_points_factorise():
    """(∫f²)⁴ with one input: 8! orders of the legs, each P⁴ with P = ∫ K²."""
    net = network("erf-net", width=10, input_dim=1, bias_std=1.0)
    two = Operator(name="two", symbol="2", fields=(0, 0))
    four = Operator(name="four", symbol="4", fields=(0, 0, 1, 1, 2, 2, 3, 3))
    pair = first_order(two, net, X[:1], [2.0]).values[0, 0] / -2
    found = first_order(four, net, X[:1], [2.0]).values[0, 0]
    assert found == pytest.approx(-40320 * pair**4, rel=1e-9)
