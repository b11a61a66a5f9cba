import jax
import numpy as np
import pytest
from oracles.gamma_method import autoregression
from scipy import stats

import nnft_ppl as nnft

X = np.array([-0.6, 0.3, 0.9])
FACTOR = np.array([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [0.2, 0.3, 1.1]])
NAMES = ["mean", "order_3", "odd_orders"]


def p_values(draws, **arguments):
    corr = nnft.correlators_from_draws(draws, X, (1, 2, 3), **arguments)
    tests = nnft.sign_symmetry(corr)
    assert [test.name for test in tests] == NAMES
    return [test.value for test in tests]


def over_replicas(draw, number=200):
    return np.array([p_values(draw(np.random.default_rng(i))) for i in range(number)])


@pytest.mark.parametrize("law", ["normal", "uniform"])
def test_p_values_are_uniform_where_f_and_minus_f_are_alike(law):
    def draw(rng):
        noise = rng.standard_normal if law == "normal" else rng.random
        return (noise((2000, 3)) - (law == "uniform") / 2) @ FACTOR.T

    for found in over_replicas(draw).T:
        assert stats.kstest(found, "uniform").pvalue > 1e-3


def test_few_draws_do_not_make_the_mean_significant():
    # χ² in place of F would fail here: 40 draws, of which 19 entries take a share.
    found = over_replicas(lambda rng: rng.standard_normal((40, 3)), 400)
    assert stats.kstest(found[:, 0], "uniform").pvalue > 1e-3
    corr = nnft.correlators_from_draws(
        np.random.default_rng(0).standard_normal((40, 3)), X, (1, 2, 3)
    )
    mean, *_ = nnft.sign_symmetry(corr)
    f = (40 - 3) / (3 * 39) * mean.statistic
    assert mean.value == pytest.approx(stats.f.sf(f, 3, 37))


def test_a_mean_of_three_standard_errors_is_found():
    number = 2000
    shift = np.array([3 / number**0.5, 0.0, 0.0])  # before they are mixed

    def draw(rng):
        return (rng.standard_normal((number, 3)) + shift) @ FACTOR.T

    found = over_replicas(draw, 150)
    # Noncentral χ² of 3 degrees with 3²: the power at 5 % is 0.71.
    power = stats.ncx2.sf(stats.chi2.isf(0.05, 3), 3, 3**2)
    assert power > 0.7
    assert stats.binomtest(int((found[:, 0] < 0.05).sum()), 150, power).pvalue > 1e-3
    assert (found[:, 1] < 0.01).mean() < 0.06
    one = nnft.correlators_from_draws(
        np.random.default_rng(9).standard_normal((number, 1)) + 3 / number**0.5,
        [0.0],
        (1, 2),
    )
    (test,) = nnft.sign_symmetry(one)
    z = one.connected(1)[0] / one.connected_error(1)[0]
    expected = 2 * stats.t.sf(abs(z), one.num_batches - 1)
    assert test.value == pytest.approx(expected, rel=1e-6)
    assert test.value < 0.01


def test_a_skewed_law_without_a_mean_fails_the_third_order_alone():
    draws = np.random.default_rng(1).gamma(4.0, 1.0, (20_000, 3)) - 4.0
    mean, third, both = nnft.sign_symmetry(
        nnft.correlators_from_draws(draws, X, (1, 2, 3))
    )
    assert mean.passed
    assert not third.passed
    assert not both.passed
    assert "not zero" in third.message


def test_chains_are_tested_with_their_own_errors():
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        chain = autoregression(rng, 0.7, (2, 2000, 3)) @ FACTOR.T
        found.append(p_values(chain, chains=True)[0])
    assert stats.kstest(found, "uniform").pvalue > 1e-3


def test_collinear_inputs_count_once():
    draws = np.random.default_rng(2).standard_normal((3000, 2))
    draws = np.concatenate([draws, draws[:, :1] * 2], axis=1)
    mean, *_ = nnft.sign_symmetry(nnft.correlators_from_draws(draws, X, (1, 2, 3)))
    assert mean.num_modes == 2


def test_networks_are_alike_measured_or_by_their_symmetry():
    net = nnft.network("relu-net", width=5, input_dim=1, bias_std=1.0)
    arguments = {"num_draws": 20_000, "key": jax.random.key(0)}
    plain = nnft.measure_correlators(net, X, (1, 3), estimator="moments", **arguments)
    assert all(test.value > 1e-3 for test in nnft.sign_symmetry(plain))
    assert all(test.num_modes for test in nnft.sign_symmetry(plain))
    known = nnft.measure_correlators(net, X, (1, 3), **arguments)
    for test in nnft.sign_symmetry(known):
        assert (test.value, test.num_modes) == (1.0, 0)
        assert "by a symmetry" in test.message


def test_what_cannot_be_tested_is_refused():
    net = nnft.network("relu-net", width=5, input_dim=1)
    with pytest.raises(nnft.SpecError, match="a test is of measured ones"):
        nnft.sign_symmetry(nnft.exact_correlators(net, X, (2,)))
    draws = np.random.default_rng(3).standard_normal((100, 3))
    even = nnft.correlators_from_draws(draws, X, (2, 4))
    with pytest.raises(nnft.SpecError, match=r"measure with orders=\(1, 2, 3\)"):
        nnft.sign_symmetry(even)
    full = nnft.correlators_from_draws(draws, X, (1, 2, 3))
    with pytest.raises(nnft.SpecError, match="`significance` is 2"):
        nnft.sign_symmetry(full, significance=2)
