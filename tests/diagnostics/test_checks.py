"""Verdicts on cases whose answer is known."""

import dataclasses

import jax
import numpy as np
import pandas as pd
import pytest

import nnft_ppl as nnft
from nnft_ppl.diagnostics.answers import answer
from nnft_ppl.diagnostics.checks import verdict

PAPER_X = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
WIDE_X = np.linspace(-1.2, 1.2, 6)
COMPARED = pd.DataFrame(
    {
        "action": ["lambda_2", "lambda_nl", "lambda_0"],
        "log_evidence": [100.0, 99.0, 20.0],
        "elpd": [10.0, 9.0, 14.5],
    }
)


def fit(bias_std, x, *, sampler="conjugate", **options):
    net = nnft.network("relu-net", width=20, input_dim=1, bias_std=bias_std)
    return nnft.fit_couplings(
        nnft.exact_correlators(net, x, (2, 4)),
        nnft.Action(["lambda_0"]),
        [10.0, 100.0],
        key=jax.random.key(0),
        sampler=sampler,
        **options,
    )


def test_the_papers_case_passes_every_check():
    checks = nnft.diagnose(fit(0.0, PAPER_X, sampler="nuts"))
    assert all(check.passed for check in checks), [c for c in checks if not c.passed]
    assert {c.name for c in checks} == {
        "rhat",
        "ess_bulk",
        "ess_tail",
        "divergences",
        "bfmi",
        "identified",
        "prior",
        "discrepancy",
        "verdict",
    }
    message = verdict(checks).message
    assert message.startswith("this action describes this network on these inputs")
    fits, misfit, better = message.split(": ", 1)[1].split("; ")
    assert fits == "the data are exact, so that any misfit shows"
    assert misfit.startswith("less than 0.01 % of the connected correlators")
    assert better == "no other action was compared"


@pytest.mark.parametrize("discrepancy", [True, False])
def test_the_wide_biased_case_is_refused_in_words(discrepancy):
    found = fit(1.0, WIDE_X, discrepancy=discrepancy)
    last = verdict(nnft.diagnose(found))
    assert not last.passed
    assert "this action does not describe this network on these inputs" in last.message
    table = found.adequacy()
    if discrepancy:
        assert (table["discrepancy"] > 0.5).all()
        assert (found.summary()["verdict"] == "does not describe").all()
    else:
        assert (table["p_value"] < 1e-3).all()


def test_a_scale_of_the_discrepancy_that_is_too_small_is_noticed():
    narrow = fit(1.0, WIDE_X, prior=nnft.Prior(discrepancy_scale=0.02))
    (check,) = (c for c in nnft.diagnose(narrow) if c.name == "prior")
    assert not check.passed
    assert check.value > 5
    assert "Prior(discrepancy_scale=...) larger" in check.message
    (check,) = (c for c in nnft.diagnose(fit(1.0, WIDE_X)) if c.name == "prior")
    assert check.passed


def skewed_lattice():
    """A weakly coupled chain, S = ½ f A f + Σ (0.05 f⁴ + 0.08 f³), by rejection."""
    rng = np.random.default_rng(0)
    chol = np.linalg.cholesky(np.linalg.inv(4 * np.eye(3) - np.ones((3, 3))))
    draws = rng.standard_normal((40_000, 3)) @ chol.T
    action = (0.05 * draws**4 + 0.08 * draws**3).sum(axis=1)
    draws = draws[rng.uniform(size=len(draws)) < np.exp(-action - 0.104)]  # S > −0.104
    x = np.arange(3.0)[:, None]
    return nnft.fit_couplings(
        nnft.correlators_from_draws(draws, x),
        nnft.Action(["source", "cubic", "lambda_0"], measure=nnft.Empirical(x)),
        [2.0],
        key=jax.random.key(0),
        sampler="conjugate",
    )


def test_a_prior_that_is_wider_than_weak_couplings_holds_nothing_back():
    (check,) = (c for c in nnft.diagnose(skewed_lattice()) if c.name == "prior")
    assert check.passed, check.message


def test_noisy_data_leave_the_verdict_open():
    net = nnft.network("erf-net", width=100, input_dim=1, bias_std=1.0)
    noisy = nnft.measure_correlators(
        net,
        PAPER_X,
        (2, 4),
        num_draws=2000,
        key=jax.random.key(0),
        estimator="wick",
    )
    found = nnft.fit_couplings(
        noisy,
        nnft.Action(["lambda_0"]),
        [10.0],
        key=jax.random.key(0),
        sampler="conjugate",
    )
    checks = nnft.diagnose(found)
    assert "the data do not tell whether" in verdict(checks).message
    assert "measure more networks, or take exact data" in verdict(checks).message
    assert not verdict(checks).passed


