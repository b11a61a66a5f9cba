import arviz as az
import jax
import numpy as np
import pytest
import xarray as xr

import nnft_ppl as nnft
from nnft_ppl.correlators.wick import gaussian_moment

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
    assert fit.data["log_likelihood"]["amplitude"].dims[-1] == "mode"
    for name in ("posterior_predictive", "prior_predictive", "observed_data"):
        assert set(fit.data[name].data_vars) == {"amplitude", "connected"}
    assert list(fit.data["observed_data"]["legs"].values[:2]) == ["0-0-0-0", "0-0-0-1"]


def test_one_cutoff_is_its_own_tree(fit):
    tree = fit.at(30.0)
    assert set(tree.children) == GROUPS
    for group in tree.children.values():
        assert "cutoff" not in group.dims
    coupling = tree["posterior"]["coupling"].values
    assert (coupling == fit.data["posterior"]["coupling"].values[:, :, 1]).all()
    with pytest.raises(nnft.SpecError, match=r"no cutoff 20.0; it has \[10.0, 30.0\]"):
        fit.at(20.0)


def test_log_likelihood_is_the_normal_density(fit):
    tree = fit.at(10.0)
    s = tree["posterior"]["discrepancy"].values
    problem = fit.likelihood
    c = fit.dimensionless[:, :, 0, 0]
    spread = np.sqrt(problem.variance + s[..., None] ** 2)
    z = (problem.amplitudes - problem.design[0, :, 0] * c[..., None]) / spread
    expected = -0.5 * z**2 - np.log(spread) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(tree["log_likelihood"]["amplitude"], expected)


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
    ]
    assert len(table) == 2
    direct = az.summary(fit.at(30.0), var_names=["coupling"], round_to="none")
    assert table["mean"][1] == direct["mean"].iloc[0]
    assert (table["lower"] < table["mean"]).all()


def test_a_fit_comes_back_equal(fit, tmp_path):
    fit.save(tmp_path / "fit.nc")
    back = nnft.load(tmp_path / "fit.nc")
    assert back.data.equals(fit.data)
    assert back.summary().equals(fit.summary())
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
