"""One law for all cutoffs: exact powers, shared errors, closed forms, coverage."""

import dataclasses

import arviz as az
import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from scipy.special import logsumexp

import nnft_ppl as nnft
from nnft_ppl import FitError, SpecError, store
from nnft_ppl.inference.law.fit import fit_running, sample_law
from nnft_ppl.inference.law.model import (
    Estimates,
    joint_estimates,
    law_problem,
    unshared_noise,
)
from nnft_ppl.inference.likelihood import build_likelihood
from nnft_ppl.inference.mcmc.sampling import Sampling

X = np.array([0.2, 0.6, 1.2])
BOTH_SIGNS = np.array([-1.0, -0.4, 0.2, 1.0])
CUTOFFS = np.geomspace(7.0, 1e5, 8)
FEW = {"num_warmup": 200, "num_samples": 500, "num_chains": 2}
LAMBDA = nnft.Action(["lambda_0"])


def net(bias_std=0.0, name="relu-net"):
    return nnft.network(name, width=20, input_dim=1, bias_std=bias_std)


def exact(bias_std=0.0, x=X, orders=(2, 4)):
    return nnft.exact_correlators(net(bias_std), x, orders=orders)


def run(correlators, cutoffs=CUTOFFS, action=LAMBDA, **options):
    key = jax.random.key(0)
    return fit_running(correlators, action, cutoffs, key=key, **(FEW | options))


def measured(bias_std=0.0):
    return nnft.measure_correlators(
        net(bias_std), X, orders=(2, 4), num_draws=5000, key=jax.random.key(1)
    )


@pytest.fixture(scope="module")
def noisy():
    return run(measured())


@pytest.mark.slow
def test_exact_data_with_homogeneous_kernel_give_the_exact_power():
    """λ_0 = −12.5/(N Λ⁵) (theory.md §4)."""
    fit = run(exact())
    row = fit.summary().iloc[0]
    np.testing.assert_allclose(fit.exponent, -5.0, rtol=0, atol=1e-8)
    assert row["amplitude"] == pytest.approx(-12.5 / 20 / fit.reference**5, rel=1e-8)
    assert row["amplitude_sd"] < 1e-8
    assert row["scatter_upper"] < 1e-8
    assert row["theory"] == pytest.approx(-5.0, abs=1e-8)
    assert row["verdict"] == "describes"
    assert row["rhat"] < 1.02
    assert row["num_divergent"] == 0


def test_the_exponent_does_not_see_the_noise_of_the_amplitude(noisy):
    row = noisy.summary().iloc[0]
    assert row["amplitude_sd"] > 0.01
    np.testing.assert_allclose(noisy.exponent, -5.0, rtol=0, atol=1e-8)
    assert row["verdict"] == "describes"


def test_couplings_off_the_law_are_not_described_whatever_the_scatter(noisy):
    """By 5 % up and down in turn, beside a scatter that says nothing of it."""
    assert (noisy.noise < 1e-8).all()
    turn = 1 + 0.05 * (-1.0) ** np.arange(len(CUTOFFS))[:, None]
    row = dataclasses.replace(noisy, coupling=noisy.coupling * turn).summary().iloc[0]
    assert row["scatter_upper"] < 1e-8
    assert row["verdict"] == "undetermined"


def test_only_noise_that_the_cutoffs_do_not_share_moves_couplings_off_the_law():
    cutoffs = np.geomspace(10.0, 1e3, 12)
    logs = np.log(cutoffs / 100.0)
    bend = 0.05 * (logs**2 - np.mean(logs**2))
    noise = np.stack([0.3 + 0.1 * logs, bend], axis=1)[:, None]
    estimates = Estimates(np.exp(-4 * logs)[:, None], noise, np.zeros((12, 1, 0)))
    problem, _ = law_problem(estimates, np.ones((12, 1)), cutoffs, False)
    expected = np.sqrt(np.mean(bend**2))
    np.testing.assert_allclose(unshared_noise(problem, 2), [expected], rtol=1e-9)


def test_data_count_once_however_many_cutoffs(noisy):
    """Amplitude as uncertain as at one cutoff alone; 1000 draws, four errors."""
    alone = nnft.fit_couplings(
        noisy.correlators,
        LAMBDA,
        [noisy.reference],
        key=jax.random.key(0),
        sampler="conjugate",
    ).dimensionless
    expected = alone.std() / np.abs(alone.mean())
    error = expected * 4 / np.sqrt(2 * 1000)
    assert noisy.log_amplitude.std() == pytest.approx(expected, abs=error)
    shift = np.log(-noisy.coupling[0, 0] * CUTOFFS[0] ** 5)
    centre = noisy.log_amplitude + 5 * np.log(noisy.reference)
    assert centre.mean() == pytest.approx(shift, abs=expected * 4 / np.sqrt(1000))


