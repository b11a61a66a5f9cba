"""Verdicts on cases whose answer is known."""

import dataclasses

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.diagnostics.checks import verdict

PAPER_X = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
WIDE_X = np.linspace(-1.2, 1.2, 6)


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
    assert message.startswith("this action describes this network")
    assert "; < 0.01 % relative discrepancy at every cutoff)" in message


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
    assert verdict(checks).message.endswith("; measure more networks)")
    assert not verdict(checks).passed


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
    assert last.message.endswith("add inputs)")


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
    assert "rest on too few networks" in verdict(nnft.diagnose(found)).message
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
