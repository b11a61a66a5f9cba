"""The Edgeworth density against Gauss–Hermite quadrature, 1 to 3 dimensions."""

from itertools import combinations_with_replacement, product

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss
from scipy import integrate, stats

from nnft_ppl import SpecError
from nnft_ppl.eft.density import EdgeworthDensity

KERNELS = {
    1: np.array([[1.7]]),
    2: np.array([[1.0, 0.3], [0.3, 0.5]]),
    3: np.array([[1.0, 0.4, 0.1], [0.4, 0.8, -0.2], [0.1, -0.2, 2.0]]),
}


def packed(num_points, seed=0, couplings=1):
    """A random symmetric 4-tensor per coupling, packed."""
    number = len(list(combinations_with_replacement(range(num_points), 4)))
    return 0.02 * np.random.default_rng(seed).normal(size=(number, couplings))


def gaussian_rule(kernel, nodes=12):
    """Points and weights of a product rule for N(0, kernel), by Cholesky."""
    unit, weight = hermegauss(nodes)
    dim = len(kernel)
    points = np.array(list(product(unit, repeat=dim))) @ np.linalg.cholesky(kernel).T
    weights = np.prod(list(product(weight / weight.sum(), repeat=dim)), axis=1)
    return points, weights


def moments(points, weights, order):
    """Packed E[f…f] under weighted points."""
    dim = points.shape[1]
    return np.array(
        [
            weights @ np.prod(points[:, list(index)], axis=1)
            for index in combinations_with_replacement(range(dim), order)
        ]
    )


def pairings(kernel):
    """Packed Σ_3 KK."""
    return np.array(
        [
            kernel[a, b] * kernel[c, d]
            + kernel[a, c] * kernel[b, d]
            + kernel[a, d] * kernel[b, c]
            for a, b, c, d in combinations_with_replacement(range(len(kernel)), 4)
        ]
    )


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_norm_covariance_and_fourth_cumulant_are_exact(dim):
    kernel, columns = KERNELS[dim], packed(dim, couplings=2)
    density = EdgeworthDensity.build(kernel, columns)
    couplings = np.array([0.7, -0.4])
    points, weights = gaussian_rule(kernel)
    weights = weights * (1 + density.response(points) @ couplings)
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    second = kernel[np.triu_indices(dim)]
    np.testing.assert_allclose(moments(points, weights, 2), second, atol=1e-12)
    fourth = moments(points, weights, 4) - pairings(kernel)
    np.testing.assert_allclose(fourth, columns @ couplings, atol=1e-12)


def test_sixth_cumulant_vanishes():
    """First order in g has G4c alone: E f⁶ = 15 K³ + 15 K G4c in one dimension."""
    kernel, columns = KERNELS[1], np.array([[0.05]])
    density = EdgeworthDensity.build(kernel, columns)
    points, weights = gaussian_rule(kernel)
    weights = weights * (1 + density.response(points)[:, 0])
    expected = 15 * 1.7**3 + 15 * 1.7 * 0.05
    assert moments(points, weights, 6)[0] == pytest.approx(expected, rel=1e-12)


def test_log_density_integrates_to_one_over_the_plane():
    kernel = KERNELS[2]
    density = EdgeworthDensity.build(kernel, 0.02 * pairings(kernel)[:, None])
    grid = np.linspace(-8, 8, 161)
    fields = np.array(list(product(grid, grid)))
    values = np.exp(density.log_density(fields, [1.0])).reshape(161, 161)
    total = integrate.simpson(integrate.simpson(values, x=grid), x=grid)
    assert total == pytest.approx(1, abs=1e-6)
    one = np.array([[0.2, 0.1]])
    gaussian = stats.multivariate_normal(np.zeros(2), kernel).logpdf(one)
    assert density.log_density(one, [1.0])[0] == pytest.approx(
        gaussian + np.log(1 + density.response(one)[0, 0]), abs=1e-12
    )


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_information_is_the_gaussian_expectation_of_the_squared_response(dim):
    kernel = KERNELS[dim]
    density = EdgeworthDensity.build(kernel, packed(dim, couplings=2))
    points, weights = gaussian_rule(kernel)
    response = density.response(points)
    expected = response.T @ (weights[:, None] * response)
    np.testing.assert_allclose(density.information, expected, rtol=1e-10)
    inverse = np.linalg.inv(kernel)
    dense = np.zeros((2, *(dim,) * 4))
    table = list(combinations_with_replacement(range(dim), 4))
    for index in product(range(dim), repeat=4):
        row = table.index(tuple(sorted(index)))
        dense[(slice(None), *index)] = packed(dim, couplings=2)[row]
    by_hand = np.einsum(
        "zabcd,ae,bf,cg,dh,yefgh->zy", dense, *[inverse] * 4, dense, optimize=True
    )
    np.testing.assert_allclose(density.information, by_hand / 24, rtol=1e-10)


