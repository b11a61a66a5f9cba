"""Diagnostics work around a mean: draws less a constant give the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import nnft_ppl as nnft
from nnft_ppl.diagnostics.six_point import six_point

X = np.linspace(-1.0, 1.0, 3)[:, None]
NEW = 0.7 * X[:2] + 0.05
ALL = np.concatenate([X, NEW])
SHIFT = np.linspace(1.0, 3.0, len(ALL))
EMPIRICAL = nnft.Empirical(X)


def kernel(a, b):
    return jnp.exp(-2 * jnp.sum((a - b) ** 2))


def draws():
    """Gaussian fields times a random size: of even connected functions alone."""
    rng = np.random.default_rng(0)
    table = np.exp(-2 * (ALL - ALL.T) ** 2)
    size = np.sqrt(rng.gamma(20.0, 1 / 20.0, size=(20_000, 1)))
    return size * rng.standard_normal((20_000, len(ALL))) @ np.linalg.cholesky(table).T


@pytest.fixture(scope="module", params=["lambda_0", "cubic"])
def pair(request):
    """Fits and held-out correlators, of the draws and of the shifted ones."""
    found = []
    for values in (draws(), draws() + SHIFT):
        here, there = (
            nnft.correlators_from_draws(v, x, range(1, 7), kernel=kernel, width=20)
            for v, x in ((values[:, :3], X), (values[:, 3:], NEW))
        )
        fit = nnft.fit_couplings(
            here,
            nnft.Action([request.param], measure=EMPIRICAL),
            [2.0, 3.0],
            key=jax.random.key(0),
            sampler="conjugate",
            num_samples=300,
        )
        found.append((fit, there))
    return found


def test_held_out_correlators_are_taken_less_their_mean(pair):
    one, other = (nnft.held_out(fit, there) for fit, there in pair)
    pd.testing.assert_frame_equal(one, other, rtol=1e-6, atol=1e-9)
    odd = pair[0][0].likelihood.has_odd_orders
    assert set(one["order"]) == ({3, 4, 5, 6} if odd else {4, 6})


def test_checks_and_predictions_do_not_know_of_the_mean(pair):
    one, other = (nnft.diagnose(fit) for fit, _ in pair)
    assert [c.name for c in one] == [c.name for c in other]
    for mine, yours in zip(one, other, strict=True):
        assert mine.value == pytest.approx(yours.value, rel=1e-6, abs=1e-9)
        assert mine.passed == yours.passed
    one, other = (six_point(fit) for fit, _ in pair)
    assert one.predicted == pytest.approx(other.predicted, rel=1e-6)
    assert one.inside == other.inside


def test_invariance_is_of_all_orders_that_are_predicted(pair):
    (fit, _), (shifted, _) = pair
    odd = fit.likelihood.has_odd_orders
    for order in (3, 4, 5, 6) if odd else (4, 6):
        one, other = (nnft.cutoff_invariance(f, order) for f in (fit, shifted))
        assert one.value == pytest.approx(other.value, rel=1e-5, abs=1e-9)
        assert one.relative_change == pytest.approx(other.relative_change, abs=1e-9)
    with pytest.raises(nnft.SpecError, match="order 1 cannot be compared"):
        nnft.cutoff_invariance(fit, 1)


def test_a_mean_that_the_action_makes_is_predicted_at_held_out_inputs():
    """f = Gaussian + m with the m of one coupling: G1 = −g ∫ K, at both inputs."""
    coupling = -0.6
    mean = -coupling * np.exp(-2 * (ALL - X.T) ** 2).mean(axis=1)
    values = draws() + mean
    here, there = (
        nnft.correlators_from_draws(v, x, (1, 2, 3), kernel=kernel, width=20)
        for v, x in ((values[:, :3], X), (values[:, 3:], NEW))
    )
    fit = nnft.fit_couplings(
        here,
        nnft.Action(["source"], measure=EMPIRICAL),
        [2.0],
        key=jax.random.key(0),
        sampler="conjugate",
    )
    row = fit.summary().iloc[0]
    assert abs(row["mean"] - coupling) < 4 * row["sd"]
    table = nnft.held_out(fit, there).set_index("order")
    assert list(table.index) == [1, 3]
    assert table.loc[1, "connected_error"] < 0.1
    with pytest.raises(nnft.UnavailableError, match="no kernel is known"):
        nnft.held_out(fit, nnft.correlators_from_draws(values[:, 3:], NEW, (1, 2, 3)))


def test_a_width_is_not_judged_by_even_orders_alone():
    net = nnft.network("erf-net", width=5, input_dim=1)
    shifted = nnft.Architecture(
        name="shifted",
        description="erf-net and a constant",
        prior=net.architecture.prior,
        apply=lambda hp, params, x: net.architecture.apply(hp, params, x) + 1.0,
    )
    with pytest.raises(nnft.UnavailableError, match="f and −f of 'shifted' may not be"):
        nnft.required_width(nnft.Network.build(shifted, width=5, input_dim=1), X, 0.1)
