import numpy as np
import pytest
from arviz_stats.base import array_stats

import nnft_ppl as nnft
from nnft_ppl.bayes.sums import Sums
from nnft_ppl.bayes.weights import resampled, smoothed


def test_evidence_is_the_mean_weight_within_its_error():
    rng = np.random.default_rng(4)
    log_evidence = rng.normal(-3, 1, 20_000)  # log-normal: k = 0, mean e^(−2.5)
    weights = smoothed(log_evidence)
    assert abs(weights.log_evidence + 2.5) < 4 * weights.log_evidence_error
    # Of a log-normal number of this size: √((e − 1)/S).
    assert weights.log_evidence_error == pytest.approx(
        np.sqrt((np.e - 1) / 20_000), rel=0.1
    )
    assert weights.effective_draws == pytest.approx(20_000 / np.e, rel=0.1)
    assert weights.are_reliable
    assert weights.values.sum() == pytest.approx(1)
    np.testing.assert_allclose(
        weights.raw - log_evidence, weights.raw[0] - log_evidence[0]
    )
    assert 0 < len(weights.changed) <= 3 * 20_000**0.5


@pytest.mark.parametrize("number", [100, 300, 1000, 20_000, 262_144])
def test_smoothing_of_the_largest_is_arviz_s_of_all(number):
    rng = np.random.default_rng(number)
    log_evidence = rng.normal(-3, 1.5, number)
    log_evidence[rng.random(number) < 0.1] = -np.inf
    weights = smoothed(log_evidence)
    expected, k = array_stats.psislw(-log_evidence)
    assert weights.pareto_k == pytest.approx(float(k), rel=1e-9)
    np.testing.assert_allclose(weights.values, np.exp(expected), rtol=1e-9)


def test_heavy_tails_are_not_trusted():
    rng = np.random.default_rng(4)
    weights = smoothed(-1.5 * np.log(rng.random(5000)))  # Pareto of shape 1.5
    assert weights.pareto_k > 0.9
    assert not weights.are_reliable
    assert weights.log_evidence_error == np.inf


def test_one_network_with_all_the_weight():
    rng = np.random.default_rng(4)
    log_evidence = rng.normal(size=1000)
    log_evidence[7] = 100.0
    assert smoothed(log_evidence).have_collapsed


def test_equal_weights_and_weights_of_zero():
    rng = np.random.default_rng(4)
    alike = smoothed(np.full(500, -2.0))
    assert alike.log_evidence == pytest.approx(-2.0)
    assert alike.log_evidence_error < 1e-8
    assert alike.effective_draws == pytest.approx(500)
    some = np.arange(1000) % 4
    none = smoothed(np.where(some, rng.normal(0, 0.5, 1000), -np.inf))
    assert none.are_reliable
    assert (none.values[::4] == 0).all()
    with pytest.raises(nnft.FitError, match="none of 100 networks"):
        smoothed(np.full(100, -np.inf))


@pytest.mark.parametrize("atom", [2.0, 9.0], ids=["at the foot", "at the top"])
def test_equal_weights_among_the_largest_are_no_heavy_tail(atom):
    log_evidence = np.random.default_rng(4).normal(size=10_000)
    # Of 300 in the tail: its lowest third, or all of it.
    top = np.argsort(log_evidence)[-300:]
    log_evidence[top[:100] if atom < 9 else top] = (
        log_evidence[top[100]] - 1e-12 if atom < 9 else atom
    )
    weights = smoothed(log_evidence)
    assert weights.are_reliable
    truth = np.exp(log_evidence).mean()
    assert np.exp(weights.log_evidence) == pytest.approx(truth, rel=0.02)


def test_equal_weights_just_below_the_largest_are_no_heavy_tail():
    rng = np.random.default_rng(4)
    others = -0.01 - rng.exponential(size=4728)
    below = -1.07e-4 - np.geomspace(1e-6, 6e-3, 60)
    crowd, above = np.full(180, -7.3e-5), -7e-5 * rng.uniform(size=32)
    weights = smoothed(np.concatenate([others, below, crowd, above]))
    assert weights.pareto_k == 0
    assert weights.are_reliable
    far = smoothed(np.concatenate([others, below, crowd, above + 9]))
    assert not far.are_reliable  # 32 networks have all the weight


def test_resampling_is_by_weight():
    rng = np.random.default_rng(4)
    weights = smoothed(rng.normal(size=1000))
    chosen = resampled(weights.values, 50_000, np.random.default_rng(0))
    expected = 50_000 * weights.values
    counts = np.bincount(chosen, minlength=1000)
    assert abs(counts - expected).max() < 1 + 1e-6  # systematic


def test_sums_do_not_depend_on_the_blocks_and_can_be_corrected():
    rng = np.random.default_rng(4)
    log_evidence = rng.normal(-700, 3, 600)  # beyond what exp can hold
    mean, variance = rng.normal(size=(600, 2, 1)), rng.random((600, 2))
    empty, numbers = Sums.zero((2, 1)), np.arange(600)

    def over(part):
        return empty.plus(numbers[part], log_evidence[part], mean[part], variance[part])

    sums = empty
    for part in (slice(0, 100), slice(100, 101), slice(101, 600)):
        sums = sums.merged(over(part))
    nothing = empty.plus(numbers[:1], np.array([-np.inf]), mean[:1], variance[:1])
    assert empty.merged(nothing).unit == -np.inf
    sums = sums.merged(nothing)
    top = log_evidence.max()
    weight = np.exp(log_evidence - top)
    changed = np.array([3, 500])
    after = np.array([0.5, 0.25])
    answer = (
        sums.in_units_of(top)
        .corrected(weight[changed], after, mean[changed], variance[changed])
        .answer()
    )
    weight[changed] = after
    weight /= weight.sum()
    expected = np.einsum("m,mno->no", weight, mean)
    second = np.einsum("m,mno->no", weight, variance[:, :, None] + mean**2)
    np.testing.assert_allclose(answer.mean, expected)
    np.testing.assert_allclose(answer.variance, second - expected**2)
    error = np.sqrt(np.einsum("m,mno->no", weight**2, (mean - expected) ** 2))
    np.testing.assert_allclose(answer.mean_error, error)
