import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.inference.likelihood import build_likelihood

X = np.array([0.2, 0.6, 1.0, 1.2])


@pytest.fixture(scope="module")
def exact():
    return nnft.exact_correlators(
        nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0), X, (2, 4, 6)
    )


def test_modes_and_entries_hold_the_same_data(exact):
    problem = build_likelihood(exact, nnft.Action(["lambda_0"]), (10.0,))
    np.testing.assert_allclose(
        problem.to_entries(problem.amplitudes), exact.connected(4), rtol=1e-12
    )


def test_discrepancy_is_relative_to_the_data():
    """Independent errors s·size on each entry have relative rms s."""
    net = nnft.network("relu-net", width=5, input_dim=1)
    exact = nnft.exact_correlators(net, X, (2, 4))
    problem = build_likelihood(exact, nnft.Action(["lambda_0"]), (10.0,))
    # Homogeneous and rank one: the natural size is the correlator itself.
    np.testing.assert_allclose(problem.size, exact.connected(4), rtol=1e-9)


def test_dimensionless_coupling_is_the_share_of_the_gaussian_moment():
    # G4c / Σ_3 KK = 5/(3N)·3 at each entry: every ratio of ReLU-net is 5/N.
    net = nnft.network("relu-net", width=20, input_dim=1)
    exact = nnft.exact_correlators(net, X, (2, 4))
    problem = build_likelihood(exact, nnft.Action(["lambda_0"]), (7.0, 1e5))
    coupling = problem.amplitudes / problem.design[..., 0]
    np.testing.assert_allclose(coupling, -5 / 20, rtol=1e-9)


def test_relative_noise_is_that_of_the_entries(exact):
    found = nnft.measure_correlators(
        exact.network, X, (2, 4), num_draws=2000, key=jax.random.key(0)
    )
    problem = build_likelihood(found, nnft.Action(["lambda_0"]), (10.0,))
    error = found.connected_error(4) / problem.size
    assert problem.relative_noise == pytest.approx(np.sqrt(np.mean(error**2)))


def test_orders_are_concatenated_with_their_operators(exact):
    problem = build_likelihood(exact, nnft.Action(["lambda_0", "kappa"]), (10.0,))
    assert problem.orders == (4, 6)
    fourth = 35
    assert problem.design[0, :fourth, 1] == pytest.approx(0)
    assert problem.design[0, fourth:, 0] == pytest.approx(0)
    assert np.abs(problem.design[0, fourth:, 1]).min() > 0


def test_missing_orders_and_kernels_are_refused(exact):
    low = nnft.exact_correlators(exact.network, X, (2, 4))
    with pytest.raises(nnft.SpecError, match=r"order \[6\]; the correlators hold"):
        build_likelihood(low, nnft.Action(["kappa"]), (10.0,))


def test_a_vanishing_correlator_is_refused():
    net = nnft.network("relu-net", width=5, input_dim=1)
    exact = nnft.exact_correlators(net, [0.0], (2, 4))
    with pytest.raises(nnft.SpecError, match="4-pt correlator is zero"):
        build_likelihood(exact, nnft.Action(["lambda_0"]), (10.0,))


def test_what_an_expansion_leaves_out_is_one_factor_on_all_entries():
    """Deep ReLU on a half-line: G4c/(3 K²) is (1 + 5/n)² − 1."""
    width = 20
    net = nnft.network("mlp", width=width, input_dim=1, depth=2, activation="relu")
    found = nnft.recursion_correlators(net, X)
    problem = build_likelihood(found, nnft.Action(["lambda_0"]), (10.0,))
    left_out = 2.5 / width  # (5/n)² over 2 · 5/n
    assert problem.relative_noise == pytest.approx(left_out, rel=1e-6)
    covariance = (problem.rotation * problem.variance) @ problem.rotation.T
    own = 0.3**2 * np.eye(len(covariance))  # as sampled, see `_OWN_SHARE`
    share = np.ones_like(covariance) + own
    np.testing.assert_allclose(covariance, left_out**2 * share, rtol=1e-6)
    fit = nnft.fit_couplings(
        found,
        nnft.Action(["lambda_0"]),
        [10.0],
        key=jax.random.key(0),
        sampler="conjugate",
    )
    row = fit.summary().iloc[0]
    assert 0.9 * left_out < row["sd"] / -row["mean"] < 1.2 * left_out
    assert abs(left_out * row["mean"]) < 2 * row["sd"]  # the truth is as far
    (check,) = (c for c in nnft.diagnose(fit) if c.name == "verdict")
    assert not check.passed
    assert "but what the data leave out is 13 %: sample networks" in check.message
