"""Unbiasedness to rounding: the mean over ALL samples of a small population."""

from math import comb

import numpy as np
import pytest

from nnft_ppl.correlators.sampled.connected import connected_estimate
from nnft_ppl.correlators.sampled.sums import Mean

ORDERS = (2, 4, 6, 8)
VALUES, CHANCE = np.array([0.3, 2.5]), np.array([0.7, 0.3])
"""The law of a random kernel K̂ at one input; the field given K̂ is normal."""
MU = CHANCE @ VALUES
CENTRAL = {n: CHANCE @ (VALUES - MU) ** n for n in (2, 3, 4)}
PAIRINGS = {2: 1, 4: 3, 6: 15, 8: 105}
TRUE = {
    2: MU,
    4: 3 * CENTRAL[2],
    6: 15 * CENTRAL[3],
    8: 105 * (CENTRAL[4] - 3 * CENTRAL[2] ** 2),
}


BIASED = {"linear": MU, "k-statistics": 0.9}
"""Reference kernel: the exact mean of K̂, or any number at all."""


def mean_over_all_samples(num_draws, averages, reference, bias):
    """Expectation of the estimate over every sample of `num_draws` values of K̂."""
    total = dict.fromkeys(ORDERS, 0.0)
    for ones in range(num_draws + 1):  # samples in another order give the same
        chosen = np.repeat([0, 1], [num_draws - ones, ones])
        chance = comb(num_draws, ones) * CHANCE[chosen].prod()
        draws = averages(VALUES[chosen])
        mean = Mean(
            draws.mean(axis=1), np.cov(draws) / num_draws, np.zeros(4), num_draws
        )
        found, _ = connected_estimate(
            mean, 1, ORDERS, np.array([reference]), num_draws, bias=bias
        )
        for k in ORDERS:
            total[k] += chance * found[k][0]
    return total


@pytest.mark.parametrize("bias", BIASED)
def test_conditional_estimates_of_five_networks_are_unbiased(bias):
    reference = BIASED[bias]

    def averages(kernels):
        powers = [PAIRINGS[k] * (kernels - reference) ** (k // 2) for k in ORDERS]
        return np.stack(powers)

    found = mean_over_all_samples(5, averages, reference, bias)
    for order in ORDERS:
        assert found[order] == pytest.approx(TRUE[order], rel=1e-10)


def test_the_covariance_of_averages_undoes_the_bias_of_their_products():
    """A field of two values, reference far off: exact in order 4, 1/m² in order 6."""
    values = np.array([-1.4, 0.6])  # a sign of equal chances on top: all odd ones are 0
    moments = {k: CHANCE @ values**k for k in ORDERS}
    true = {4: moments[4] - 3 * moments[2] ** 2}
    true[6] = moments[6] - 15 * moments[4] * moments[2] + 30 * moments[2] ** 3
    reference = 0.2

    def averages(chosen):
        f = values[np.searchsorted(VALUES, chosen)]
        hermite = [
            f**2 - reference,
            f**4 - 6 * reference * f**2 + 3 * reference**2,
            f**6 - 15 * reference * f**4 + 45 * reference**2 * f**2 - 15 * reference**3,
            f**8,
        ]
        return np.stack(hermite)

    off = {}
    for num_draws in (5, 10):
        found = mean_over_all_samples(num_draws, averages, reference, "covariance")
        plain = mean_over_all_samples(num_draws, averages, reference, "plain")
        assert found[4] == pytest.approx(true[4], rel=1e-10)
        assert abs(plain[4] - true[4]) > 0.03 * abs(true[4])
        off[num_draws] = abs(found[6] - true[6])
        assert off[num_draws] < 0.2 * abs(plain[6] - true[6])
    assert off[10] == pytest.approx(off[5] / 4, rel=0.05)


@pytest.mark.parametrize("bias", ["linear", "plain"])
def test_covariance_follows_every_average_that_enters(bias):
    """Against finite differences of the estimate with respect to the averages."""
    rng = np.random.default_rng(0)
    value = np.array([0.0 if bias == "linear" else 0.4, 1.3, 2.1, 9.0])
    covariance = np.diag(rng.uniform(1, 2, 4)) + 0.3

    def estimate(average):
        # Zero covariance leaves the terms that correct for bias out of the derivative.
        mean = Mean(average, np.zeros((4, 4)), np.zeros(4), 10**6)
        found, _ = connected_estimate(
            mean, 1, ORDERS, np.array([1.0]), 10**6, bias=bias
        )
        return np.concatenate([found[k] for k in ORDERS])

    step = 1e-5
    slopes = np.stack(
        [
            (estimate(value + step * unit) - estimate(value - step * unit)) / (2 * step)
            for unit in np.eye(4)
        ],
        axis=1,
    )
    mean = Mean(value, covariance, np.zeros(4), 10**6)
    _, found = connected_estimate(mean, 1, ORDERS, np.array([1.0]), 10**6, bias=bias)
    np.testing.assert_allclose(found, slopes @ covariance @ slopes.T, rtol=1e-6)
