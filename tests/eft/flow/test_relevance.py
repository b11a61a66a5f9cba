"""Order of relevance: powers from homogeneity and from the volume of the box."""

import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.flow.relevance import relevance

INPUTS = np.array([0.2, 0.6, 1.0])
ALL = Action(["kappa", "lambda_nl", "lambda_2", "lambda_0"])


def net(name, bias_std=1.0):
    return nnft.network(name, width=20, input_dim=1, bias_std=bias_std)


def test_fields_that_grow_order_operators_by_weight_and_number_of_fields():
    """K_W ∝ |y|: exponents −(1 + 4), −2(1 + 2), −(1 + 6) and −(1 + 2 + 4)."""
    table = relevance(ALL, net("relu-net", 0.0), INPUTS, [100.0])
    got = table.set_index("operator")
    assert list(table["operator"][:2]) == ["lambda_0", "lambda_nl"]
    expected = {"lambda_0": -5.0, "lambda_nl": -6.0, "kappa": -7.0, "lambda_2": -7.0}
    for name, exponent in expected.items():
        assert got.loc[name, "exponent"] == pytest.approx(exponent, abs=1e-8)
        assert got.loc[name, "asymptotic"] == pytest.approx(exponent, abs=1e-8)
        assert got.loc[name, "relative"] == pytest.approx(exponent + 5, abs=1e-8)
    assert dict(got["rank"]) == {
        "lambda_0": 1,
        "lambda_nl": 2,
        "kappa": 3,
        "lambda_2": 3,  # as irrelevant as κ
    }
    assert got.loc["kappa", "num_fields"] == 6


def test_the_asymptotic_exponent_is_reached_from_any_cutoff():
    """With a bias the local exponents at Λ = 7 are far from their limits."""
    table = relevance(ALL, net("relu-net"), INPUTS, [7.0]).set_index("operator")
    limits = table["asymptotic"][["lambda_0", "lambda_nl", "kappa", "lambda_2"]]
    np.testing.assert_allclose(limits, [-5.0, -6.0, -7.0, -7.0], atol=1e-8)
    assert (table["exponent"] - table["asymptotic"] > 0.3).all()


def test_a_saturating_kernel_makes_local_operators_alike():
    table = relevance(ALL, net("erf-net"), INPUTS, [10.0]).set_index("operator")
    limits = table["asymptotic"][["lambda_0", "kappa", "lambda_nl", "lambda_2"]]
    np.testing.assert_allclose(limits, [-1.0, -1.0, -2.0, -3.0], atol=1e-8)


def test_nothing_runs_where_integrals_converge():
    table = relevance(ALL, net("gauss-net"), INPUTS, [np.inf])
    assert (table["exponent"] == 0).all()
    assert (table["asymptotic"] == 0).all()
    assert (table["rank"] == 1).all()


def test_rows_are_in_order_at_every_cutoff():
    table = relevance(ALL, net("erf-net"), INPUTS, [2.0, 1e3])
    assert list(table["cutoff"]) == [2.0] * 4 + [1e3] * 4
    for _, block in table.groupby("cutoff"):
        assert (np.diff(block["exponent"]) <= 0).all()
