"""The closed form against brute force on a problem small enough to integrate."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import gamma
from small_problem import small_problem

from nnft_ppl.inference.couplings.conjugate import solve
from nnft_ppl.inference.priors import SizePrior

RNG = np.random.default_rng(4)
DESIGN = RNG.normal(size=(6, 1))
DATA = 0.7 * DESIGN[:, 0] + 0.2 * RNG.normal(size=6)
VARIANCE = np.linspace(0.01, 0.04, 6)


def problem(design=DESIGN, data=DATA, variance=VARIANCE):
    return small_problem(design, data, variance)


class Written:
    """The density of (m, Q) per unit of the data, as theory.md writes it."""

    def __init__(self, design, data=DATA, variance=VARIANCE):
        number, self.modes = design.shape[1], len(data)
        self.information = design.T @ design
        pseudo = np.linalg.inv(self.information) @ design.T
        across = np.eye(self.modes) - design @ pseudo
        self.estimate, self.norm = pseudo @ data, data @ across @ data
        self.noise = pseudo @ np.diag(variance) @ pseudo.T
        left = across @ np.diag(variance) @ across
        self.total, self.square = np.trace(left), np.trace(left @ left)
        self.freedom = self.modes - number  # of few modes, less than 50
        shapes = 5 - number
        volume = np.pi ** (shapes / 2) / gamma(shapes / 2)
        volume *= self.norm ** (shapes / 2 - 1)
        self.log_volume = np.log(volume) + np.linalg.slogdet(self.information)[1] / 2

    def covariance(self, s):
        """Of m."""
        spread = self.modes / len(self.noise) * s**2
        return self.noise + spread * np.linalg.inv(self.information)

    def log_norm(self, s):
        """Of Q, less the volume of the data."""
        power = self.modes * s**2
        mean = self.total + power
        variance = 2 * (
            self.square * (1 + 2 * power / self.total) + power**2 / self.freedom
        )
        law = stats.gamma(mean**2 / variance, scale=variance / mean)
        return law.logpdf(self.norm) - self.log_volume


ONE = Written(DESIGN)


def log_joint(c, log_s, scale):
    """Density of (data, c, log s) as written, arrays that broadcast."""
    s = np.exp(log_s)
    return (
        stats.norm.logpdf(c, 0, scale)
        + stats.halfnorm.logpdf(s, scale=0.5)
        + log_s  # ds = s d log s
        + stats.norm.logpdf(ONE.estimate[0], c, np.sqrt(ONE.covariance(s)[0]))
        + ONE.log_norm(s)
    )


def test_evidence_and_moments_with_discrepancy_match_double_quadrature():
    form = solve(problem(), 0, np.array([2.0]), 0.5)
    c, log_s = np.linspace(-4, 6, 2001)[:, None], np.linspace(-12, 1.5, 701)
    joint = np.exp(log_joint(c, log_s, 2.0))
    total = joint.sum()
    mean = (c * joint).sum() / total
    sd = np.sqrt(((c - mean) ** 2 * joint).sum() / total)
    evidence = total * (10 / 2000) * (13.5 / 700)
    assert form.log_evidence == pytest.approx(np.log(evidence), abs=2e-4)
    found_mean, found_sd = form.moments()
    assert found_mean[0] == pytest.approx(mean, rel=1e-4)
    assert found_sd[0] == pytest.approx(sd, rel=1e-3)
    s_mean = (np.exp(log_s) * joint).sum() / total
    assert form.weight @ form.discrepancy == pytest.approx(s_mean, rel=1e-3)


def test_evidence_without_discrepancy_is_that_of_the_normal_estimate():
    design = np.concatenate([DESIGN, RNG.normal(size=(6, 1))], axis=1)
    form = solve(problem(design), 0, np.full(2, 2.0 / 3), None)
    prior = np.eye(2) * (2.0 / 3) ** 2
    written = Written(design)
    covariance = written.covariance(0.0) + prior
    evidence = stats.multivariate_normal(np.zeros(2), covariance)
    expected = evidence.logpdf(written.estimate) + written.log_norm(0.0)
    assert form.log_evidence == pytest.approx(expected, rel=1e-9)
    gain = prior @ np.linalg.inv(covariance)
    np.testing.assert_allclose(form.mean[0], gain @ written.estimate, rtol=1e-9)
    posterior = prior - gain @ prior
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
    basis = np.linalg.qr(DESIGN, mode="complete")[0]
    inside = []
    for _ in range(200):
        true = 2.0 * rng.normal()
        power = 6 * (0.5 * rng.normal()) ** 2
        data = DESIGN[:, 0] * true + np.sqrt(VARIANCE) * rng.normal(size=6)
        data += np.sqrt(power) * rng.normal() * basis[:, 0]
        data += np.sqrt(power / 5) * basis[:, 1:] @ rng.normal(size=5)
        form = solve(problem(data=data), 0, np.array([2.0]), 0.5)
        draws = form.draw(rng, 1000).couplings
        inside.append(np.mean(draws < true))
    covered = np.mean(np.abs(np.array(inside) - 0.5) < 0.4)
    assert abs(covered - 0.8) < 4 * np.sqrt(0.8 * 0.2 / 200)


def test_size_of_two_couplings_matches_quadrature():
    """Couplings integrated as normals; log s and log r by the trapezoidal rule."""
    design = RNG.normal(size=(8, 2))
    data = design @ [0.3, -2.0] + 0.1 * RNG.normal(size=8)
    scales, powers = np.array([1.5, 2.25]), np.array([1.0, 2.0])
    written = Written(design, data, np.full(8, 0.01))
    log_s, log_r = np.linspace(-14, 2, 160), np.linspace(-6, 8, 281)
    prior = (scales * np.exp(log_r[:, None] * powers)) ** 2
    joint = np.empty((160, 281))
    for row, one in zip(joint, log_s, strict=True):
        covariance = written.covariance(np.exp(one)) + prior[:, None] * np.eye(2)
        inverse = np.linalg.inv(covariance)
        chi2 = np.einsum("i,rij,j->r", written.estimate, inverse, written.estimate)
        row[:] = -chi2 / 2 - np.linalg.slogdet(covariance)[1] / 2 - np.log(2 * np.pi)
        row += written.log_norm(np.exp(one))
        row += stats.halfnorm.logpdf(np.exp(one)) + one
        row += stats.norm.logpdf(log_r, 0, 1.5)
    joint = np.exp(joint)
    total = joint.sum()
    volume = (16 / 159) * (14 / 280)
    form = solve(
        small_problem(design, data, 0.01), 0, scales, 1.0, SizePrior(1.5, powers)
    )
    assert form.log_evidence == pytest.approx(np.log(total * volume), abs=3e-3)
    found = np.log(form.relative_size)
    mean = (joint @ log_r).sum() / total
    sd = np.sqrt((joint @ (log_r - mean) ** 2).sum() / total)
    assert form.weight @ found == pytest.approx(mean, abs=0.01 * sd)
    spread = np.sqrt(form.weight @ (found - form.weight @ found) ** 2)
    assert spread == pytest.approx(sd, rel=0.01)


def test_inferred_size_matches_triple_quadrature():
    """Trapezoidal rule on a fine grid of c, log s and log r, densities as written."""
    form = solve(problem(), 0, np.array([2.0]), 0.5, SizePrior(0.3, np.array([2.0])))
    c, log_s, log_r = np.meshgrid(
        np.linspace(-4, 6, 481),
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

    volume = (10 / 480) * (10.5 / 89) * (4 / 89)
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
