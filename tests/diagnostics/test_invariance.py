"""Predictions must not move with the cutoff: exact cases, and one that moves."""

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl import SpecError
from nnft_ppl.diagnostics.invariance import cutoff_invariance

X = np.array([0.2, 0.6, 1.2])
CUTOFFS = [7.0, 100.0, 1e5]


def fit(bias_std=0.0, x=X, cutoffs=CUTOFFS, **options):
    net = nnft.network("relu-net", width=20, input_dim=1, bias_std=bias_std)
    return nnft.fit_couplings(
        nnft.exact_correlators(net, x, orders=(2, 4)),
        nnft.Action(["lambda_0"]),
        cutoffs,
        key=jax.random.key(0),
        num_samples=500,
        num_chains=2,
        sampler="conjugate",
        **options,
    )


@pytest.fixture(scope="module")
def bent():
    """A bias turns the direction in which λ_0 predicts as the cutoff grows."""
    return fit(1.0)


@pytest.mark.parametrize("order", [4, 6])
def test_a_coupling_that_runs_exactly_predicts_the_same_at_every_cutoff(order):
    got = cutoff_invariance(fit(), order)
    assert got.passed
    assert got.value < 0.1
    assert got.relative_change < 1e-9
    assert got.connected_change < 1e-8


def test_entries_that_vanish_are_no_change():
    """Without a bias inputs of opposite signs do not know of each other."""
    got = cutoff_invariance(fit(x=[-1.0, 0.5], discrepancy=False), 4)
    assert got.passed
    assert got.relative_change < 1e-9


def test_a_truncated_action_moves_within_its_discrepancy(bent):
    got = cutoff_invariance(bent, 4)
    assert got.passed
    assert got.name == "cutoff_invariance"
    assert got.connected_change > 0.01
    assert got.cutoffs == (7.0, 1e5)
    assert f"{got.connected_change:.2g} of what the couplings predict" in got.message


def test_an_action_taken_to_be_exact_fails_where_it_moves():
    got = cutoff_invariance(fit(1.0, discrepancy=False), 4)
    assert not got.passed
    assert got.value > 1e3
    assert "the action drops operators" in got.message


def test_the_change_is_that_of_the_predictive_means(bent):
    """All pairs and entries by hand; G4 − G4_GP = −24 g I at the mean couplings."""
    got = cutoff_invariance(bent, 4)
    draws = bent.predict(4).to_numpy().reshape(-1, 3, 15)
    mean, sd = draws.mean(axis=0), draws.std(axis=0)
    scores = [
        np.abs(mean[a] - mean[b]) / np.hypot(sd[a], sd[b])
        for a in range(3)
        for b in range(a)
    ]
    assert got.value == pytest.approx(np.max(scores), rel=1e-6)
    likelihood = bent.likelihood
    coupling = bent.dimensionless.mean(axis=(0, 1))
    connected = np.array(
        [likelihood.to_entries(likelihood.expected(k, coupling[k])) for k in range(3)]
    )
    moved = [
        np.sqrt(np.mean((connected[a] - connected[b]) ** 2))
        for a in range(3)
        for b in range(a)
    ]
    # The discrepancy differs between cutoffs, and its draws' mean is not quite zero.
    expected = max(moved) / np.sqrt(np.mean(connected**2))
    assert got.connected_change == pytest.approx(expected, rel=0.05)


def test_what_cannot_be_compared_is_refused(bent):
    with pytest.raises(SpecError, match="order 2 cannot be compared"):
        cutoff_invariance(bent, 2)
    with pytest.raises(SpecError, match="one cutoff, 7; invariance needs"):
        cutoff_invariance(fit(cutoffs=[7.0]), 4)
    with pytest.raises(SpecError, match="expected what fit_couplings returns"):
        cutoff_invariance("fit", 4)
