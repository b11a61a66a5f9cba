"""Couplings of a weakly coupled chain from its draws, beside integrals."""

import jax
import numpy as np
import pytest
from oracles import coupled_chain as chain

import nnft_ppl as nnft

X = np.arange(float(chain.SITES))[:, None]


@pytest.fixture(scope="module")
def measured():
    values = chain.draws(0.05, 0.08, 150_000, np.random.default_rng(0))
    return nnft.correlators_from_draws(values, X)


def test_cumulants_are_those_of_the_chain_within_their_errors(measured):
    for order, exact in chain.cumulants(0.05, 0.08).items():
        off = measured.connected(order) - exact
        assert np.abs(off / measured.connected_error(order)).max() < 3.5
        covariance = measured.covariance(order)
        # 99.9 % of χ² of 15 entries, the most there are, lie below 37.7.
        assert off @ np.linalg.solve(covariance, off) < 38


def test_couplings_are_the_least_squares_values_within_their_errors(measured):
    action = nnft.Action(["cubic", "lambda_0"], measure=nnft.Empirical(X))
    fit = nnft.fit_couplings(
        measured, action, [np.inf], key=jax.random.key(0), sampler="conjugate"
    )
    table = fit.summary()
    off = table["mean"].to_numpy() - chain.couplings(chain.cumulants(0.05, 0.08))
    assert (table["sd"] < [0.01, 0.006]).all()
    assert (np.abs(off / table["sd"]) < 3).all()


@pytest.mark.parametrize(
    ("g", "coupling"), [(0.0005, 0.0015), (0.01, 0.0272), (0.05, 0.1113)]
)
def test_the_coupling_of_a_weak_action_is_that_of_its_density(g, coupling):
    """(1/n)Σ f⁴ with n g, to first order in g; the others stand in docs/draws.md."""
    exact = chain.cumulants(g, 0.0)
    assert chain.couplings(exact)[1] == pytest.approx(coupling, rel=0.01)