@pytest.mark.slow
def test_one_exponent_does_not_describe_a_running_that_bends():
    """σ_b = 1: the local exponent goes from −4.4 at Λ = 7 to −5."""
    single, curved = (run(exact(1.0), curvature=c) for c in (False, True))
    first, second = (fit.summary().iloc[0] for fit in (single, curved))
    assert first["verdict"] == "does not describe"
    assert -5.0 < first["exponent"] < -4.9
    assert first["local_first"] > -4.5
    assert first["local_last"] == pytest.approx(-5.0, abs=1e-4)
    # Least squares: the law through the couplings themselves.
    logs = np.log(CUTOFFS / single.reference)
    line = np.polyfit(logs, np.log(-single.coupling[:, 0]), 1)
    assert single.exponent.mean() == pytest.approx(line[0], abs=4 * 0.03 / 30)
    assert second["scatter"] < first["scatter"]
    bend = 2 * np.polyfit(logs, np.log(-curved.coupling[:, 0]), 2)[0]
    assert bend < -0.02
    # Its error holds the misfit of the action, which is not small here.
    assert abs(second["curvature"] - bend) < 0.2 * second["curvature_sd"]


def test_an_action_that_is_off_by_half_has_a_running_of_its_own_law():
    """Erf-net on wide inputs: λ_0 ∝ 1/Λ, whatever its amplitude is worth."""
    wide = nnft.exact_correlators(net(1.0, "erf-net"), [0.2, 0.6, 1.2], (2, 4))
    law = run(wide, np.geomspace(1e3, 1e5, 8))
    row = law.summary().iloc[0]
    assert row["amplitude_sd"] > 0.3
    # The mean of 1000 draws of such an amplitude is off by more than the tolerance.
    moved = dataclasses.replace(law, log_amplitude=law.log_amplitude + 0.03)
    assert moved.summary()["verdict"][0] == "describes"
    assert row["exponent"] == pytest.approx(-1.0, abs=0.02)
    assert row["scatter_upper"] < 0.01
    assert row["verdict"] == "describes"


def test_discrepancy_of_the_action_is_carried_over_to_the_amplitude():
    """Inputs of both signs, where λ_0 misses; the same error at every cutoff."""
    correlators = exact(x=BOTH_SIGNS)
    fit = run(correlators)
    alone = nnft.fit_couplings(
        correlators, LAMBDA, [7.0], key=jax.random.key(0), sampler="conjugate"
    ).dimensionless
    expected = alone.std() / np.abs(alone.mean())
    assert expected > 1e-3
    error = expected * 4 / np.sqrt(2 * 1000)
    assert fit.log_amplitude.std() == pytest.approx(expected, abs=error)
    np.testing.assert_allclose(fit.exponent, -5.0, rtol=0, atol=1e-8)


def test_joint_errors_are_those_of_repeated_data():
    """20 000 replicas of the data; least squares at every cutoff."""
    likelihood = build_likelihood(measured(1.0), LAMBDA, (7.0, 30.0, 1e3))
    s = np.array([0.1, 0.2, 0.3])
    got = joint_estimates(likelihood, s, np.ones((3, 1)))
    other = joint_estimates(likelihood, s, np.zeros((3, 1)))
    np.testing.assert_allclose(got.dimensionless, other.dimensionless, rtol=1e-9)
    rng = np.random.default_rng(0)
    num_modes = len(likelihood.amplitudes)
    noise = rng.normal(size=(20_000, num_modes))
    noise *= np.sqrt(likelihood.noise + likelihood.rounding)
    # One pattern at all cutoffs; in any direction its norm is s √n.
    pattern = np.sqrt(num_modes) * rng.normal(size=(20_000, num_modes))
    for errors, label in ((got.noise, "noise"), (got.ambiguity, "ambiguity")):
        replicas = []
        for k, one in enumerate(s):
            shift = noise if label == "noise" else one * pattern
            column = likelihood.design[k, :, 0]
            data = likelihood.amplitudes + shift
            replicas.append(data @ column / (column @ column))
        expected = np.cov(np.array(replicas) / got.dimensionless)
        flat = errors[:, 0]
        error = 5 * np.sqrt(2 / 20_000) * np.abs(np.diag(expected)).max()
        np.testing.assert_allclose(flat @ flat.T, expected, rtol=0, atol=error)
    total = np.sqrt(np.sum(got.noise**2, -1) + np.sum(got.ambiguity**2, -1))
    np.testing.assert_allclose(got.relative_error, total)