def test_a_field_that_has_only_one_degree_of_freedom_keeps_one_mode():
    """f(x) = z φ(x): three points say no more than one."""
    shape = np.array([0.5, 1.0, 2.0])
    table = list(combinations_with_replacement(range(3), 4))
    columns = np.array([[np.prod(shape[list(index)])] for index in table])
    density = EdgeworthDensity.build(np.outer(shape, shape), columns)
    assert (density.num_modes, density.num_dropped) == (1, 2)
    z = np.array([0.3, -1.2, 4.0])
    alone = EdgeworthDensity.build(np.eye(1), np.ones((1, 1)))
    found = density.response(np.outer(z, shape))
    np.testing.assert_allclose(found, alone.response(z[:, None]), rtol=1e-10)
    np.testing.assert_allclose(
        found[:, 0], (z**4 - 6 * z**2 + 3) / 24, rtol=1e-10, atol=1e-12
    )


def test_log_density_is_minus_infinity_where_the_bracket_is_negative():
    density = EdgeworthDensity.build(np.eye(1), np.ones((1, 1)))
    fields = np.array([[0.0], [np.sqrt(3)]])  # He4 = 3 and −6
    bracket = 1 + 4.5 * np.array([3.0, -6.0]) / 24
    assert bracket[1] < 0
    found = density.log_density(fields, [4.5])
    assert found[0] == pytest.approx(stats.norm.logpdf(0) + np.log(bracket[0]))
    assert found[1] == -np.inf


def test_many_draws_are_taken_in_blocks(monkeypatch):
    density = EdgeworthDensity.build(KERNELS[2], packed(2))
    fields = np.random.default_rng(1).normal(size=(1001, 2))
    whole = density.response(fields)
    monkeypatch.setattr("nnft_ppl.eft.density._BLOCK_SIZE", 5 * 64)
    np.testing.assert_allclose(density.response(fields), whole, rtol=1e-12)


@pytest.mark.parametrize(
    ("kernel", "columns", "tolerance", "message"),
    [
        (np.ones(3), np.ones((15, 1)), 1e-6, r"shape \(3,\); expected \(point, point"),
        (np.eye(3), np.ones((14, 1)), 1e-6, r"expected \(15, couplings\)"),
        (np.eye(3), np.full((15, 1), np.nan), 1e-6, "not finite"),
        (np.eye(3), np.ones((15, 1)), 1.0, "`mode_tolerance` is 1.0"),
        (np.diag([1.0, -0.5]), np.ones((5, 1)), 1e-6, "eigenvalues between -0.5"),
        (np.zeros((1, 1)), np.ones((1, 1)), 1e-6, "eigenvalues between 0"),
    ],
)
def test_unusable_input_is_refused(kernel, columns, tolerance, message):
    with pytest.raises(SpecError, match=message):
        EdgeworthDensity.build(kernel, columns, mode_tolerance=tolerance)


def test_fields_and_couplings_of_the_wrong_shape_are_refused():
    density = EdgeworthDensity.build(np.eye(2), np.ones((5, 1)))
    with pytest.raises(SpecError, match=r"shape \(4, 3\); expected \(draws, 2\)"):
        density.response(np.zeros((4, 3)))
    with pytest.raises(SpecError, match=r"shape \(2,\); expected \(1,\)"):
        density.log_density(np.zeros((4, 2)), [1.0, 2.0])
