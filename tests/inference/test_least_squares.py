"""The statistics of a fit and their law, against simulation and ordinary normals."""

import dataclasses
from itertools import combinations_with_replacement

import jax
import numpy as np
import pytest
from scipy import stats
from small_problem import small_problem

import nnft_ppl as nnft
from nnft_ppl.inference import least_squares as module
from nnft_ppl.inference.couplings.conjugate import solve
from nnft_ppl.inference.least_squares import (
    along_response,
    estimate_factor,
    estimate_factors,
    least_squares,
    log_density,
    log_volume,
    misfit_law,
)

RNG = np.random.default_rng(5)
MODES = 40
DESIGN = np.stack([np.ones(MODES), np.linspace(-1, 1, MODES) ** 3], axis=1)
NOISE = np.geomspace(1.0, 0.01, MODES)
TRUE = np.array([0.7, -1.3])
BASIS = np.linalg.qr(DESIGN, mode="complete")[0]
ALONG, ACROSS = BASIS[:, :2], BASIS[:, 2:]
LAMBDA = nnft.Action(["lambda_0"])


def misfit_direction():
    """A unit vector across the response, with as much noise as the misfit's norm has.

    In the eigenvectors of V⊥ the direction is cos θ of the loudest and sin θ of the
    faintest, with uᵀVu = tr V⊥² / tr V⊥.
    """
    values, vectors = np.linalg.eigh(ACROSS.T @ (NOISE[:, None] * ACROSS))
    wanted = np.sum(values**2) / np.sum(values)
    square = (wanted - values[0]) / (values[-1] - values[0])
    return ACROSS @ (
        np.sqrt(square) * vectors[:, -1] + np.sqrt(1 - square) * vectors[:, 0]
    )


@pytest.mark.parametrize("relative", [0.0, 3.0])
def test_statistics_have_their_law_over_simulated_data(relative):
    """2000 replicas of y = Dc + δ + ε, |δ|² on average three times the noise or none.

    The norm of δ is known to ν = 38 degrees of freedom, and along the response δ has
    n s², half of it in each direction. Tolerances are five standard errors; each term
    of the variance is larger than that: a factor of two in any would be seen.
    """
    replicas = 2000
    rng = np.random.default_rng(6)
    across = ACROSS.T @ (NOISE[:, None] * ACROSS)
    total, squares = np.trace(across), np.sum(across**2)
    power = relative * total
    s = np.sqrt(power / MODES)
    norms = np.sqrt(power * rng.chisquare(38, replicas) / 38)
    data = DESIGN @ TRUE + np.sqrt(NOISE) * rng.standard_normal((replicas, MODES))
    data += norms[:, None] * misfit_direction()
    data += np.sqrt(power / 2) * rng.standard_normal((replicas, 2)) @ ALONG.T
    found = [least_squares(small_problem(DESIGN, y, NOISE), 0, 0 * TRUE) for y in data]

    estimates = np.array([one.estimate for one in found])
    expected = np.linalg.inv(DESIGN.T @ DESIGN) @ DESIGN.T
    covariance = (expected * NOISE) @ expected.T
    covariance += power / 2 * np.linalg.inv(DESIGN.T @ DESIGN)
    with jax.enable_x64(True):
        factor = np.asarray(estimate_factor(found[0], jax.numpy.asarray(s)))
    np.testing.assert_allclose(factor @ factor.T, covariance, rtol=1e-10)
    np.testing.assert_allclose(estimate_factors(found[0], np.array([s]))[0], factor)
    z = np.linalg.solve(factor, (estimates - TRUE).T)
    assert np.abs(z.mean(axis=1)).max() < 5 / np.sqrt(replicas)
    np.testing.assert_allclose(
        z @ z.T / replicas, np.eye(2), atol=5 * np.sqrt(2 / replicas)
    )

    residuals = np.array([one.residual for one in found])
    shape, rate = misfit_law(found[0], s)
    error = residuals.std() / np.sqrt(replicas)
    assert shape / rate == pytest.approx(residuals.mean(), abs=5 * error)
    variance = residuals.var()
    kurtosis = stats.kurtosis(residuals)
    error = variance * np.sqrt((2 + kurtosis) / replicas)
    assert shape / rate**2 == pytest.approx(variance, abs=5 * error)
    terms = [2 * squares, 4 * power * squares / total, 2 * power**2 / 38]
    assert sum(terms) == pytest.approx(variance, abs=5 * error)
    if relative:
        assert min(terms[1:]) > 5 * error
    else:
        assert terms[0] > 5 * error


