"""Unbiasedness to rounding: the mean over ALL samples of a small population."""

from itertools import product

import numpy as np
import pytest

from nnft_ppl.correlators.connected import connected_estimate
from nnft_ppl.correlators.streaming import Mean

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


def mean_over_all_samples(num_draws, *, kernel_is_exact):
    """Expectation of the conditional estimate over every sample of `num_draws`."""
    total = dict.fromkeys(ORDERS, 0.0)
    for chosen in product(range(len(VALUES)), repeat=num_draws):
        kernels = VALUES[list(chosen)]
        reference = MU if kernel_is_exact else kernels.mean()
        draws = np.stack(
            [PAIRINGS[k] * (kernels - reference) ** (k // 2) for k in ORDERS]
        )
        mean = Mean(
            draws.mean(axis=1), np.cov(draws) / num_draws, np.zeros(4), num_draws
        )
        found, _ = connected_estimate(
            mean,
            1,
            ORDERS,
            "conditional",
            np.array([reference]),
            num_draws,
            kernel_is_exact=kernel_is_exact,
        )
        for k in ORDERS:
            total[k] += CHANCE[list(chosen)].prod() * found[k][0]
    return total


@pytest.mark.parametrize("kernel_is_exact", [True, False])
def test_conditional_estimates_of_five_networks_are_unbiased(kernel_is_exact):
    found = mean_over_all_samples(5, kernel_is_exact=kernel_is_exact)
    for order in ORDERS:
        assert found[order] == pytest.approx(TRUE[order], rel=1e-10)


def test_covariance_follows_every_average_that_enters():
    """Against finite differences of the estimate with respect to the averages."""
    rng = np.random.default_rng(0)
    value = np.array([0.0, 1.3, 2.1, 9.0])
    covariance = np.diag(rng.uniform(1, 2, 4)) + 0.3

    def estimate(average):
        # Zero covariance leaves the terms that correct for bias out of the derivative.
        mean = Mean(average, np.zeros((4, 4)), np.zeros(4), 10**6)
        found, _ = connected_estimate(
            mean,
            1,
            ORDERS,
            "conditional",
            np.array([1.0]),
            10**6,
            kernel_is_exact=True,
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
    _, found = connected_estimate(
        mean, 1, ORDERS, "conditional", np.array([1.0]), 10**6, kernel_is_exact=True
    )
    np.testing.assert_allclose(found, slopes @ covariance @ slopes.T, rtol=1e-6)
