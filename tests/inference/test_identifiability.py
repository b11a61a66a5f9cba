"""Couplings that no data could tell apart are refused, and the message says which."""

import re

import jax
import numpy as np
import pytest
from small_problem import small_problem

import nnft_ppl as nnft
from nnft_ppl.inference.identifiability import null_combination
from nnft_ppl.inference.likelihood import build_likelihood

X = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])


@pytest.fixture(scope="module")
def one_sided():
    """ReLU on one side of zero: every operator of four fields predicts x₁x₂x₃x₄."""
    net = nnft.network("relu-net", width=20, input_dim=1, bias_std=0.0)
    return nnft.exact_correlators(net, X, (2, 4))


def fit(correlators, names, cutoffs=(10.0,), **options):
    return nnft.fit_couplings(
        correlators,
        nnft.Action(names),
        cutoffs,
        key=jax.random.key(0),
        sampler="conjugate",
        **options,
    )


@pytest.mark.parametrize("sampler", ["conjugate", "nuts"])
def test_operators_of_one_prediction_are_named(one_sided, sampler):
    names = ["lambda_0", "lambda_2"]
    with pytest.raises(
        nnft.SpecError, match=r"'lambda_0', 'lambda_2' make the same prediction"
    ):
        nnft.fit_couplings(
            one_sided,
            nnft.Action(names),
            [10.0],
            key=jax.random.key(0),
            sampler=sampler,
        )


def test_the_combination_named_changes_nothing(one_sided):
    """λ_0 and λ_2 have the same sign and are in units of their own predictions."""
    action = nnft.Action(["lambda_0", "lambda_2"])
    problem = build_likelihood(one_sided, action, (10.0,))
    null = null_combination(problem.design[0])
    np.testing.assert_allclose(np.abs(null), 1.0, rtol=1e-6)
    assert null[0] == pytest.approx(-null[1], rel=1e-6)
    change = problem.design[0] @ (null / np.linalg.norm(problem.design[0], axis=0))
    assert np.abs(change).max() < 1e-7
    with pytest.raises(nnft.SpecError, match=re.escape("1·lambda_2 − 1·lambda_0")):
        fit(one_sided, ["lambda_2", "lambda_0"])


def test_an_operator_apart_is_not_blamed():
    """λ_2 with half of λ_0's pattern and half of another is none of the two."""
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(8, 4))
    columns[:, 3] = columns[:, 0] - 2 * columns[:, 2]
    problem = small_problem(columns, np.ones(8), noise=1.0)
    null = null_combination(problem.design[0])
    assert abs(null[1]) < 1e-12
    assert (np.abs(null[[0, 2, 3]]) > 0.1).all()


def test_more_couplings_than_entries_are_refused():
    net = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    single = nnft.exact_correlators(net, [0.7], (2, 4))
    with pytest.raises(
        nnft.SpecError, match=r"2 couplings .* cannot be told from 1 correlator entries"
    ):
        fit(single, ["lambda_0", "lambda_2"])
    assert fit(single, ["lambda_0"]).dimensionless.shape[-1] == 1


def test_operators_that_differ_by_a_little_are_fitted():
    """Near zero λ_0 and λ_2 of Gauss-net differ by 10⁻⁴ of themselves: enough."""
    net = nnft.network("gauss-net", width=100, input_dim=1, bias_std=1.0)
    exact = nnft.exact_correlators(net, 0.01 * X, (2, 4))
    found = fit(exact, ["lambda_0", "lambda_2"], (np.inf,))
    assert np.isfinite(found.dimensionless).all()


def test_a_comparison_says_so_and_goes_on(one_sided):
    table = nnft.compare_actions(
        one_sided,
        [nnft.Action(["lambda_0"]), nnft.Action(["lambda_0", "lambda_2"])],
        10,
    ).set_index("action")
    assert table["verdict"]["lambda_0"] == "describes"
    assert table["verdict"]["lambda_0 + lambda_2"] == "couplings cannot be told apart"
    assert np.isfinite(table["log_evidence"]).all()
