import numpy as np
import pytest
from scipy.stats import norm

from nnft_ppl.bayes.predictive_distance import PredictiveSums

LIMIT = np.array([[0.3]]), np.array([[4.0]])
"""Mean and variance of the Gaussian process at one input."""


def sums(shift, num_draws, seed, spread=0.7):
    """Of a mixture that is normal: moved by `shift`, as wide as the limit.

    Networks come from another law than their weights are for.
    """
    rng = np.random.default_rng(seed)
    means = rng.normal(0.2, spread, num_draws)
    log_evidence = norm.logpdf(means, shift, spread) - norm.logpdf(means, 0.2, spread)
    variance = np.full((num_draws, 1), 4 * (1 - spread**2))
    mean = 0.3 + 2 * means[:, None, None]
    return PredictiveSums.zero(*LIMIT).plus(
        np.arange(num_draws), log_evidence - 800, mean, variance
    )


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_the_truth_is_between_the_two_and_errors_are_what_they_say(shift):
    found = [sums(shift, 2000, seed).distances() for seed in range(100)]
    truth = 2 * norm.cdf(shift / 2) - 1
    mean, least, most = (
        np.array([getattr(each, name)[0, 0] for each in found])
        for name in ("mean", "least", "most")
    )
    assert least.mean() - 4 * least.std() / 10 < truth < most.mean()
    if shift == 0:
        # Noise alone makes a distance, of which signs from elsewhere know nothing.
        assert most.mean() > 3 * least.mean()
        return
    assert abs(mean.mean() - shift) < 4 * mean.std() / 10
    assert truth - least.mean() < 0.02 * truth
    assert most.mean() - truth < 0.02 * truth
    for name, values in (("mean", mean), ("least", least), ("most", most)):
        told = np.mean([getattr(each, f"{name}_error")[0, 0] for each in found])
        assert abs(told / values.std() - 1) < 0.3  # of 100, known to 7 %


def test_blocks_may_be_merged_in_any_way():
    rng = np.random.default_rng(2)
    log_evidence, mean = rng.normal(-900, 2, 500), rng.normal(size=(500, 2, 3))
    variance, limit = rng.random((500, 2)), (np.zeros((2, 3)), np.ones((2, 3)))
    variance[7] = 0  # a network that knows
    log_evidence[11], mean[11] = -np.inf, np.nan  # one that cannot have the targets
    numbers, empty = np.arange(500), PredictiveSums.zero(*limit)

    def over(part):
        return empty.plus(numbers[part], log_evidence[part], mean[part], variance[part])

    whole = over(slice(None)).distances()
    parts = over(slice(0, 130)).merged(over(slice(130, 131))).merged(empty)
    parts = parts.merged(over(slice(131, 500))).distances()
    for name, values in vars(whole).items():
        np.testing.assert_allclose(values, getattr(parts, name), rtol=1e-9)
    weight = np.exp(log_evidence - log_evidence.max())
    weight /= weight.sum()
    expected = np.einsum("m,mno->no", weight, np.nan_to_num(mean))
    np.testing.assert_allclose(whole.mean, abs(expected), rtol=1e-9)
    # Few networks in some batch: nothing is told.
    assert over(slice(0, 10)).distances() is None


def test_laws_apart_are_at_distance_one():
    rng = np.random.default_rng(2)
    mean, variance = 100 + rng.normal(size=(640, 1, 1)), np.full((640, 1), 0.01)
    found = PredictiveSums.zero(*LIMIT).plus(
        np.arange(640), np.zeros(640), mean, variance
    )
    away = found.distances()
    assert away.least == pytest.approx(1, abs=1e-5)
    assert away.most == pytest.approx(1, abs=1e-5)
