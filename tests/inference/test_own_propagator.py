"""The measured 2-pt function as propagator: where it serves, and what it costs."""

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.eft.expansion import expand
from nnft_ppl.inference.own_propagator import as_fitted, covariance_of_difference

X = np.array([[-0.6], [0.2], [0.9]])
NET = nnft.network("erf-net", width=3, input_dim=1)
ACTION = nnft.Action(["lambda_0"], measure=nnft.Empirical(X))
KEY = jax.random.key(0)


def draws(number, seed=0):
    return nnft.sample_ensemble(NET, X, number, key=jax.random.key(seed)).values


def fitted(corr, **arguments):
    found = nnft.fit_couplings(
        corr, ACTION, [2.0], key=KEY, sampler="conjugate", **arguments
    )
    return found.summary().iloc[0]


def test_the_noise_of_data_less_prediction_is_that_over_replicas():
    coupling = np.array([[-4.0]])  # strong, so that the propagator's noise is seen
    gaps, variances, alone = [], [], []
    for seed in range(60):
        own = as_fitted(nnft.correlators_from_draws(draws(4000, seed), X, (2, 4)))
        expansion = expand(ACTION, own.network, X, np.array([2.0]), (4,))
        gaps.append(own.connected(4) - expansion.connected(4, 0, coupling[0]))
        if seed < 20:
            variances.append(
                np.diag(covariance_of_difference(own, ACTION, [2.0], coupling))
            )
            alone.append(np.diag(own.covariance(4)))
    spread = np.var(gaps, axis=0, ddof=1)
    # A variance of 60 replicas is known to 18 %; heavy tails make it 25.
    ratio = np.mean(variances, axis=0) / spread
    assert (abs(np.log(ratio)) < 3 * 0.25).all()
    assert abs(np.log(ratio).mean()) < 0.3
    # The noise of the data alone is another.
    assert abs(np.log(np.mean(alone, axis=0) / spread).mean()) > 0.5


def test_a_coupling_by_the_measured_propagator_is_that_by_the_known_one():
    values = draws(100_000) + np.array([3.0, 1.0, -2.0])[:, None]  # and a mean
    own = nnft.correlators_from_draws(values, X, width=3)
    by_own, by_known = fitted(own), fitted(own.with_kernel(NET))
    by_table = fitted(own.with_kernel(NET.kernel(X)))
    assert by_table["mean"] == pytest.approx(by_known["mean"], rel=1e-9)
    assert by_own["mean"] == pytest.approx(by_known["mean"], abs=by_own["sd"])
    exact = fitted(nnft.exact_correlators(NET, X, (2, 4)))
    assert by_own["mean"] == pytest.approx(exact["mean"], abs=3 * by_own["sd"])


@pytest.mark.slow
def test_intervals_of_couplings_hold_the_known_one():
    exact = fitted(nnft.exact_correlators(NET, X, (2, 4)))["mean"]
    found = [
        fitted(
            nnft.correlators_from_draws(draws(8000, seed), X, width=3),
            discrepancy=False,
        )
        for seed in range(60)
    ]
    mean = np.array([row["mean"] for row in found])
    error = np.array([row["sd"] for row in found])
    assert mean.std(ddof=1) == pytest.approx(error.mean(), rel=0.35)
    assert abs(mean.mean() - exact) < 4 * mean.std() / 60**0.5 + 0.1 * error.mean()


def test_a_fit_with_its_own_propagator_is_saved_with_it(tmp_path):
    corr = nnft.correlators_from_draws(draws(5000), X)
    fit = nnft.fit_couplings(corr, ACTION, [2.0], key=KEY, sampler="conjugate")
    fit.save(tmp_path / "fit.nc")
    again = nnft.load(tmp_path / "fit.nc")
    assert again.summary().equals(fit.summary())
    assert again.correlators.network == fit.correlators.network
    assert len(nnft.diagnose(again)) > 3


def test_where_the_kernel_is_wanted_elsewhere_the_advice_is_to_give_one():
    corr = nnft.correlators_from_draws(draws(5000), X)
    for action in (
        nnft.Action(["lambda_0"]),
        nnft.Action(["lambda_0"], measure=nnft.Empirical(X + 0.1)),
        nnft.Action(["gradient"], measure=nnft.Empirical(X)),
    ):
        with pytest.raises(nnft.UnavailableError, match="give `kernel=` a function"):
            nnft.fit_couplings(corr, action, [2.0], key=KEY, sampler="conjugate")


def test_predictions_are_of_the_field_less_its_mean():
    corr = nnft.correlators_from_draws(draws(50_000) + 2.0, X, kernel=NET, width=3)
    fit = nnft.fit_couplings(corr, ACTION, [2.0], key=KEY, sampler="conjugate")
    found = fit.predict(4).mean(["chain", "draw"])[0].to_numpy()
    central = nnft.correlators_from_draws(draws(50_000), X, kernel=NET, width=3)
    np.testing.assert_allclose(fit.correlators.moment(2), central.connected(2))
    assert abs(found / central.moment(4) - 1).max() < 0.25  # with the mean, 16 times
