import dataclasses

import arviz as az
import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import linalg, stats

import nnft_ppl as nnft
from nnft_ppl.correlators.wick import gaussian_moment
from nnft_ppl.inference.adequacy import relative_misfit

X = np.array([0.2, 0.6, 1.0, 1.2])
GROUPS = {
    "posterior",
    "sample_stats",
    "prior",
    "prior_predictive",
    "posterior_predictive",
    "observed_data",
    "constant_data",
    "log_likelihood",
    "log_prior",
}


@pytest.fixture(scope="module")
def fit():
    net = nnft.network("relu-net", width=20, input_dim=1)
    exact = nnft.exact_correlators(net, X, (2, 4, 6))
    return nnft.fit_couplings(
        exact,
        nnft.Action(["lambda_0"]),
        [10.0, 30.0],
        key=jax.random.key(0),
        num_warmup=200,
        num_samples=250,
    )


def test_data_has_the_groups_and_dimensions_that_arviz_expects(fit):
    assert set(fit.data.children) == GROUPS
    posterior = fit.data["posterior"]
    assert posterior["coupling"].dims == ("chain", "draw", "cutoff", "operator")
    assert posterior["coupling"].shape == (4, 250, 2, 1)
    assert posterior["discrepancy"].dims == ("chain", "draw", "cutoff")
    assert list(posterior["cutoff"].values) == [10.0, 30.0]
    assert list(posterior["operator"].values) == ["lambda_0"]
    assert {"diverging", "energy", "lp", "n_steps"} <= set(fit.data["sample_stats"])
    pointwise = fit.data["log_likelihood"]["statistics"]
    assert pointwise.dims == ("chain", "draw", "cutoff", "statistic")
    assert list(pointwise["statistic"].values) == ["lambda_0", "misfit"]
    for name in ("posterior_predictive", "prior_predictive", "observed_data"):
        assert set(fit.data[name].data_vars) == {"amplitude"}
    constants = fit.data["constant_data"]
    assert list(constants["legs"].values[:2]) == ["0-0-0-0", "0-0-0-1"]
    np.testing.assert_allclose(constants["connected"], fit.correlators.connected(4))


def test_one_cutoff_is_its_own_tree(fit):
    tree = fit.at(30.0)
    assert set(tree.children) == GROUPS
    for group in tree.children.values():
        assert "cutoff" not in group.dims
    coupling = tree["posterior"]["coupling"].values
    assert (coupling == fit.data["posterior"]["coupling"].values[:, :, 1]).all()
    with pytest.raises(nnft.SpecError, match=r"no cutoff 20.0; it has \[10.0, 30.0\]"):
        fit.at(20.0)


def test_log_likelihood_is_the_density_of_estimate_and_norm(fit):
    """Exact data that the action describes: what is left is rounding, all as one."""
    tree = fit.at(30.0)
    s = tree["posterior"]["discrepancy"].values
    problem, response = fit.likelihood, fit.likelihood.design[1, :, 0]
    data, modes = problem.amplitudes, len(problem.amplitudes)
    square = response @ response
    rounding = problem.rounding[0]
    spread = np.sqrt((rounding + modes * s**2) / square)
    normal = stats.norm.logpdf(
        response @ data / square, fit.dimensionless[:, :, 1, 0], spread
    )
    total = (modes - 1) * rounding
    mean = total + modes * s**2
    half = total**2 * (1 + 2 * modes * s**2 / total) + (modes * s**2) ** 2 / (modes - 1)
    left = data - response * (response @ data) / square
    norm = stats.gamma(mean**2 / (2 * half), scale=2 * half / mean)
    expected = [normal, norm.logpdf(max(left @ left, total))]
    np.testing.assert_allclose(
        tree["log_likelihood"]["statistics"], np.stack(expected, axis=-1), rtol=1e-6
    )


@pytest.fixture(scope="module")
def rough():
    """A fit whose discrepancy is large, so that it shows in every group."""
    net = nnft.network("relu-net", width=20, input_dim=1, bias_std=1.0)
    exact = nnft.exact_correlators(net, [-1.0, 0.3, 1.0], (2, 4, 6))
    return nnft.fit_couplings(
        exact,
        nnft.Action(["lambda_0", "kappa"]),
        [10.0],
        key=jax.random.key(0),
        sampler="conjugate",
        prior=nnft.Prior(natural_size=300.0, spread=0.0),
    )


