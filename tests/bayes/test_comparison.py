from dataclasses import replace

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.bayes.comparison import EXACT, FIRST, GAUSSIAN, THEORY

KEY = jax.random.key(5)
RNG = np.random.default_rng(0)
X, X_NEW = RNG.normal(size=(8, 2)), RNG.normal(size=(3, 2))
Y, Y_NEW = np.sin(X.sum(axis=1)), np.sin(X_NEW.sum(axis=1))


def compared(width, num_draws=20_000, **options):
    net = nnft.network("relu-net", width=width, input_dim=2, weight_std=1.0)
    return nnft.compare_posteriors(
        net, X, Y, X_NEW, noise_std=0.3, num_draws=num_draws, key=KEY, **options
    )


def test_the_first_order_is_nearer_than_the_gaussian_process():
    found = compared(20, y_new=Y_NEW, tolerance=0.03)
    table = found.table()
    assert list(table.index) == [GAUSSIAN, FIRST, EXACT]
    error = table["mean_distance_error"][GAUSSIAN]
    assert table["mean_distance"][GAUSSIAN] == pytest.approx(0.0502, abs=5 * error)
    assert table["mean_distance"][FIRST] < table["mean_distance"][GAUSSIAN] / 3
    assert table["close"].to_list() == ["no", "yes", "yes"]
    gap = table["log_evidence"] - table["log_evidence"][EXACT]
    assert abs(gap[FIRST]) < abs(gap[GAUSSIAN]) / 3
    mean = found.expansion.gaussian.mean[:, 0]
    rmse = np.sqrt(np.mean((mean - Y_NEW) ** 2))
    assert table["rmse"][GAUSSIAN] == pytest.approx(rmse)
    spread = found.expansion.gaussian.variance[:, 0] + 0.09
    density = -0.5 * ((Y_NEW - mean) ** 2 / spread + np.log(2 * np.pi * spread))
    assert table["log_density"][GAUSSIAN] == pytest.approx(density.mean())
    # 4000 draws of the field.
    assert abs(np.diff(table["log_density"].to_numpy())[1]) < 0.1
    assert (table["coverage"] == 1).all()
    assert "not close enough: Gaussian process" in found.message
    assert "close enough: first order in 1/N" in repr(found)


def test_few_networks_leave_it_undecided():
    told = []
    found = compared(
        50,
        num_draws=300,
        tolerance=0.03,
        method="weights",
        devices=1,
        progress=told.append,
    )
    assert told[-1].num_draws == told[-1].total == 300
    assert found.exact.method == "weights"
    assert found.table()["close"][FIRST] == "undecided"
    assert "want of networks" in found.message


def test_the_error_of_a_measured_first_order_counts():
    found = compared(50, num_draws=300, method="weights", tolerance=0.1)
    own = 0.2 * np.sqrt(found.exact.variance)[:, None]
    expansion = found.expansion
    noisy = replace(expansion, error=expansion.error._replace(mean=own))
    table = replace(found, expansion=noisy).table()
    exact, first = (table["mean_distance_error"][name] for name in (GAUSSIAN, FIRST))
    assert exact == table["mean_distance_error"][EXACT]
    assert first == pytest.approx(np.hypot(exact, 0.2))
    assert table["close"][FIRST] == "undecided"


def test_a_fitted_theory_has_its_row():
    net = nnft.network("relu-net", width=20, input_dim=1, weight_std=1.0)
    x, y, x_new = [0.2, 0.5, 0.9], [0.5, -0.1, 0.8], [0.3, 1.2]
    correlators = nnft.exact_correlators(net, x, (2, 4))
    fit = nnft.fit_couplings(correlators, nnft.Action(["lambda_0"]), [10.0], key=KEY)
    found = nnft.compare_posteriors(
        net, x, y, x_new, noise_std=0.3, num_draws=5000, key=KEY, fit=fit
    )
    table = found.table()
    assert list(table.index) == [GAUSSIAN, FIRST, THEORY, EXACT]
    for name in ("log_evidence", "mean_distance"):
        assert table[name][THEORY] == pytest.approx(table[name][FIRST], rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"y_new": [1.0]}, r"`y_new` has shape \(1,\)"),
        ({"tolerance": 0}, r"`tolerance` is 0; expected a number > 0"),
        ({"fit": 3}, r"`fit` is 3; expected nnft_ppl.CouplingFit"),
        ({"method": "vi"}, r"`method` is 'vi'; choose one of"),
        ({"devices": 99}, r"`devices` is 99"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(nnft.SpecError, match=message):
        compared(20, **options)


def test_noise_is_needed():
    net = nnft.network("relu-net", width=20, input_dim=2)
    with pytest.raises(nnft.SpecError, match="`noise_std` is 0; expected a finite"):
        nnft.compare_posteriors(net, X, Y, X_NEW, noise_std=0, key=KEY)


def test_an_input_where_the_field_is_certain_is_refused():
    net = nnft.network("relu-net", width=20, input_dim=1)
    message = r"field of 'relu-net' is 0 at `x_new`\[1\] for every network"
    with pytest.raises(nnft.SpecError, match=message):
        nnft.compare_posteriors(
            net,
            [-0.5, 0.5],
            [0.1, 0.2],
            [0.7, 0.0],
            noise_std=0.3,
            num_draws=200,
            key=jax.random.key(0),
        )


def test_a_comparison_is_saved_and_loaded(tmp_path):
    found = compared(20, num_draws=500, y_new=Y_NEW)
    found.save(tmp_path / "compared.nc")
    again = nnft.load(tmp_path / "compared.nc")
    assert again.methods == found.methods
    assert again.table().equals(found.table())
    assert again.message == found.message
    np.testing.assert_array_equal(
        again.expansion.covariance, found.expansion.covariance
    )
    assert again.exact.network == found.exact.network


def test_moments_are_of_a_method_that_is_there():
    found = compared(20, num_draws=200)
    mean, variance = found.moments(GAUSSIAN)
    np.testing.assert_array_equal(mean, found.expansion.gaussian.mean)
    assert variance.shape == mean.shape == found.moments(EXACT)[0].shape == (3, 1)
    with pytest.raises(nnft.SpecError, match="`method` is 'effective theory'; choose"):
        found.moments(THEORY)