def test_a_coupling_that_the_data_leave_open_is_not_identified():
    """300 networks of width 1000: errors far beyond what a coupling adds."""
    net = nnft.network("erf-net", width=1000, input_dim=1, bias_std=1.0)
    noisy = nnft.measure_correlators(
        net, PAPER_X, (2, 4), num_draws=300, key=jax.random.key(0), estimator="wick"
    )
    found = nnft.fit_couplings(
        noisy,
        nnft.Action(["lambda_0"]),
        [10.0],
        key=jax.random.key(0),
        sampler="conjugate",
        prior=nnft.Prior(natural_size=1.0, spread=0.0),
    )
    checks = {check.name: check for check in nnft.diagnose(found)}
    assert not checks["identified"].passed
    # No wider than the prior but for the noise of 4000 draws.
    assert 0.9 < checks["identified"].value < 1.1


@pytest.mark.parametrize(("batches", "trusted"), [(25.0, False), (100.0, True)])
def test_errors_are_trusted_that_are_known_to_a_tenth(batches, trusted):
    """A variance from so many batches is off by one over their root: 20 %, 10 %."""
    net = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    measured = nnft.measure_correlators(
        net, PAPER_X[:2], (2, 4), num_draws=20_000, key=jax.random.key(0)
    )
    told = {k: np.full(len(v), batches) for k, v in measured.effective_batches.items()}
    found = nnft.fit_couplings(
        dataclasses.replace(measured, effective_batches=told),
        nnft.Action(["lambda_0"]),
        [10.0],
        key=jax.random.key(0),
        sampler="conjugate",
    )
    (check,) = (c for c in nnft.diagnose(found) if c.name == "heavy_tails")
    assert check.passed is trusted
    assert (found.correlators.heavy_tailed(4) != trusted).all()


def test_a_single_entry_cannot_confirm_an_action():
    exact = nnft.exact_correlators(
        nnft.network("relu-net", width=20, input_dim=1), [1.0], (2, 4)
    )
    found = nnft.fit_couplings(
        exact,
        nnft.Action(["lambda_0"]),
        [10.0],
        key=jax.random.key(0),
        sampler="conjugate",
    )
    last = verdict(nnft.diagnose(found))
    assert not last.passed
    assert "10 % is tolerated; add inputs; " in last.message


def test_chains_that_do_not_move_fail_and_are_not_passed_over():
    good = fit(0.0, PAPER_X)
    stuck = np.broadcast_to(good.dimensionless[:1, :1], good.dimensionless.shape)
    still = dataclasses.replace(
        good, dimensionless=stuck, discrepancy=np.full(stuck.shape[:3], 1e-9)
    )
    with np.errstate(invalid="ignore"):  # ArviZ divides by a spread of zero
        rhat = next(c for c in nnft.diagnose(still) if c.name == "rhat")
    assert not rhat.passed
    assert "cannot be computed" in rhat.message


def test_what_is_no_fit_is_refused():
    with pytest.raises(nnft.SpecError, match="expected what fit_couplings returns"):
        nnft.diagnose(3)


def test_heavy_tails_fail_their_check():
    net = nnft.network("gauss-net", width=2, input_dim=1, bias_std=1.0)
    wild = nnft.measure_correlators(
        net,
        [-0.01, 0.01],
        (2, 4),
        num_draws=20_000,
        key=jax.random.key(0),
        estimator="moments",
    )
    found = nnft.fit_couplings(
        wild,
        nnft.Action(["lambda_0"]),
        [10.0],
        key=jax.random.key(0),
        sampler="conjugate",
    )
    check = next(c for c in nnft.diagnose(found) if c.name == "heavy_tails")
    assert not check.passed
    assert "too few networks stand behind" in verdict(nnft.diagnose(found)).message
    assert not verdict(nnft.diagnose(found)).passed
    assert "neither the correlators nor their errors can be trusted" in check.message


def test_chains_that_disagree_fail_convergence():
    good = fit(0.0, PAPER_X)
    shifted = good.dimensionless.copy()
    shifted[0] += 10 * shifted.std()
    checks = nnft.diagnose(dataclasses.replace(good, dimensionless=shifted))
    rhat = next(c for c in checks if c.name == "rhat")
    assert not rhat.passed
    assert rhat.value > 1.5
    assert "run more warmup and draws" in rhat.message


def test_divergences_are_counted_per_cutoff():
    good = fit(0.0, PAPER_X, sampler="nuts")
    diverging = np.zeros_like(good.statistics["diverging"])
    diverging[0, :5, 1] = True
    bad = dataclasses.replace(
        good, statistics={**good.statistics, "diverging": diverging}
    )
    check = next(c for c in nnft.diagnose(bad) if c.name == "divergences")
    assert (check.value, check.passed) == (5, False)
    assert "at cutoff 100" in check.message
    assert list(bad.summary()["num_divergent"]) == [0, 5]


