from math import prod

import numpy as np
import pytest
from scipy import stats

import nnft_ppl as nnft
from nnft_ppl.correlators.symmetric import entries, positions
from nnft_ppl.correlators.wick import gaussian_moment
from nnft_ppl.inference.couplings.omitted_orders import (
    Known,
    TruncationPrior,
    coefficient_correlation,
    effective_number,
    known_coefficients,
    reference_connected,
    reference_terms,
    truncation_draws,
)

ONE = np.array([[1.0]])
KERNEL = np.array([[1.0, 0.4, 0.1], [0.4, 0.7, 0.3], [0.1, 0.3, 0.9]])


@pytest.mark.parametrize("order", [2, 4, 6, 8])
def test_terms_at_one_input_are_those_of_the_product(order):
    """E f^k of the linear network is (k−1)!! K^{k/2} Π_{j<k/2} (1 + j Q)."""
    variance = 1.7
    terms = reference_terms(variance * ONE, variance * ONE, order)[:, 0]
    polynomial = np.polynomial.Polynomial([1.0])
    for j in range(order // 2):
        polynomial = polynomial * np.polynomial.Polynomial([1.0, j])
    expected = polynomial.coef * prod(range(1, order, 2)) * variance ** (order // 2)
    np.testing.assert_allclose(terms, expected, rtol=1e-12)


@pytest.mark.parametrize("bias_variance", [0.0, 0.5])
@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("order", [4, 6])
def test_terms_sum_to_the_moments_of_narrow_linear_networks(
    order, width, bias_variance
):
    """Every product of a_j g_j(x) and the bias by hand: legs dealt to N + 1 places."""
    table = entries(3, order)
    q = 2 / width
    expected = []
    for legs in table:
        total = 0.0
        for owner in np.ndindex(*(width + 1,) * order):
            value = 1.0
            for place in range(width + 1):
                mine = [leg for leg, o in zip(legs, owner, strict=True) if o == place]
                if len(mine) % 2:
                    value = 0.0
                    break
                odd_factorial = prod(range(1, len(mine), 2))
                if place == width:
                    value *= odd_factorial * bias_variance ** (len(mine) / 2)
                elif mine:
                    wick = gaussian_moment(KERNEL, len(mine))
                    value *= odd_factorial * wick[positions(3, np.array(mine))]
                    value /= width ** (len(mine) / 2)
            total += value
        expected.append(total)
    terms = reference_terms(KERNEL + bias_variance, KERNEL, order)
    found = q ** np.arange(order // 2) @ terms
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_terms_are_sizes_without_the_kernel_sign():
    flipped = KERNEL * np.outer([1, -1, 1], [1, -1, 1])
    np.testing.assert_allclose(
        reference_terms(flipped, flipped, 6), reference_terms(KERNEL, KERNEL, 6)
    )


def test_correlation_of_one_moved_leg_follows_the_inputs():
    r = coefficient_correlation(KERNEL, 6)
    table = entries(3, 6)
    first, second = positions(3, np.array([[0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 2, 2]]))
    rho = KERNEL[0, 1] / np.sqrt(KERNEL[0, 0] * KERNEL[1, 1])
    assert r[first, second] == pytest.approx(np.exp(-(1 - rho**2) / 2), rel=1e-12)
    assert np.linalg.eigvalsh(r).min() > -1e-12
    np.testing.assert_allclose(np.diag(r), 1.0)
    mirrored = coefficient_correlation(np.array([[1.0, -1.0], [-1.0, 1.0]]), 6)
    np.testing.assert_allclose(mirrored, 1.0)
    dead = coefficient_correlation(np.diag([0.0, 1.0]), 2)
    assert np.isfinite(dead).all()
    assert len(r) == len(table)


def test_effective_number_counts_independent_entries():
    assert effective_number(np.eye(7)) == pytest.approx(7)
    assert effective_number(np.ones((7, 7))) == pytest.approx(1)


def test_known_coefficients_are_those_planted():
    q, c2 = np.array([[0.05], [0.2]]), 3.0
    connected = {
        4: -q[..., None] * reference_connected(KERNEL, 4),
        6: c2 * q[..., None] ** 2 * reference_connected(KERNEL, 6),
    }
    prior = TruncationPrior(2.0, 1.5)
    alone = known_coefficients({4: connected[4]}, KERNEL, prior)
    np.testing.assert_allclose(alone.parameter, q, rtol=1e-12)
    assert alone.degrees_of_freedom == 2.0
    np.testing.assert_allclose(alone.scale, 1.5)
    both = known_coefficients(connected, KERNEL, prior)
    number = effective_number(coefficient_correlation(KERNEL, 6))
    assert both.degrees_of_freedom == pytest.approx(2 + number)
    expected = np.sqrt((2 * 1.5**2 + number * c2**2) / (2 + number))
    np.testing.assert_allclose(both.scale, expected)
    six_alone = known_coefficients({6: connected[6]}, KERNEL, prior)
    np.testing.assert_allclose(six_alone.parameter, np.sqrt(c2) * q)


def test_the_error_of_one_omitted_power_is_a_student_t():
    num_draws, q = 4000, 0.3
    known = Known(np.full((num_draws, 1), q), 2.0, np.full((num_draws, 1), 0.7))
    rng = np.random.default_rng(1)
    draws = truncation_draws(known, ONE, ONE, 6, 1, rng)[:, 0, 0]
    # c_2 Q² T_2 with T_2 = 30 at K = 1.
    law = stats.t(2.0, scale=0.7 * q**2 * 30)
    assert stats.kstest(draws, law.cdf).pvalue > 1e-3
    assert stats.kstest(draws / 1.2, law.cdf).pvalue < 1e-3


def test_entries_have_the_correlation_and_the_size_of_the_terms():
    num_draws = 20_000
    freedom = 1e6  # so that c̄ is one number and the draws are normal
    known = Known(np.full((num_draws, 1), 0.1), freedom, np.ones((num_draws, 1)))
    rng = np.random.default_rng(2)
    draws = truncation_draws(known, KERNEL, KERNEL, 6, 1, rng)[:, 0]
    size = 0.1**2 * reference_terms(KERNEL, KERNEL, 6)[2]
    expected = coefficient_correlation(KERNEL, 6)
    found = (draws / size).T @ (draws / size) / num_draws
    # Standard error of a covariance of unit normals: at most √(2/draws).
    assert np.abs(found - expected).max() < 5 * np.sqrt(2 / num_draws)


def test_cutoffs_share_the_random_numbers():
    known = Known(np.full((50, 2), 0.1), 2.0, np.ones((50, 2)))
    draws = truncation_draws(known, KERNEL, KERNEL, 8, 1, np.random.default_rng(0))
    np.testing.assert_array_equal(draws[:, 0], draws[:, 1])
    assert draws.shape == (50, 2, len(entries(3, 8)))


def test_nothing_is_left_out_at_the_highest_power():
    known = Known(np.full((5, 1), 0.1), 2.0, np.ones((5, 1)))
    for order in (2, 4, 6, 8):
        draws = truncation_draws(
            known, KERNEL, KERNEL, order, order // 2 - 1, np.random.default_rng(0)
        )
        assert not draws.any()


def test_bands_hold_what_they_promise_when_the_model_is_true():
    """c̄ from the prior, c_2 seen, c_3 predicted: its rank among draws is uniform."""
    rng = np.random.default_rng(3)
    prior, q, num_cases, num_draws = TruncationPrior(2.0, 1.0), 0.2, 400, 200
    spread = np.sqrt(2.0 / rng.chisquare(2.0, num_cases))
    c2, c3 = spread * rng.normal(size=(2, num_cases))
    connected = {
        4: np.full((num_cases * num_draws, 1, 1), 3 * q),
        6: np.repeat(30 * c2 * q**2, num_draws)[:, None, None],
    }
    known = known_coefficients(connected, ONE, prior)
    draws = truncation_draws(known, ONE, ONE, 8, 2, rng).reshape(num_cases, -1)
    rank = np.mean(draws < 630 * c3[:, None] * q**3, axis=1)
    assert stats.kstest(rank, "uniform").pvalue > 1e-3


def test_relu_is_near_the_linear_network():
    """G6/G6_GP = 1 + 15/N + 44/N² is 1 + 3 Q + 2 c_2 Q² with Q = 5/N, c_2 = 0.88."""
    net = nnft.network("relu-net", width=20, input_dim=1)
    exact = nnft.exact_correlators(net, [0.5, 1.0], (2, 4, 6))
    propagator = net.propagator(exact.x)
    prior = TruncationPrior(1e-9, 1.0)
    connected = {k: exact.connected(k)[None, None] for k in (4, 6)}
    known = known_coefficients(connected, propagator, prior)
    assert known.parameter[0, 0] == pytest.approx(5 / 20, rel=1e-9)
    assert known.scale[0, 0] == pytest.approx(44 / 50, rel=1e-6)