def test_log_prior_is_the_density_of_the_priors(rough):
    tree = rough.at(10.0)
    # natural_size 300, width 20: (300/20)^(k/2 − 1) for four and six fields.
    scales = np.array([15.0, 15.0**2])
    np.testing.assert_allclose(
        tree["log_prior"]["dimensionless"],
        stats.norm.logpdf(tree["posterior"]["dimensionless"], 0, scales),
    )
    np.testing.assert_allclose(
        tree["log_prior"]["discrepancy"],
        stats.halfnorm.logpdf(tree["posterior"]["discrepancy"], scale=1.0),
    )


def test_prior_draws_have_the_prior_scales(rough):
    prior = rough.at(10.0)["prior"]
    spread = prior["dimensionless"].std(["chain", "draw"]).values
    # A standard deviation from 1000 draws is good to 2.2 %.
    np.testing.assert_allclose(spread, [15.0, 15.0**2], rtol=4 * 0.022)
    mean = float(prior["discrepancy"].mean())
    assert mean == pytest.approx(np.sqrt(2 / np.pi), rel=4 * 0.024)


@pytest.mark.parametrize("group", ["prior", "posterior"])
def test_predictive_spread_is_noise_and_discrepancy(rough, group):
    tree = rough.at(10.0)
    draws = tree[group]
    c = draws["dimensionless"].values
    expected = c @ rough.likelihood.design[0].T
    expected += np.einsum("cdi,cdj,mij->cdm", c, c, rough.likelihood.quadratic[0])
    s = draws["discrepancy"].values[..., None]
    replicate = tree[f"{group}_predictive"]["amplitude"].values - expected
    # Across the responses each mode by itself.
    problem, centre = rough.likelihood, rough.centre(0)
    along = linalg.orth(problem.response(0, centre))
    z = replicate @ linalg.null_space(along.T)
    z /= np.sqrt(s**2 + problem.variance.mean())
    assert z.std() == pytest.approx(1, abs=4 / np.sqrt(2 * z.size))
    # Along them n/2 for each direction besides, times the share of the order in Q.
    left = problem.amplitudes - problem.expected(0, centre)
    left = problem.rotation @ (left - along @ (along.T @ left))
    entries = problem.rotation @ along
    shares = [np.sum(left[span] ** 2) / np.sum(left**2) for span in problem.spans]
    parts = [np.sum(entries[span] ** 2) for span in problem.spans]
    squares = np.sum((replicate @ along) ** 2, axis=-1) / s[..., 0] ** 2
    wanted = 2 + len(left) / 2 * np.dot(shares, parts)
    error = squares.std() / np.sqrt(squares.size)
    assert squares.mean() == pytest.approx(wanted, abs=4 * error)
    assert 4 * error < 0.2 * wanted


def test_misfit_is_relative_per_order_whatever_the_units(rough):
    problem = rough.likelihood
    coupling = np.array([-0.1, 0.05])
    data = problem.to_entries(problem.amplitudes)
    expected = problem.design[0] @ coupling
    expected += problem.quadratic[0] @ coupling @ coupling
    left = data - problem.to_entries(expected)
    squares = [
        np.mean(left[part] ** 2) / np.mean(data[part] ** 2)
        for part in (slice(0, 15), slice(15, 43))
    ]
    expected = np.sqrt(np.mean(squares))
    assert relative_misfit(problem, 0, coupling) == pytest.approx(expected)
    larger = dataclasses.replace(
        problem, size=problem.size * np.repeat([1e4, 1e6], [15, 28])
    )
    assert relative_misfit(larger, 0, coupling) == pytest.approx(expected)


def test_a_fit_with_an_operator_of_ones_own_is_not_saved_under_its_name(fit, tmp_path):
    own = nnft.Operator(
        name="lambda_0", symbol="x", fields=(0,) * 4, weight=lambda y: y[..., 0] ** 4
    )
    other = nnft.fit_couplings(
        fit.correlators,
        nnft.Action([own]),
        [10.0],
        key=jax.random.key(0),
        sampler="conjugate",
    )
    with pytest.raises(nnft.SpecError, match="neither built in nor of an installed"):
        other.save(tmp_path / "own.nc")
    assert not list(tmp_path.iterdir())


