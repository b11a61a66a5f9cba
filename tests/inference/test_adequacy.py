"""P-values of the best couplings: uniform where the action is true, small where not."""

import types

import numpy as np
import pytest
from scipy import stats
from small_problem import small_problem

from nnft_ppl.inference.adequacy import predictive_p_value, pulls

RESOLVED = np.arange(10) < 4
"""Of ten modes; the others are known to rounding."""
NOISE, ROUNDING = 0.04, 1e-18
ANY = np.random.default_rng(1).normal(size=(10, 2))
IN_NOISE = ANY * RESOLVED[:, None]
ALIKE = IN_NOISE[:, [0, 0]] * [1, -3]
ONE_PINNED = np.where(np.arange(2) == 1, ANY, IN_NOISE)
"""The second response is in all modes, the first in those with noise alone."""


def problem(design, data):
    return small_problem(
        design,
        data,
        noise=np.where(RESOLVED, NOISE, 0.0),
        rounding=np.where(RESOLVED, 0.0, ROUNDING),
    )


def simulated(design, rng):
    """Data of couplings drawn anew, with the noise that the problem states."""
    sd = np.sqrt(np.where(RESOLVED, NOISE, ROUNDING))
    return design @ rng.normal(size=design.shape[1]) + sd * rng.normal(size=10)


@pytest.mark.parametrize(
    ("design", "freedom"),
    [
        pytest.param(IN_NOISE, 2, id="both couplings are read from noisy modes"),
        pytest.param(ALIKE, 3, id="two couplings predict the same"),
        pytest.param(ANY, 4, id="modes without noise determine both"),
        pytest.param(ONE_PINNED, 3, id="modes without noise determine one"),
        pytest.param(IN_NOISE[:, :1], 3, id="one coupling"),
    ],
)
def test_p_values_are_uniform_under_the_truth(design, freedom):
    """2000 replicas. One degree of freedom more or less would move their mean.

    By 0.1 and more, which is 15 standard errors; four are allowed.
    """
    rng = np.random.default_rng(0)
    p = [
        predictive_p_value(problem(design, simulated(design, rng)), 0, np.zeros(k))
        for k in [design.shape[1]] * 2000
    ]
    assert np.mean(p) == pytest.approx(0.5, abs=4 / np.sqrt(12 * 2000))
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    for wrong in (freedom - 1, freedom + 1):
        others = stats.chi2.sf(stats.chi2.isf(p, freedom), wrong)
        assert abs(np.mean(others) - 0.5) > 15 / np.sqrt(12 * 2000)


def test_as_many_couplings_as_noisy_modes_leave_nothing_to_test():
    design = np.where(RESOLVED[:, None], np.eye(10)[:, :4], 0.0)
    data = simulated(design, np.random.default_rng(2))
    assert predictive_p_value(problem(design, data), 0, np.zeros(4)) == 1


def test_what_no_coupling_explains_is_seen_in_either_kind_of_mode():
    rng = np.random.default_rng(3)
    data = ANY @ [0.4, -1.1]
    data[RESOLVED] += np.sqrt(NOISE) * rng.normal(size=4)
    assert predictive_p_value(problem(ANY, data), 0, np.zeros(2)) > 1e-3
    noisy, exact = data.copy(), data.copy()
    noisy[2] += 6 * np.sqrt(NOISE)
    assert 0 < predictive_p_value(problem(ANY, noisy), 0, np.zeros(2)) < 1e-3
    exact[7] += 1e-5
    assert predictive_p_value(problem(ANY, exact), 0, np.zeros(2)) == 0


def test_modes_without_noise_are_known_to_five_roundings():
    """A mode that no response reaches, off by four roundings and by six."""
    design = IN_NOISE[:, :1]
    data = design[:, 0] * 0.7
    data[5] = 4 * np.sqrt(ROUNDING)
    assert predictive_p_value(problem(design, data), 0, np.zeros(1)) > 0.5
    data[5] = 6 * np.sqrt(ROUNDING)
    assert predictive_p_value(problem(design, data), 0, np.zeros(1)) == 0


def test_pulls_are_the_terms_of_the_chi_square():
    """Of one coupling and equal noise: residuals with its leverage taken off."""
    rng = np.random.default_rng(0)
    n, noise = 400, 0.3
    response = rng.normal(size=(n, 1))
    found = []
    for _ in range(20):
        data = 2 * response[:, 0] + noise * rng.normal(size=n)
        likelihood = types.SimpleNamespace(
            variance=np.full(n, noise**2),
            amplitudes=data,
            resolved=np.ones(n, dtype=bool),
            expected=lambda cutoff, c: response @ c,
            response=lambda cutoff, c: response,
        )
        best = np.linalg.lstsq(response, data)[0]
        leverage = response[:, 0] ** 2 / np.sum(response**2)
        expected = (data - response @ best) / noise / np.sqrt(1 - leverage)
        # From couplings that are off: the best ones are found from there.
        one = pulls(likelihood, 0, best + 0.5)
        np.testing.assert_allclose(one, expected, atol=1e-9)
        found.append(one)
    assert np.std(found) == pytest.approx(1, abs=4 / np.sqrt(2 * 20 * n))
