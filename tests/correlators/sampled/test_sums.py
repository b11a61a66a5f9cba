"""Sums over batches of networks, against the networks themselves."""

import numpy as np
import pytest

from nnft_ppl.correlators.correlators import MIN_EFFECTIVE_BATCHES
from nnft_ppl.correlators.sampled.sums import Sums


def sums(values, batch):
    """Of values (network, quantity), by NumPy."""
    means = values.reshape(-1, batch, values.shape[1]).mean(axis=1)
    return Sums(
        values.sum(axis=0),
        means.sum(axis=0),
        means.T @ means,
        (means**3).sum(axis=0),
        (means**4).sum(axis=0),
    )


@pytest.fixture(scope="module")
def values():
    """Skewed, correlated, with a heavy fourth cumulant and means that matter."""
    rng = np.random.default_rng(4)
    first = rng.gamma(0.5, size=(1 << 17, 1)) - 0.3
    return np.concatenate([first, first**2 + rng.normal(size=first.shape)], axis=1)


def test_larger_batches_are_what_they_are_expected_to_be(values):
    """Sums over batches of 4 turned into those of 64, against the true ones of 64."""
    number = len(values)
    found = sums(values, 4).rebatched(number, 4, 64)
    truth = sums(values, 64)
    np.testing.assert_array_equal(found.values, truth.values)
    np.testing.assert_allclose(found.means, truth.means, rtol=1e-12)
    one, other = found.mean(number, 64), truth.mean(number, 64)
    # Variances from 2048 batches of kurtosis near 3: good to √(2/2048), 3 %.
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=0.15)
    # The variance itself is exactly that of the smaller batches.
    small = sums(values, 4).mean(number, 4)
    np.testing.assert_allclose(one.covariance, small.covariance, rtol=1e-9)
    # Σd⁴ over 2048 batches is good to √(96/2048)/3, 7 %, and more of heavy tails.
    np.testing.assert_allclose(
        one.effective_batches, other.effective_batches, rtol=0.35
    )


def test_third_and_fourth_cumulants_fall_as_powers_of_the_size(values):
    def cumulants(of, number):
        centre, square = of.means / number, np.diag(of.squares) / number
        third = of.cubes / number - 3 * centre * square + 2 * centre**3
        variance = square - centre**2
        fourth = of.fourths / number - 4 * centre * of.cubes / number
        fourth += 6 * centre**2 * square - 3 * centre**4
        return variance, third, fourth - 3 * variance**2

    number, ratio = len(values), 8
    before = cumulants(sums(values, 2), number // 2)
    after = cumulants(
        sums(values, 2).rebatched(number, 2, 2 * ratio), number // (2 * ratio)
    )
    for order, (one, other) in enumerate(zip(before, after, strict=True), start=2):
        # Up to one over the number of batches, 8192, and its biases.
        np.testing.assert_allclose(other, one / ratio ** (order - 1), rtol=0.02)


def test_the_same_size_changes_nothing(values):
    before = sums(values, 4)
    assert before.rebatched(len(values), 4, 4) is before
    nothing = Sums.zero(2)
    assert nothing.rebatched(0, 4, 8) is nothing


def test_networks_beyond_the_last_whole_batch_count():
    """Two batches of four networks and three more, in 4000 ensembles.

    They enter the mean, and narrow its error: that of eleven networks, not of eight.
    """
    rng = np.random.default_rng(7)
    correlation = np.array([[1.0, 0.6], [0.6, 4.0]])
    found = []
    for _ in range(4000):
        values = rng.multivariate_normal([1.0, -2.0], correlation, 11)
        whole = sums(values[:8], 4)
        found.append(whole._replace(values=values.sum(axis=0)).mean(11, 4))
        np.testing.assert_allclose(found[-1].value, values.mean(axis=0), rtol=1e-12)
    covariance = np.array([one.covariance for one in found])
    error = covariance.std(axis=0) / np.sqrt(len(found))
    gap = np.abs(covariance.mean(axis=0) - correlation / 11)
    assert (gap < 4 * error).all()
    assert (correlation / 8 - correlation / 11 > 6 * error).all()


def test_effective_batches_tell_how_well_a_variance_is_known():
    """An estimated variance is off by some 1/√effective, whatever the tail.

    2000 ensembles of 200 batches each: of normal means, and of means that a few
    networks dominate. Only the former are trusted: 12 % and 24 %, where 15 % may be.
    """
    rng = np.random.default_rng(8)
    means = rng.normal(size=(2000, 200, 2))
    means[:, :, 1] *= np.abs(rng.normal(size=(2000, 200))) ** 1.5
    found = [sums(one, 1).mean(200, 1) for one in means]
    variances = np.array([np.diag(one.covariance) for one in found])
    scatter = variances.std(axis=0) / variances.mean(axis=0)
    effective = np.median([one.effective_batches for one in found], axis=0)
    # Deviations of normal means scatter by √(2/3) of it; the tail's by a little more.
    assert (0.75 < scatter * np.sqrt(effective)).all()
    assert (scatter * np.sqrt(effective) < 1.3).all()
    assert effective[1] < MIN_EFFECTIVE_BATCHES < effective[0]
    assert MIN_EFFECTIVE_BATCHES**-0.5 == pytest.approx(0.15, abs=0.02)
