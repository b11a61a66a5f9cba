"""The closed form against brute force on a problem small enough to integrate."""

import numpy as np
import pytest
from scipy import stats

from nnft_ppl.inference.couplings.conjugate import solve
from nnft_ppl.inference.likelihood import Likelihood
from nnft_ppl.inference.priors import SizePrior

RNG = np.random.default_rng(4)
DESIGN = RNG.normal(size=(6, 1))
DATA = 0.7 * DESIGN[:, 0] + 0.2 * RNG.normal(size=6)
VARIANCE = np.linspace(0.01, 0.04, 6)


def problem(design=DESIGN, data=DATA, variance=VARIANCE, quadratic=None):
    return Likelihood(
        orders=(4,),
        num_entries=(len(data),),
        size=np.ones(len(data)),
        rotation=np.eye(len(data)),
        relative_noise=0.1,
        amplitudes=data,
        noise=variance,
        rounding=np.zeros(len(data)),
        variance=variance,
        resolved=np.ones(len(data), bool),
        design=design[None],
        quadratic=None if quadratic is None else quadratic[None],
        scale=np.ones((1, design.shape[1])),
    )


def log_joint(c, log_s, scale):
    """Density of (data, c, log s) as written, arrays that broadcast."""
    s = np.exp(log_s)
    total = (
        stats.norm.logpdf(c, 0, scale)
        + stats.halfnorm.logpdf(s, scale=0.5)
        + log_s  # ds = s d log s
    )
    for datum, response, variance in zip(DATA, DESIGN[:, 0], VARIANCE, strict=True):
        total = total + stats.norm.logpdf(datum, response * c, np.sqrt(variance + s**2))
    return total


def test_evidence_and_moments_with_discrepancy_match_double_quadrature():
    form = solve(problem(), 0, np.array([2.0]), 0.5)
    c, log_s = np.linspace(-1, 2.5, 701)[:, None], np.linspace(-12, 1.5, 701)
    joint = np.exp(log_joint(c, log_s, 2.0))
    total = joint.sum()
    mean = (c * joint).sum() / total
    sd = np.sqrt(((c - mean) ** 2 * joint).sum() / total)
    evidence = total * (3.5 / 700) * (13.5 / 700)
    assert form.log_evidence == pytest.approx(np.log(evidence), abs=2e-4)
    found_mean, found_sd = form.moments()
    assert found_mean[0] == pytest.approx(mean, rel=1e-4)
    assert found_sd[0] == pytest.approx(sd, rel=1e-4)
    s_mean = (np.exp(log_s) * joint).sum() / total
    assert form.weight @ form.discrepancy == pytest.approx(s_mean, rel=1e-3)


def test_evidence_without_discrepancy_is_the_marginal_normal():
    design = np.concatenate([DESIGN, RNG.normal(size=(6, 1))], axis=1)
    form = solve(problem(design), 0, np.full(2, 2.0 / 3), None)
    tau = 2.0 / 3
    covariance = np.diag(VARIANCE) + tau**2 * design @ design.T
    expected = stats.multivariate_normal(np.zeros(6), covariance).logpdf(DATA)
    assert form.log_evidence == pytest.approx(expected, rel=1e-9)
    gain = tau**2 * design.T @ np.linalg.inv(covariance)
    np.testing.assert_allclose(form.mean[0], gain @ DATA, rtol=1e-9)
    posterior = tau**2 * np.eye(2) - gain @ design * tau**2
    np.testing.assert_allclose(form.factor[0] @ form.factor[0].T, posterior, rtol=1e-8)


def test_draws_have_the_moments_of_the_closed_form():
    form = solve(problem(), 0, np.array([2.0]), 0.5)
    couplings, s, _ = form.draw(np.random.default_rng(0), 40_000)
    mean, sd = form.moments()
    assert abs(couplings.mean() - mean[0]) < 4 * sd[0] / np.sqrt(40_000)
    assert couplings.std() == pytest.approx(sd[0], rel=0.03)
    assert np.log(s).mean() == pytest.approx(
        form.weight @ np.log(form.discrepancy), abs=4 * np.log(s).std() / 200
    )


