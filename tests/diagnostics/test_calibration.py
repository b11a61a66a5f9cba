"""Ranks are uniform where model and sampler are right, and not where one is wrong."""

import dataclasses
import math

import arviz as az
import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats

import nnft_ppl as nnft
from nnft_ppl.diagnostics import calibration
from nnft_ppl.diagnostics.calibration import (
    calibrate,
    fractional_rank,
    simulation_based_calibration,
    uniformity,
)
from nnft_ppl.inference.likelihood import Likelihood

ACTION = nnft.Action(["lambda_0", "kappa"])
WIDTH = 20
RNG = np.random.default_rng(5)
DESIGN = RNG.normal(size=(7, 2))
QUADRATIC = RNG.normal(size=(7, 2, 2))
LIMIT = 2e-4
"""For some 40 p-values here: below it one of them is by chance in 1 % of all."""


def problem(variance=0.04, quadratic=None):
    return Likelihood(
        orders=(4,),
        num_entries=(7,),
        size=np.ones(7),
        rotation=np.eye(7),
        relative_noise=0.1,
        amplitudes=np.zeros(7),
        noise=np.full(7, variance),
        rounding=np.zeros(7),
        variance=np.full(7, variance),
        resolved=np.ones(7, bool),
        design=DESIGN[None],
        quadratic=None if quadratic is None else quadratic[None],
        scale=np.ones((1, 2)),
    )


def run(likelihood, prior, sampler="conjugate", number=300, discrepancy=True):
    return calibrate(
        likelihood,
        ACTION,
        WIDTH,
        prior,
        key=jax.random.key(3),
        num_simulations=number,
        sampler=sampler,
        discrepancy=discrepancy,
    )


def p_values(tree):
    return np.concatenate(
        [np.ravel(values) for values in tree["uniformity"].data_vars.values()]
    )


@pytest.mark.slow_but(
    "0.04-0.0-False",
    "0.04-0.0-True",
    "0.04-1.5-False",
    "100.0-0.0-False",
    "100.0-0.0-True",
    "100.0-1.5-False",
    "1e-18-0.0-False",
    "1e-18-0.0-True",
    "1e-18-1.5-False",
)
@pytest.mark.parametrize("discrepancy", [True, False])
@pytest.mark.parametrize("spread", [1.5, 0.0])
@pytest.mark.parametrize("variance", [0.04, 1e-18, 100.0])
def test_closed_form_is_calibrated(variance, spread, discrepancy):
    prior = nnft.Prior(spread=spread)
    tree = run(problem(variance), prior, discrepancy=discrepancy)
    found = p_values(tree)
    assert len(found) == 2 + discrepancy + (spread > 0)
    assert found.min() > LIMIT


@pytest.mark.slow_but("factor")
@pytest.mark.parametrize("hidden", ["factor", "discrepancy", "relative_size"])
def test_a_posterior_that_is_wrong_by_half_is_found(monkeypatch, hidden):
    """Couplings 1.5 times too narrow; s or the natural size 1.5 times too large."""

    def wrong(*arguments):
        form = solve(*arguments)
        factor = 1 / 1.5 if hidden == "factor" else 1.5
        return dataclasses.replace(form, **{hidden: factor * getattr(form, hidden)})

    solve = calibration.solve
    monkeypatch.setattr(calibration, "solve", wrong)
    tree = run(problem(), nnft.Prior(spread=0.5))
    name = {"factor": "dimensionless", "relative_size": "natural_size"}.get(
        hidden, hidden
    )
    assert tree["uniformity"][name].values.min() < 1e-6


@pytest.mark.slow
def test_nuts_is_calibrated():
    tree = run(problem(), nnft.Prior(), "nuts", number=90)
    assert p_values(tree).min() > LIMIT


def test_linearised_predictions_are_calibrated_while_couplings_are_small():
    """Natural size 1/N: the quadratic part is a tenth of the linear one."""
    prior = nnft.Prior(natural_size=1.0, spread=0.3)
    tree = run(problem(1e-6, QUADRATIC), prior, discrepancy=False)
    assert p_values(tree).min() > LIMIT


