"""Each ArviZ trap on stacked cutoffs: that it is there, and that ours avoids it."""

import arviz as az
import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.diagnostics.comparison.leave_out import leave_tuple_out
from nnft_ppl.inference.couplings.conjugate import solve


@pytest.fixture(scope="module")
def fit():
    net = nnft.network("relu-net", width=20, input_dim=1, bias_std=1.0)
    exact = nnft.exact_correlators(net, [-1.2, -0.6, 0.2, 1.0], (2, 4))
    return nnft.fit_couplings(
        exact,
        nnft.Action(["lambda_0"]),
        [10.0, 100.0],
        key=jax.random.key(0),
        sampler="conjugate",
    )


# The estimate of a coupling is all that is known of it: no draw is at home without it.
@pytest.mark.filterwarnings("ignore:Estimated shape parameter of Pareto")
def test_loo_of_the_stack_is_a_sum_and_ours_is_not(fit):
    single = [az.loo(fit.at(cutoff)).elpd for cutoff in fit.cutoffs]
    stacked = az.loo(fit.data).elpd
    # The trap; ArviZ takes one effective sample size for all.
    assert stacked == pytest.approx(sum(single), rel=1e-3)
    assert abs(stacked - single[0]) > 1
    ours = nnft.loo_by_cutoff(fit)
    assert list(ours["cutoff"]) == [10.0, 100.0]
    for row in ours.itertuples():
        loo = leave_tuple_out(fit, row.cutoff)
        assert (row.elpd, row.se, row.p) == (loo.elpd, loo.se, loo.p)
        assert row.num_high_pareto_k == 0


def test_loo_of_arviz_leaves_out_statistics_and_ours_entries(fit):
    """One coupling and the misfit's norm are two numbers; the data are 35 entries."""
    statistics = fit.at(10.0)["log_likelihood"]["statistics"]
    assert list(statistics["statistic"].values) == ["lambda_0", "misfit"]
    with pytest.warns(UserWarning, match="Estimated shape parameter of Pareto"):
        assert az.loo(fit.at(10.0)).n_data_points == 2
    assert leave_tuple_out(fit, 10.0).n_data_points == 35


def test_prior_sensitivity_of_the_stack_is_wrong_and_ours_is_not(fit):
    ours = nnft.prior_sensitivity(fit)
    assert set(ours["parameter"]) == {
        "dimensionless[lambda_0]",
        "discrepancy",
        "natural_size",
    }
    top = ["natural_size", "discrepancy"]
    stacked = az.psense_summary(
        fit.data, var_names=["discrepancy"], prior_var_names=top
    )
    single = az.psense_summary(
        fit.at(10.0), var_names=["discrepancy"], prior_var_names=top
    )
    mine = ours[(ours["cutoff"] == 10.0) & (ours["parameter"] == "discrepancy")]
    assert mine["likelihood"].iloc[0] == single["likelihood"].iloc[0]
    # The trap: the stack scales both cutoffs' likelihoods at once.
    assert stacked["likelihood"].iloc[1] != single["likelihood"].iloc[0]


def test_power_scaling_of_the_size_moves_it_as_its_own_prior_would(fit):
    """p(τ)^α is log-normal of spread/√α: the closed form can be asked for that."""
    prior = fit.prior
    width = fit.correlators.network.width
    scales = prior.scales_at(prior.natural_size, width, fit.action)
    alpha = 2.0
    forms = [
        solve(
            fit.likelihood,
            0,
            scales,
            prior.discrepancy_scale,
            prior.size_prior(fit.action)._replace(spread=spread),
        )
        for spread in (prior.spread, prior.spread / np.sqrt(alpha))
    ]
    expected = [form.weight @ np.log(form.relative_size) for form in forms]
    tree = fit.at(10.0)
    logs = np.log(tree["posterior"]["natural_size"].values / prior.natural_size)
    weight = np.exp((alpha - 1) * tree["log_prior"]["natural_size"].values)
    # p(τ)^α also holds a factor τ^(1 − α) that the log-normal density does not.
    weight = weight * np.exp((alpha - 1) * logs)
    found = np.sum(weight * logs) / np.sum(weight)
    error = 4 * logs.std() * np.sqrt(np.sum(weight**2)) / np.sum(weight)
    assert abs(expected[1] - expected[0]) > 2 * error
    assert found == pytest.approx(expected[1], abs=error)


def test_no_dimension_is_padded(fit):
    for cutoff in fit.cutoffs:
        assert np.isfinite(fit.at(cutoff)["log_likelihood"]["statistics"]).all()
        assert np.isfinite(fit.at(cutoff)["posterior_predictive"]["amplitude"]).all()


@pytest.mark.parametrize("plot", ["plot_ppc_dist", "plot_trace", "plot_autocorr"])
def test_predictive_plots_take_one_cutoff(fit, plot):
    getattr(az, plot)(fit.at(10.0))
    plt.close("all")


def test_convergence_is_the_same_stacked_or_not(fit):
    table = fit.summary()
    stacked = az.rhat(fit.data)["coupling"]
    np.testing.assert_allclose(table["rhat"], np.asarray(stacked).ravel(), rtol=1e-12)