def test_what_is_off_in_one_order_says_nothing_of_the_other():
    """A coupling in each of two orders, and a misfit with 9 and 16 of 25 in them.

    Along a response in one order its square is n/2 times that order's share.
    """
    half = MODES // 2
    design = np.zeros((MODES, 2))
    design[:half, 0], design[half:, 1] = 1.0, np.linspace(1, 2, half)
    across = np.linalg.qr(design, mode="complete")[0][:, 2:]
    misfit = [across @ across.T @ np.eye(MODES)[k] for k in (0, half)]
    misfit = sum(a * v / np.linalg.norm(v) for a, v in zip((3, 4), misfit, strict=True))
    problem = dataclasses.replace(
        small_problem(design, design @ TRUE + misfit, 1e-4),
        orders=(4, 6),
        num_entries=(half, half),
    )
    found = estimate_factors(least_squares(problem, 0, 0 * TRUE), np.array([0.3]))[0]
    squares = 1e-4 + MODES / 2 * 0.3**2 * np.array([9, 16]) / 25
    expected = np.diag(squares / np.sum(design**2, axis=0))
    np.testing.assert_allclose(found @ found.T, expected, atol=1e-12)
    # As directions in the data: those of the two responses.
    directions = along_response(problem, 0, 0 * TRUE)
    unit = design / np.linalg.norm(design, axis=0)
    np.testing.assert_allclose(
        directions @ directions.T,
        MODES / 2 * (unit * [9 / 25, 16 / 25]) @ unit.T,
        atol=1e-10,
    )


def test_residual_is_no_less_than_the_rounding_of_the_data():
    """Exact data of a perfect action: Q and its mean are what rounding leaves."""
    rounding = np.full(MODES, 1e-18)
    found = least_squares(
        small_problem(DESIGN, DESIGN @ TRUE, 0.0, rounding=rounding), 0, 0 * TRUE
    )
    assert found.residual == pytest.approx(38e-18)
    assert found.noise_power == pytest.approx(38e-18)
    # Common to all modes: one degree of freedom.
    assert misfit_law(found, 0.0)[0] == pytest.approx(0.5)


def test_density_of_the_statistics_is_that_of_scipy():
    rng = np.random.default_rng(1)
    data = DESIGN @ TRUE + rng.normal(size=MODES)
    problem = small_problem(DESIGN, data, NOISE)
    couplings, s = rng.normal(size=(3, 4, 2)), rng.uniform(0, 2, (3, 4))
    found = log_density(problem, 0, np.zeros(2), couplings, s)
    assert found.shape == (3, 4, 3)
    pseudo = np.linalg.pinv(DESIGN)
    left = data - DESIGN @ (pseudo @ data)
    statistics = least_squares(problem, 0, np.zeros(2))
    for where in np.ndindex(3, 4):
        covariance = (pseudo * NOISE) @ pseudo.T
        covariance += MODES / 2 * s[where] ** 2 * np.linalg.inv(DESIGN.T @ DESIGN)
        normal = stats.multivariate_normal(couplings[where], covariance)
        shape, rate = misfit_law(statistics, s[where])
        norm = stats.gamma(shape, scale=1 / rate).logpdf(left @ left)
        expected = normal.logpdf(pseudo @ data)
        assert found[where][:2].sum() == pytest.approx(expected, rel=1e-9)
        assert found[where][2] == pytest.approx(norm, rel=1e-9)


SMALL = np.stack([np.ones(12), np.linspace(-1, 1, 12) ** 3], axis=1)
SMALL_DATA = SMALL @ TRUE + 0.4 * RNG.normal(size=12)
SCALES = np.array([2.0, 3.0])


def ordinary_evidence(s, variance):
    """log N(y; 0, prior + noise + misfit), white noise, the misfit spread as defined.

    n s² lies across the response, in 10 directions, and n s² along it, in two.
    """
    basis = np.linalg.qr(SMALL)[0]
    along = basis @ basis.T
    covariance = (SMALL * SCALES**2) @ SMALL.T
    covariance += (variance + 12 * s**2 / 2) * along
    covariance += (variance + 12 * s**2 / 10) * (np.eye(12) - along)
    return stats.multivariate_normal(np.zeros(12), covariance).logpdf(SMALL_DATA)


@pytest.mark.parametrize("variance", [0.16, 0.01])
def test_evidence_with_white_noise_and_every_shape_is_the_ordinary_one(
    monkeypatch, variance
):
    """All 12 data count, 2 for the couplings and 10 for the misfit."""
    monkeypatch.setattr(module, "RESOLVED_SHAPES", 12)
    problem = small_problem(SMALL, SMALL_DATA, variance)
    form = solve(problem, 0, SCALES, None)
    assert form.log_evidence == pytest.approx(ordinary_evidence(0.0, variance))
    form = solve(problem, 0, SCALES, 0.5)
    log_s = np.linspace(-14, 1.5, 800)
    s = np.exp(log_s)
    density = [ordinary_evidence(one, variance) for one in s]
    density += stats.halfnorm.logpdf(s, scale=0.5) + log_s
    expected = np.log(np.sum(np.exp(density)) * (log_s[1] - log_s[0]))
    # The closed form's grid of s begins at 10⁻⁴ of the noise.
    assert form.log_evidence == pytest.approx(expected, abs=3e-4)