@pytest.mark.slow
def test_a_linearisation_that_will_not_do_is_found():
    """The quadratic part as large as the linear one: that is what NUTS is for."""
    prior = nnft.Prior(natural_size=20.0, spread=0.0)
    tree = run(problem(0.04, QUADRATIC), prior, number=150, discrepancy=False)
    assert p_values(tree).max() < 1e-6


def test_fractional_ranks_count_draws_below():
    rng = np.random.default_rng(0)
    draws = np.arange(9.0)[:, None] * np.ones(4)
    found = fractional_rank(np.array([-1.0, 0.5, 4.5, 99.0]), draws, rng)
    assert (np.floor(10 * found) == [0, 1, 5, 9]).all()
    # Within its tenth the rank is uniform, not at the end.
    many = fractional_rank(np.full(1000, 4.5), np.tile(draws[:, :1], 1000), rng)
    assert stats.kstest(10 * many - 5, "uniform").pvalue > LIMIT


def test_p_values_are_those_of_chi_squared():
    ranks = np.concatenate([np.full(30, 0.1), np.full(30, 0.3), np.full(60, 0.8)])
    # 120 ranks, eight bins of 15 expected; bins 0, 2 and 6 hold 30, 30 and 60.
    statistic = (2 * 15**2 + 45**2 + 5 * 15**2) / 15
    assert uniformity(ranks) == pytest.approx(stats.chi2.sf(statistic, 7))
    rng = np.random.default_rng(1)
    many = [uniformity(rng.uniform(size=300)) for _ in range(400)]
    assert stats.kstest(many, "uniform").pvalue > LIMIT


@pytest.fixture(scope="module")
def exact():
    net = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    return nnft.exact_correlators(net, [-1.0, 0.2, 0.7], (2, 4))


def test_public_function_returns_what_arviz_plots(exact):
    tree = simulation_based_calibration(
        exact,
        nnft.Action(["lambda_0"]),
        10.0,
        key=jax.random.key(0),
        num_simulations=90,
    )
    assert set(tree.children) == {"prior_sbc", "simulated", "uniformity"}
    assert tree["prior_sbc"]["dimensionless"].dims == ("chain", "draw", "operator")
    assert tree["prior_sbc"]["natural_size"].shape == (1, 90)
    assert list(tree["uniformity"]["dimensionless"]["operator"].values) == ["lambda_0"]
    assert p_values(tree).min() > LIMIT
    az.plot_ecdf_pit(tree)
    plt.close("all")


def test_the_same_key_gives_the_same_ranks(exact):
    one, two = (
        simulation_based_calibration(
            exact,
            nnft.Action(["lambda_0"]),
            10.0,
            key=jax.random.key(0),
            num_simulations=60,
        )
        for _ in range(2)
    )
    assert one.equals(two)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"correlators": 3}, r"expected nnft_ppl\.Correlators"),
        ({"action": ["lambda_0"]}, r"expected nnft_ppl\.Action"),
        ({"prior": 3}, r"expected nnft_ppl\.Prior"),
        ({"discrepancy": 1}, "expected True or False"),
        ({"num_simulations": 59}, "`num_simulations` is 59; expected a whole number"),
        ({"num_simulations": 100.0}, r"`num_simulations` is 100\.0; expected"),
        ({"sampler": "gibbs"}, "`sampler` is 'gibbs'; choose one of"),
        ({"cutoff": math.nan}, "cutoff nan is not allowed"),
        ({"key": 3}, "expected a JAX random key"),
    ],
)
def test_bad_arguments_are_refused(exact, arguments, match):
    given = {
        "correlators": exact,
        "action": nnft.Action(["lambda_0"]),
        "cutoff": 10.0,
        "key": jax.random.key(0),
        **arguments,
    }
    with pytest.raises(nnft.SpecError, match=match):
        simulation_based_calibration(**given)