def synthetic(rng, noise, exponent=-3.0, scatter=0.05, num_cutoffs=12):
    """Couplings of a law with scatter and shared noise, log g* = 1 at Λ* = 100."""
    cutoffs = np.geomspace(10.0, 1000.0, num_cutoffs)
    logs = np.log(cutoffs / 100.0)
    bend = np.stack([np.full(num_cutoffs, 0.1), 0.02 * logs], axis=1) * noise
    log_g = 1.0 + exponent * logs + scatter * rng.normal(size=num_cutoffs)
    log_g = log_g + bend @ rng.normal(size=2)
    estimates = Estimates(
        np.exp(log_g)[:, None], bend[:, None], np.zeros((num_cutoffs, 1, 0))
    )
    return estimates, cutoffs


def grid_posterior(estimates, cutoffs):
    """Posterior of (log g*, e) at Λ* = 100 on a grid of t: dense covariances, no QR."""
    logs = np.log(cutoffs / 100.0)
    design = np.stack([np.ones_like(logs), logs], axis=1)
    target = np.log(estimates.dimensionless[:, 0])
    noise = estimates.noise[:, 0]
    t = np.geomspace(1e-3, 3.0, 300)
    log_weight, means, covariances = [], [], []
    for one in t:
        covariance = noise @ noise.T + one**2 * np.eye(len(logs))
        precision = np.linalg.inv(covariance)
        posterior = np.linalg.inv(design.T @ precision @ design)
        mean = posterior @ design.T @ precision @ target
        left = target - design @ mean
        log_weight.append(
            0.5 * np.linalg.slogdet(posterior)[1]
            - 0.5 * np.linalg.slogdet(covariance)[1]
            - 0.5 * left @ precision @ left
            - 0.5 * one**2
            + np.log(one)
        )
        means.append(mean)
        covariances.append(np.diag(posterior))
    weight = np.exp(np.array(log_weight) - logsumexp(log_weight))
    return t, weight, np.array(means), np.sqrt(covariances)