def tiny_inputs(**options):
    """Erf-net, where λ_0 leaves 2.5 % of exact data and 2000 networks resolve it."""
    net = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    data = nnft.measure_correlators(
        net, 0.1 * PAPER_X, (2, 4), num_draws=2000, key=jax.random.key(1)
    )
    return nnft.fit_couplings(
        data,
        nnft.Action(["lambda_0"]),
        [100.0],
        key=jax.random.key(0),
        sampler="conjugate",
        **options,
    )


def test_a_misfit_that_noise_does_not_explain_is_said_beside_the_verdict():
    found = tiny_inputs()
    row = found.adequacy().iloc[0]
    assert row["p_value"] < 1e-100
    assert not row["fits_noise"]
    assert row["reason"] == "resolvably off, by less than the tolerance"
    last = verdict(nnft.diagnose(found))
    assert last.passed
    assert (
        "it is resolvably off: no couplings fit within sampling noise" in last.message
    )
    headline = answer(found, comparison=COMPARED).headline
    assert headline.startswith(
        "the action describes this network to within the 10 % tolerated, but is "
        "resolvably off, by 2."
    )
    assert headline.endswith(", and lambda_2 is preferred by 80 nats")
    strict = verdict(nnft.diagnose(found, tolerance=0.01))
    assert not strict.passed
    assert strict.threshold == 0.01
    assert "1.0 % is tolerated" in strict.message
    assert (found.summary(tolerance=0.01)["verdict"] == "does not describe").all()
    with pytest.raises(nnft.SpecError, match="`tolerance` is -1; expected a number"):
        nnft.diagnose(found, tolerance=-1)


def test_a_fit_that_assumes_an_exact_action_says_so_where_it_is_not():
    found = tiny_inputs(discrepancy=False)
    phrase = "assumes that the action is exact; the residual says otherwise"
    assert phrase in found.adequacy()["reason"][0]
    assert phrase in found.summary()["reason"][0]
    predictive, last = nnft.diagnose(found)[-2:]
    assert (predictive.name, predictive.passed) == ("predictive", False)
    assert phrase in predictive.message
    assert phrase in last.message
    assert not last.passed


def test_couplings_that_are_held_back_do_not_describe():
    """Half the coupling leaves half of the data, whatever s says."""
    good = fit(0.0, PAPER_X)
    half = dataclasses.replace(good, dimensionless=good.dimensionless / 2)
    row = half.adequacy().iloc[0]
    assert row["discrepancy_upper"] < 1e-4
    assert row["relative_misfit"] == pytest.approx(0.5, rel=1e-3)
    assert row["verdict"] == "undetermined"
    assert "the couplings found leave 50 %" in verdict(nnft.diagnose(half)).message


def test_a_better_action_is_named_in_the_verdict():
    good = fit(0.0, PAPER_X)
    table = COMPARED
    last = verdict(nnft.diagnose(good, comparison=table)).message
    assert "the evidence prefers lambda_2 by 80 nats, which" in last
    assert last.endswith("predicts tuples left out worse, by 4.5 nats")
    headline = answer(good, comparison=table).headline
    assert headline.endswith(", and lambda_2 is preferred by 80 nats")
    alike = table.assign(log_evidence=[100.0, 20.0, 99.0])
    assert (
        "do not tell it apart from lambda_2"
        in answer(good, comparison=alike).sentences[2]
    )
    best = table.assign(log_evidence=[20.0, 10.0, 100.0])
    assert answer(good, comparison=best).sentences[2].startswith("it is the best of 3")
    assert "preferred" not in answer(good, comparison=best).headline
    others = table.iloc[:2]
    assert (
        "which it is not among, is lambda_2"
        in answer(good, comparison=others).sentences[2]
    )


def test_a_prediction_that_misses_the_measured_6_pt_function_fails():
    """Gauss-net: the coefficients left out are 28 times those of ordinary nets."""
    checks = {}
    for name, width in (("gauss-net", 1000), ("erf-net", 5)):
        net = nnft.network(name, width=width, input_dim=1, bias_std=1.0)
        data = nnft.exact_correlators(net, 0.01 * PAPER_X[::2], (2, 4, 6))
        found = nnft.fit_couplings(
            data,
            nnft.Action(["lambda_0"]),
            [np.inf if name == "gauss-net" else 100.0],
            key=jax.random.key(0),
            sampler="conjugate",
        )
        checks[name] = next(c for c in nnft.diagnose(found) if c.name == "prediction")
    assert not checks["gauss-net"].passed
    assert "holds 0 % of its exact entries" in checks["gauss-net"].message
    assert "docs/truncation.md" in checks["gauss-net"].message
    assert checks["erf-net"].passed
    assert "holds 100 % of its exact entries" in checks["erf-net"].message