def test_evidence_counts_a_misfit_as_few_data():
    """Five shapes, of which two couplings take two and s one, whatever the entries.

    The others are where a misfit of twice the size makes the data half as dense.
    """
    for number in (12, 500):
        x = np.linspace(-1, 1, number)
        design = np.stack([np.ones(number), x], axis=1)
        across = x**2 - design @ np.linalg.lstsq(design, x**2, rcond=None)[0]
        across *= np.sqrt(number) / np.linalg.norm(across)
        evidence = [
            solve(
                small_problem(design, design @ TRUE + size * across, 0.0, None, 1e-18),
                0,
                SCALES,
                1.0,
            ).log_evidence
            for size in (1e-3, 2e-3)
        ]
        # Couplings of these scales do not feel an error of 10⁻³.
        assert evidence[0] - evidence[1] == pytest.approx(2 * np.log(2), abs=0.01)


def test_one_entry_leaves_the_discrepancy_its_prior():
    """One datum, one coupling, and nothing left over to measure a misfit by."""
    problem = small_problem(np.array([[2.0]]), np.array([0.6]), 0.01)
    statistics = least_squares(problem, 0, np.zeros(1))
    assert not statistics.sees_misfit
    form = solve(problem, 0, np.array([200.0]), 0.5)
    draws = form.draw(np.random.default_rng(0), 4000).discrepancy
    assert stats.kstest(draws, stats.halfnorm(scale=0.5).cdf).pvalue > 1e-3
    # A volume of one datum: y = 2c.
    assert log_volume(statistics) == pytest.approx(np.log(2.0))
    expected = stats.norm(0, np.sqrt(0.01 + 400.0**2)).logpdf(0.6)
    alone = solve(problem, 0, np.array([200.0]), None)
    assert alone.log_evidence == pytest.approx(expected)


def fit(correlators, cutoff):
    return nnft.fit_couplings(
        correlators, LAMBDA, [cutoff], key=jax.random.key(0), sampler="conjugate"
    )


def by_hand(correlators, cutoff):
    """Least squares in natural units: coupling, and relative rms of what it leaves."""
    net, x = correlators.network, correlators.x
    table = np.array(list(combinations_with_replacement(range(len(x)), 4)))
    size = np.prod(np.sqrt(np.diag(net.propagator(x)))[table], axis=1)
    size = size * np.sqrt(np.mean(correlators.connected(4) ** 2) / np.mean(size**2))
    response = nnft.first_order("lambda_0", net, x, [cutoff]).values[0].ravel() / size
    data = correlators.connected(4) / size
    coupling = response @ data / (response @ response)
    return coupling, np.sqrt(np.mean((data - coupling * response) ** 2))


def test_discrepancy_of_exact_data_is_their_misfit_to_a_tenth():
    """ν Q / (n s²) is χ² of ν = 50; with the flat prior of s, ν − 1 are left."""
    net = nnft.network("relu-net", width=20, input_dim=1)
    correlators = nnft.exact_correlators(net, np.linspace(-1, 1, 6), (2, 4))
    coupling, misfit = by_hand(correlators, 100.0)
    assert misfit == pytest.approx(0.063, abs=0.001)
    found = fit(correlators, 100.0)
    levels = [0.05, 0.5, 0.95]
    quantiles = np.quantile(found.discrepancy, levels) / misfit
    expected = np.sqrt(50 / stats.chi2(49).ppf(1 - np.array(levels)))
    # 2000 draws or more: quantiles to 0.004; half-normal, not flat: e^(−s²/2).
    np.testing.assert_allclose(quantiles, expected, rtol=0.02)
    assert (quantiles[2] - quantiles[0]) / 2 == pytest.approx(0.17, abs=0.01)
    mean = found.summary()["mean"].item()
    sd = found.summary()["sd"].item()
    assert abs(mean - coupling) < 0.1 * sd


SMALL_INPUTS = 0.1 * np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])


def test_few_networks_do_not_pull_the_coupling_off_that_of_exact_data():
    """Erf-net of width 5, 2000 networks, a noise that moves all entries together.

    Weights 1/(noise + s²), mode by mode, gave a seventh of the coupling: −0.0049.
    """
    net = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    truth, _ = by_hand(nnft.exact_correlators(net, SMALL_INPUTS, (2, 4)), 100.0)
    measured = nnft.measure_correlators(
        net, SMALL_INPUTS, (2, 4), num_draws=2000, key=jax.random.key(1)
    )
    row = fit(measured, 100.0).summary().iloc[0]
    assert abs(row["mean"] - truth) < 3 * row["sd"]
    assert abs(-0.0049 - truth) > 3 * row["sd"]
    assert row["sd"] < 0.2 * abs(truth)


def test_the_interval_holds_the_coupling_of_nearby_inputs():
    """Gauss-net on inputs near zero, and on the same inputs times √½."""
    net = nnft.network("gauss-net", width=1000, input_dim=1, bias_std=1.0)
    x = np.array([0.002, 0.004, 0.006, 0.008, 0.010, 0.012])
    wide, near = (
        fit(nnft.exact_correlators(net, scale * x, (2, 4)), np.inf)
        for scale in (1.0, np.sqrt(0.5))
    )
    draws = wide.data["posterior"]["coupling"].values
    low, high = np.quantile(draws, [0.025, 0.975])
    assert low < near.summary()["mean"].item() < high
