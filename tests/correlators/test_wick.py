from itertools import permutations

import numpy as np
import pytest
from numpy.polynomial import hermite_e

from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.correlators.wick import (
    connected_from_moments,
    gaussian_moment,
    moment_from_connected,
    pack_kernel,
    wick_powers,
)


def random_kernel(seed, n=3):
    a = np.random.default_rng(seed).normal(size=(n, n + 2))
    return a @ a.T


def brute_force_pairings(kernel, legs):
    """Σ over pairings as Σ over permutations / (2^m m!)."""
    k = len(legs)
    total = sum(
        np.prod([kernel[legs[p[i]], legs[p[i + 1]]] for i in range(0, k, 2)])
        for p in permutations(range(k))
    )
    return total / (2 ** (k // 2) * np.prod(range(1, k // 2 + 1)))


@pytest.mark.parametrize("order", [2, 4, 6])
def test_gaussian_moment_is_the_sum_over_pairings(order):
    kernel = random_kernel(0)
    expected = [brute_force_pairings(kernel, legs) for legs in entries(3, order)]
    np.testing.assert_allclose(gaussian_moment(kernel, order), expected, rtol=1e-12)


def test_wick_powers_at_one_point_are_hermite_polynomials():
    variance, field = 1.7, np.linspace(-2, 2, 9)
    powers = wick_powers(field[None], np.array([variance]), (2, 4, 6, 8))
    for order, power in powers.items():
        z = field / np.sqrt(variance)
        expected = variance ** (order / 2) * hermite_e.hermeval(z, [0] * order + [1])
        np.testing.assert_allclose(power[0], expected, atol=1e-12)


def test_wick_powers_of_a_gaussian_field_have_zero_mean():
    kernel = random_kernel(1)
    # Exact means by Gauss-Hermite quadrature over the three Gaussian coordinates.
    nodes, weights = hermite_e.hermegauss(8)
    grid = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij")).reshape(3, -1)
    weight = np.prod(
        np.stack(np.meshgrid(*[weights] * 3, indexing="ij")), axis=0
    ).ravel()
    field = np.linalg.cholesky(kernel) @ grid
    for power in wick_powers(field, pack_kernel(kernel), (2, 4, 6)).values():
        np.testing.assert_allclose(power @ weight / weight.sum(), 0, atol=1e-9)


def test_moments_and_cumulants_invert_each_other():
    rng = np.random.default_rng(2)
    connected = {k: rng.normal(size=len(entries(3, k))) for k in (2, 4, 6, 8)}
    moments = {k: moment_from_connected(connected, 3, k)[0] for k in (2, 4, 6, 8)}
    for k in (2, 4, 6):
        back = connected_from_moments(moments, 3, k)[0]
        np.testing.assert_allclose(back, connected[k], rtol=1e-10, atol=1e-10)


def test_one_point_cumulants_are_the_textbook_ones():
    m2, m4, m6 = 1.3, 7.0, 90.0
    moments = {2: np.array([m2]), 4: np.array([m4]), 6: np.array([m6])}
    assert connected_from_moments(moments, 1, 4)[0] == pytest.approx(m4 - 3 * m2**2)
    expected = m6 - 15 * m4 * m2 + 30 * m2**3
    assert connected_from_moments(moments, 1, 6)[0] == pytest.approx(expected)


def test_jacobians_are_derivatives():
    rng = np.random.default_rng(3)
    connected = {k: rng.normal(size=len(entries(2, k))) for k in (2, 4, 6, 8)}
    _, jacobian = moment_from_connected(connected, 2, 6)
    for k in (2, 4, 6):
        for i in range(len(connected[k])):
            plus, minus = dict(connected), dict(connected)
            step = np.eye(len(connected[k]))[i] * 1e-5
            plus[k], minus[k] = connected[k] + step, connected[k] - step
            slope = (
                moment_from_connected(plus, 2, 6)[0]
                - moment_from_connected(minus, 2, 6)[0]
            ) / 2e-5
            np.testing.assert_allclose(jacobian[k][:, i], slope, atol=1e-6)
