import numpy as np
import pyerrors
import pytest
from oracles.gamma_method import autoregression, gamma_method
from scipy import stats

import nnft_ppl as nnft

X = [0.0, 1.0]


def chains(seed, rho, shape):
    return autoregression(np.random.default_rng(seed), rho, shape)


def fourth_cumulant(moments):
    """κ4 from E f … E f⁴."""
    a, b, c, d = moments
    return d - 4 * c * a - 3 * b**2 + 12 * b * a**2 - 6 * a**4


def test_one_chain_has_the_errors_of_pyerrors():
    values = chains(0, 0.8, (1, 5000, 2)) + 3.0
    found = nnft.correlators_from_draws(values, X, chains=True)
    for leg in (0, 1):
        powers = [
            pyerrors.Obs([values[0, :, leg] ** k], ["chain"]) for k in (1, 2, 3, 4)
        ]
        moments = dict(enumerate(powers, start=1))
        theirs = {
            1: moments[1],
            2: moments[2] - moments[1] ** 2,
            4: fourth_cumulant(powers),
        }
        for k, one in theirs.items():
            one.gamma_method()
            entry = (found.entries(k) == leg).all(axis=1)
            assert found.connected(k)[entry] == pytest.approx(one.value, rel=1e-8)
            assert found.connected_error(k)[entry] == pytest.approx(
                one.dvalue, rel=1e-7
            )
            assert found.autocorrelation[k][entry] == pytest.approx(
                one.e_tauint["chain"], rel=1e-3
            )


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.95])
def test_several_chains_have_the_errors_of_the_paper(rho):
    # The last needs windows beyond the first that is tried, and blocks are crossed.
    values = chains(1, rho, (3, 20_000, 1))
    found = nnft.correlators_from_draws(values, [0.0], (1, 2), chains=True)
    variance, time = gamma_method(values[:, :, 0])
    assert found.connected_error(1)[0] ** 2 == pytest.approx(variance, rel=1e-9)
    assert found.autocorrelation[1][0] == pytest.approx(time, rel=1e-9)
    square = (values[:, :, 0] - values.mean()) ** 2
    variance, _ = gamma_method(square)
    assert found.connected_error(2)[0] ** 2 == pytest.approx(variance, rel=1e-9)


def test_chains_without_memory_have_the_errors_of_independent_draws():
    values = chains(2, 0.0, (4, 5000, 2))
    found = nnft.correlators_from_draws(values, X, chains=True)
    plain = nnft.correlators_from_draws(values.reshape(-1, 2), X)
    for k in found.orders:
        np.testing.assert_allclose(found.connected(k), plain.connected(k), atol=1e-12)
        ratio = found.connected_error(k) / plain.connected_error(k)
        # A variance of a window of W has the relative error √(2(2W + 1)/N).
        np.testing.assert_allclose(ratio, 1.0, atol=0.08)


def test_the_covariance_is_semidefinite_and_has_the_correlation_of_slow_modes():
    # f = slow + fast, f' = slow − fast: alike over long times, not at equal ones.
    slow = chains(3, 0.98, (2, 100_000, 1))
    fast = chains(4, 0.0, (2, 100_000, 1))
    values = np.concatenate([slow + fast, slow - fast], axis=2)
    found = nnft.correlators_from_draws(values, X, (1, 2), chains=True)
    assert np.linalg.eigvalsh(found.joint_covariance)[0] > -1e-12
    covariance = found.covariance(1)
    times = 1.98 / 0.02
    expected = (times - 1) / (times + 1)
    correlation = covariance[0, 1] / covariance[0, 0]
    # Means over batches are of 16 times τ at most, of which some is lost at the ends.
    assert expected - 0.1 < correlation < 1.0


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.6, 0.9])
def test_errors_of_chains_cover_the_truth_at_the_stated_rate(rho):
    scores, errors = [], []
    for seed in range(200):
        values = chains(10 + seed, rho, (1, 4000, 1))
        found = nnft.correlators_from_draws(values, [0.0], (1, 2), chains=True)
        scores.append(found.connected(1)[0] / found.connected_error(1)[0])
        errors.append(found.connected_error(1)[0])
    exact = np.sqrt((1 + rho) / (1 - rho) / 4000)
    assert np.mean(errors) == pytest.approx(exact, rel=0.03)
    inside = int((np.abs(scores) < 1).sum())
    assert stats.binomtest(inside, 200, 0.6827).pvalue > 1e-3


def test_chains_shorter_than_their_autocorrelation_are_refused():
    walk = np.cumsum(chains(5, 0.0, (4, 2000, 2)), axis=1)
    with pytest.raises(nnft.SpecError, match="give longer chains"):
        nnft.correlators_from_draws(walk, X, chains=True)
    stuck = chains(6, 0.0, (4, 2000, 2)) + 5.0 * np.arange(4)[:, None, None]
    with pytest.raises(nnft.SpecError, match="give longer chains"):
        nnft.correlators_from_draws(stuck, X, chains=True)


def test_even_orders_of_a_chain_take_its_error_for_the_mean():
    values = chains(7, 0.9, (1, 20_000, 2))
    # Beyond six standard errors of independent draws, not of these.
    values += 0.9 * 6 / 20_000**0.5 - values.mean(axis=1)
    assert nnft.correlators_from_draws(values, X, (2, 4), chains=True).orders == (2, 4)
    with pytest.raises(nnft.SpecError, match="ask for odd orders too"):
        nnft.correlators_from_draws(values + 0.5, X, (2, 4), chains=True)


def test_a_broken_draw_of_a_chain_is_named():
    values = chains(8, 0.0, (2, 1000, 2))
    values[1, 300, 0] = np.nan
    with pytest.raises(nnft.SpecError, match=r"nan at \[1, 300, 0\]"):
        nnft.correlators_from_draws(values, X, chains=True)
