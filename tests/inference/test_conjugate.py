"""The closed form against brute force on a problem small enough to integrate."""

import numpy as np
import pytest
from scipy import integrate, stats

from nnft_ppl.inference.conjugate import solve
from nnft_ppl.inference.likelihood import Likelihood

RNG = np.random.default_rng(4)
DESIGN = RNG.normal(size=(6, 1))
DATA = 0.7 * DESIGN[:, 0] + 0.2 * RNG.normal(size=6)
VARIANCE = np.linspace(0.01, 0.04, 6)


def problem(design=DESIGN, data=DATA, variance=VARIANCE):
    return Likelihood(
        orders=(4,),
        num_entries=(len(data),),
        size=np.ones(len(data)),
        rotation=np.eye(len(data)),
        relative_noise=0.1,
        amplitudes=data,
        variance=variance,
        resolved=np.ones(len(data), bool),
        design=design[None],
        quadratic=None,
        scale=np.ones((1, design.shape[1])),
    )


def joint(coupling, s):
    likelihood = stats.norm.pdf(
        DATA, DESIGN[:, 0] * coupling, np.sqrt(VARIANCE + s**2)
    ).prod()
    return (
        likelihood * stats.norm.pdf(coupling, 0, 2.0) * stats.halfnorm.pdf(s, scale=0.5)
    )


def test_evidence_and_moments_with_discrepancy_match_double_quadrature():
    form = solve(problem(), 0, np.array([2.0]), 0.5)

    def integral(f):
        return integrate.dblquad(
            lambda c, s: f(c, s) * joint(c, s), 0, 3, -1, 2.5, epsrel=1e-6
        )[0]

    evidence = integral(lambda c, s: 1.0)
    mean = integral(lambda c, s: c) / evidence
    sd = np.sqrt(integral(lambda c, s: (c - mean) ** 2) / evidence)
    assert form.log_evidence == pytest.approx(np.log(evidence), abs=2e-3)
    found_mean, found_sd = form.moments()
    assert found_mean[0] == pytest.approx(mean, rel=1e-3)
    assert found_sd[0] == pytest.approx(sd, rel=5e-3)
    s_mean = integral(lambda c, s: s) / evidence
    assert form.weight @ form.discrepancy == pytest.approx(s_mean, rel=5e-3)


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
    couplings, s = form.draw(np.random.default_rng(0), 40_000)
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
        draws, _ = form.draw(rng, 1000)
        inside.append(np.mean(draws < true))
    covered = np.mean(np.abs(np.array(inside) - 0.5) < 0.4)
    assert abs(covered - 0.8) < 4 * np.sqrt(0.8 * 0.2 / 200)