def test_a_file_whose_integrals_are_others_is_refused(fit, tmp_path):
    changed = dataclasses.replace(fit.likelihood, scale=fit.likelihood.scale * 1.01)
    dataclasses.replace(fit, likelihood=changed).save(tmp_path / "fit.nc")
    with pytest.raises(nnft.SpecError, match="does not give the integrals in the file"):
        nnft.load(tmp_path / "fit.nc")


def test_predictions_are_wick_sums_with_the_fitted_connected_part(fit):
    net = fit.correlators.network
    kernel = net.kernel(X)
    np.testing.assert_allclose(
        fit.predict(2).values[0, 0, 0], gaussian_moment(kernel, 2), rtol=1e-12
    )
    four = fit.predict(4)
    assert four.dims == ("chain", "draw", "cutoff", "entry")
    np.testing.assert_allclose(
        four.mean(["chain", "draw"]).sel(cutoff=10.0),
        fit.correlators.moment(4),
        rtol=1e-6,
    )
    # G4c is (5/N) Σ_3 KK here, so G6 = Σ_15 KKK + Σ_15 K G4c = (1 + 15/N) G6_GP.
    six = fit.predict(6, cutoffs=[30.0])
    assert six.shape == (4, 250, 1, 84)
    np.testing.assert_allclose(
        six.mean(["chain", "draw", "cutoff"]),
        (1 + 15 / 20) * gaussian_moment(kernel, 6),
        rtol=1e-6,
    )
    assert (fit.predict(4, 30.0).values == fit.predict(4, [30.0]).values).all()
    with pytest.raises(nnft.SpecError, match="order 3 cannot be predicted"):
        fit.predict(3)


def test_predictions_carry_the_discrepancy():
    net = nnft.network("relu-net", width=20, input_dim=1, bias_std=1.0)
    exact = nnft.exact_correlators(net, [-1.0, 0.3, 1.0], (2, 4))
    fit = nnft.fit_couplings(
        exact,
        nnft.Action(["lambda_0"]),
        [10.0],
        key=jax.random.key(0),
        sampler="conjugate",
    )
    z = (fit.predict(4) - exact.moment(4)) / fit.predict(4).std(["chain", "draw"])
    assert np.abs(z.mean(["chain", "draw"])).max() < 4
    assert (fit.predict(4).std(["chain", "draw"]) > 0.1 * fit.likelihood.size).all()


def test_summary_has_one_row_per_cutoff_and_operator(fit):
    table = fit.summary()
    assert list(table.columns) == [
        "cutoff",
        "operator",
        "mean",
        "sd",
        "lower",
        "upper",
        "rhat",
        "ess_bulk",
        "ess_tail",
        "num_divergent",
        "verdict",
        "reason",
    ]
    assert len(table) == 2
    direct = az.summary(fit.at(30.0), var_names=["coupling"], round_to="none")
    assert table["mean"][1] == direct["mean"].iloc[0]
    assert (table["lower"] < table["mean"]).all()


def test_a_fit_comes_back_equal(fit, tmp_path):
    fit.save(tmp_path / "fit.nc")
    back = nnft.load(tmp_path / "fit.nc")
    assert back.data.equals(fit.data)
    # Rounding of sums depends on where in memory they lie.
    pd.testing.assert_frame_equal(back.summary(), fit.summary(), rtol=1e-9)
    assert (back.predict(4).values == fit.predict(4).values).all()
    assert isinstance(back.data, xr.DataTree)


def test_running_needs_two_finite_cutoffs(fit):
    one = nnft.fit_couplings(
        fit.correlators,
        fit.action,
        [10.0],
        key=jax.random.key(0),
        sampler="conjugate",
    ).running()
    assert np.isnan(one["slope"]).all()
    assert np.isnan(one["exponent"]).all()
    np.testing.assert_allclose(one["theory"], -5, atol=1e-8)