def test_nuts_agrees_with_the_posterior_on_a_grid():
    estimates, cutoffs = synthetic(np.random.default_rng(3), noise=1.0)
    t, weight, mean, sd = grid_posterior(estimates, cutoffs)
    expected = weight @ mean
    spread = np.sqrt(weight @ (sd**2 + (mean - expected) ** 2))
    problem, centre = law_problem(estimates, np.ones((12, 1)), cutoffs, False)
    out = sample_law(problem, jax.random.key(0), Sampling(300, 1000, 4))
    law = out["parameters"][..., :2] + centre[:, 0]
    ess = np.array([float(az.ess(law[..., i])) for i in range(2)])
    error = 5 * spread / np.sqrt(ess)
    np.testing.assert_array_less(np.abs(law.mean(axis=(0, 1)) - expected), error)
    np.testing.assert_allclose(law.std(axis=(0, 1)), spread, rtol=0.1)
    expected_scatter = weight @ t
    assert out["scatter"].mean() == pytest.approx(expected_scatter, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_intervals_cover_the_truth_as_often_as_they_say(noise):
    """200 replicas: 90 % intervals hold it 180 times, give or take three times 4.2."""
    rng = np.random.default_rng(11)
    inside = np.zeros(2, dtype=int)
    for _ in range(200):
        _, weight, mean, sd = grid_posterior(*synthetic(rng, noise))
        rank = weight @ stats.norm.cdf((np.array([1.0, -3.0]) - mean) / sd)
        inside += (rank > 0.05) & (rank < 0.95)
    assert (np.abs(inside - 180) < 3 * 4.25).all(), inside


@pytest.mark.slow
def test_noise_that_bends_the_couplings_is_no_misfit_of_the_law():
    """Couplings off a power law along a direction of the noise, by one deviation."""
    cutoffs = np.geomspace(10.0, 1e3, 12)
    logs = np.log(cutoffs / 100.0)
    bend = 0.05 * logs**2
    noise = np.stack([bend, np.zeros(12)], axis=1)[:, None]
    estimates = Estimates(
        np.exp(-4 * logs + bend)[:, None], noise, np.zeros((12, 1, 0))
    )
    blind = estimates._replace(noise=0 * noise)
    scatters = []
    for one in (estimates, blind):
        problem, _ = law_problem(one, np.ones((12, 1)), cutoffs, False)
        out = sample_law(problem, jax.random.key(0), Sampling(300, 1000, 4))
        scatters.append(np.median(out["scatter"]))
    assert scatters[0] < 1e-9
    assert scatters[1] > 0.05


@pytest.mark.slow
def test_two_operators_get_their_own_laws_and_arviz_reads_them():
    fit = run(exact(orders=(2, 4, 6)), action=nnft.Action(["lambda_0", "kappa"]))
    table = fit.summary().set_index("operator")
    np.testing.assert_allclose(table["exponent"], [-5.0, -7.0], atol=1e-8)
    # Beside the trees of two λ_0 the sextic coupling is positive: κ N² Λ⁷ = 123.67.
    assert np.sign(table["amplitude"]).tolist() == [-1.0, 1.0]
    kappa = table["amplitude"]["kappa"] * 400 * fit.reference**7
    assert kappa == pytest.approx(371 / 3, rel=1e-6)
    wanted = az.summary(fit.data, var_names=["exponent"])
    assert len(wanted) == 2
    at_reference = fit.law([fit.reference]).median(("chain", "draw"))
    np.testing.assert_allclose(at_reference[0], table["amplitude"], rtol=1e-10)
    assert "lambda_0" in repr(fit)


def test_a_coupling_without_a_sign_has_no_law():
    correlators = measured()
    noisy = dataclasses.replace(
        correlators, joint_covariance=correlators.joint_covariance * 1e4
    )
    with pytest.raises(FitError, match=r"'lambda_0' at cutoff .* is determined to"):
        run(noisy)


def test_operators_that_predict_the_same_are_refused():
    with pytest.raises(SpecError, match="'lambda_0', 'lambda_2' make the same"):
        run(exact(), action=nnft.Action(["lambda_0", "lambda_2"]))


def test_too_few_or_infinite_cutoffs_are_refused():
    for cutoffs, curvature, least in (
        ([7.0, 10.0, 100.0], False, 4),
        ([7.0, 10.0, 100.0, 1e3], True, 5),
        ([7.0, 10.0, 100.0, np.inf], False, 4),
    ):
        with pytest.raises(SpecError, match=f"give at least {least} distinct finite"):
            run(exact(), cutoffs, curvature=curvature)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"num_samples": 0}, "`num_samples` is 0; expected a whole number"),
        ({"curvature": 1}, "`curvature` is 1; expected True or False"),
        ({"prior": 3}, "`prior` is 3; expected nnft_ppl.Prior"),
        ({"action": ["lambda_0"]}, "`action` is .* expected nnft_ppl.Action"),
    ],
)
def test_wrong_arguments_are_named(options, match):
    with pytest.raises(SpecError, match=match):
        run(exact(), **options)


@pytest.mark.parametrize("curved", [False, True])
def test_a_fit_comes_back_equal(noisy, curved, tmp_path):
    """Amplitudes known to 10⁻¹², whose digits an exponential would lose."""
    fit = dataclasses.replace(
        noisy,
        log_amplitude=-20 + 1e-12 * noisy.log_amplitude,
        has_curvature=curved,
        curvature=0.01 * noisy.scatter if curved else noisy.curvature,
    )
    fit.save(tmp_path / "fit.nc")
    back = nnft.load(tmp_path / "fit.nc")
    assert (back.log_amplitude == fit.log_amplitude).all()
    assert back.data.identical(fit.data)
    pd.testing.assert_frame_equal(back.summary(), fit.summary(), rtol=1e-12)
    assert back.law([20.0, 1e4]).equals(fit.law([20.0, 1e4]))
    assert back.has_curvature is curved
    assert repr(back) == repr(fit)


def test_operators_that_a_name_would_not_bring_back_are_not_saved(noisy, tmp_path):
    own = nnft.Action([nnft.Operator(name="own", symbol="o", fields=(0, 0, 0, 0))])
    with pytest.raises(SpecError, match="neither built in nor of an installed"):
        dataclasses.replace(noisy, action=own).save(tmp_path / "own.nc")
    assert not list(tmp_path.iterdir())


def test_a_file_whose_integrals_are_others_is_refused(noisy, tmp_path):
    noisy.save(tmp_path / "fit.nc")
    tree = store.read(tmp_path / "fit.nc")
    constant = tree["constant_data"].to_dataset()
    tree["constant_data"] = xr.DataTree(constant.assign(theory=1.01 * constant.theory))
    store.write(tree, tmp_path / "changed.nc")
    with pytest.raises(SpecError, match="does not give the integrals in the file"):
        nnft.load(tmp_path / "changed.nc")