def test_exact_data_pin_the_coupling_to_their_rounding():
    data = 0.3 * DESIGN[:, 0]
    form = solve(
        problem(data=data, variance=np.full(6, 1e-18)), 0, np.array([2.0]), 0.5
    )
    mean, sd = form.moments()
    assert mean[0] == pytest.approx(0.3, abs=1e-9)
    assert sd[0] < 1e-8
    assert form.discrepancy[form.mode] < 1e-8


def test_coverage_of_the_intervals_over_simulated_data():
    """Coupling and s from the prior, data from the model: 80 % intervals cover 80 %."""
    rng = np.random.default_rng(8)
    inside = []
    for _ in range(200):
        true = 2.0 * rng.normal()
        s = 0.5 * abs(rng.normal())
        data = DESIGN[:, 0] * true + np.sqrt(VARIANCE + s**2) * rng.normal(size=6)
        form = solve(problem(data=data), 0, np.array([2.0]), 0.5)
        draws = form.draw(rng, 1000).couplings
        inside.append(np.mean(draws < true))
    covered = np.mean(np.abs(np.array(inside) - 0.5) < 0.4)
    assert abs(covered - 0.8) < 4 * np.sqrt(0.8 * 0.2 / 200)


def test_inferred_size_matches_triple_quadrature():
    """Trapezoidal rule on a fine grid of c, log s and log r, densities as written."""
    form = solve(problem(), 0, np.array([2.0]), 0.5, SizePrior(0.3, np.array([2.0])))
    c, log_s, log_r = np.meshgrid(
        np.linspace(-1, 2.5, 241),
        np.linspace(-9, 1.5, 90),
        np.linspace(-2, 2, 90),
        indexing="ij",
        sparse=True,
    )
    density = log_joint(c, log_s, 2.0 * np.exp(2 * log_r))
    joint = np.exp(density + stats.norm.logpdf(log_r, 0, 0.3))
    total = joint.sum()

    def mean(values):
        return (values * joint).sum() / total

    volume = (3.5 / 240) * (10.5 / 89) * (4 / 89)
    assert form.log_evidence == pytest.approx(np.log(total * volume), abs=1e-3)
    found_mean, found_sd = form.moments()
    assert found_mean[0] == pytest.approx(mean(c), rel=1e-4)
    expected_sd = np.sqrt(mean(c**2) - mean(c) ** 2)
    assert found_sd[0] == pytest.approx(expected_sd, rel=1e-3)
    logs = np.log(form.relative_size)
    assert form.weight @ logs == pytest.approx(mean(log_r), abs=1e-3)
    assert form.weight @ logs**2 == pytest.approx(mean(log_r**2), rel=1e-3)
    drawn = np.log(form.draw(np.random.default_rng(3), 40_000).relative_size)
    assert drawn.mean() == pytest.approx(mean(log_r), abs=4 * drawn.std() / 200)
    assert drawn.std() == pytest.approx(
        np.sqrt(mean(log_r**2) - mean(log_r) ** 2), rel=0.03
    )


def test_the_size_follows_a_coupling_far_above_it():
    """A coupling 500 times the prior's size, given by exact data."""
    form = solve(
        problem(data=1000.0 * DESIGN[:, 0], variance=np.full(6, 1e-18)),
        0,
        np.array([2.0]),
        0.5,
        SizePrior(1.5, np.array([1.0])),
    )
    assert form.moments()[0][0] == pytest.approx(1000.0, rel=1e-9)
    x = np.linspace(-1, 12, 100_001)
    density = stats.norm.pdf(1000.0, 0, 2 * np.exp(x)) * stats.norm.pdf(x, 0, 1.5)
    expected = np.sum(x * density) / np.sum(density)
    assert form.weight @ np.log(form.relative_size) == pytest.approx(expected, abs=1e-3)


def test_a_misfit_far_above_the_noise_leaves_the_size_its_posterior():
    """χ² of 10¹⁸: its rounding is 100, and differences between sizes must survive."""
    form = solve(
        problem(variance=np.full(6, 1e-18)),
        0,
        np.array([2.0]),
        None,
        SizePrior(1.0, np.array([1.0])),
    )
    coupling = form.mean[0, 0]
    x = np.linspace(-6, 6, 2001)
    density = stats.norm.pdf(coupling, 0, 2 * np.exp(x)) * stats.norm.pdf(x)
    expected = np.sum(x * density) / np.sum(density)
    assert form.weight @ np.log(form.relative_size) == pytest.approx(expected, abs=1e-3)
