"""The prior: densities and draws against SciPy, and what it allows."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

import nnft_ppl as nnft
from nnft_ppl.inference.priors import Parameters

ACTION = nnft.Action(["lambda_0", "kappa"])
WIDTH = 20


def test_scales_fall_with_width_as_the_number_of_fields_says():
    prior = nnft.Prior()
    sizes = np.array([5.0, 30.0, 300.0])
    found = prior.scales_at(sizes, WIDTH, ACTION)
    np.testing.assert_allclose(found, np.stack([sizes / 20, (sizes / 20) ** 2], axis=1))
    assert prior.scales_at(30.0, WIDTH, ACTION).shape == (2,)


def test_log_density_is_that_of_the_named_distributions():
    prior = nnft.Prior(natural_size=7.0, spread=0.6, discrepancy_scale=0.3)
    draws = Parameters(
        np.array([[0.1, -2.0], [3.0, 0.2]]), np.array([0.1, 0.5]), np.array([2.0, 40.0])
    )
    found = prior.log_density(draws, WIDTH, ACTION)
    size = draws.natural_size[:, None] / WIDTH
    np.testing.assert_allclose(
        found["dimensionless"],
        stats.norm.logpdf(draws.couplings, 0, np.concatenate([size, size**2], axis=1)),
    )
    np.testing.assert_allclose(
        found["discrepancy"], stats.halfnorm.logpdf(draws.discrepancy, scale=0.3)
    )
    np.testing.assert_allclose(
        found["natural_size"], stats.lognorm.logpdf(draws.natural_size, 0.6, scale=7.0)
    )
    fixed = dataclasses.replace(prior, spread=0.0)
    alone = Parameters(draws.couplings, None, None)
    np.testing.assert_allclose(
        fixed.log_density(alone, WIDTH, ACTION)["dimensionless"],
        stats.norm.logpdf(draws.couplings, 0, [7 / 20, (7 / 20) ** 2]),
    )


def test_draws_have_the_distributions_of_the_prior():
    prior = nnft.Prior(natural_size=7.0, spread=0.6, discrepancy_scale=0.3)
    draws = prior.draw(
        np.random.default_rng(0), (4000,), WIDTH, ACTION, discrepancy=True
    )
    size = draws.natural_size / WIDTH
    for values, distribution in (
        (draws.couplings[:, 0] / size, stats.norm()),
        (draws.couplings[:, 1] / size**2, stats.norm()),
        (draws.discrepancy, stats.halfnorm(scale=0.3)),
        (draws.natural_size, stats.lognorm(0.6, scale=7.0)),
    ):
        assert stats.kstest(values, distribution.cdf).pvalue > 1e-3
    fixed = dataclasses.replace(prior, spread=0).draw(
        np.random.default_rng(0), (4000,), WIDTH, ACTION, discrepancy=False
    )
    assert fixed.natural_size is None
    assert fixed.discrepancy is None
    assert stats.kstest(fixed.couplings[:, 0] / 0.35, "norm").pvalue > 1e-3


def test_coupling_scales_are_the_standard_deviations_of_four_field_couplings():
    prior = nnft.Prior(natural_size=7.0, spread=0.4)
    draws = prior.draw(
        np.random.default_rng(1), (200_000,), WIDTH, ACTION, discrepancy=False
    )
    expected = draws.couplings[:, 0].std()
    found = prior.coupling_scales(WIDTH, ACTION)
    # Kurtosis 3 e^{4·0.16} = 5.7 of the mixture: 0.24 % error of the deviation.
    assert found[0] == pytest.approx(expected, rel=4 * 0.0025)
    assert found[1] == pytest.approx(found[0] ** 2)


@pytest.mark.parametrize("size", [0.6, 5.0, 53.0, 400.0])
def test_default_prior_expects_what_is_known(size):
    """N·c of the paper's nets, and of operators that nearly cancel, within 2 sd."""
    prior = nnft.Prior()
    draws = prior.draw(
        np.random.default_rng(2), (100_000,), 1, ACTION, discrepancy=False
    )
    share = np.mean(np.abs(draws.couplings[:, 0]) < size)
    assert 0.01 < share < 0.98


@pytest.mark.parametrize("field", ["natural_size", "discrepancy_scale"])
@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, "1", True])
def test_bad_scales_are_refused(field, value):
    with pytest.raises(nnft.SpecError, match=f"`{field}` is {value!r}; .* a scale"):
        nnft.Prior(**{field: value})


@pytest.mark.parametrize("value", [-0.1, 5.1, math.nan, "1", True])
def test_bad_spreads_are_refused(value):
    with pytest.raises(nnft.SpecError, match=f"`spread` is {value!r}; .* a spread"):
        nnft.Prior(spread=value)
