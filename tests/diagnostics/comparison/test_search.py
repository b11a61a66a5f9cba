"""Searches whose outcome is known: from truth that is put in, and from theory.md."""

import dataclasses
import math

import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.diagnostics.comparison.search import search_actions
from nnft_ppl.eft.integrals import first_order

PAPER_X = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
WIDE_X = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0])
HALF = math.sqrt(0.5)
THREE = ["lambda_0", "lambda_2", "lambda_nl"]


def pair(name, width, x, bias_std):
    net = nnft.network(name, width=width, input_dim=1, bias_std=bias_std)
    return tuple(nnft.exact_correlators(net, y, (2, 4)) for y in (x, HALF * x))


@pytest.fixture(scope="module")
def erf():
    return pair("erf-net", 5, WIDE_X, 1.0)


def synthetic(data, couplings, cutoff):
    """The same correlators with the 4-pt function that the couplings give."""
    connected = sum(
        g * first_order(nnft.operators()[n], data.network, data.x, [cutoff]).values[0]
        for n, g in couplings.items()
    )
    return dataclasses.replace(
        data, connected_values={2: data.connected(2), 4: connected}
    )


def test_the_action_that_made_the_data_is_found(erf):
    couplings = {"lambda_0": -0.02, "lambda_nl": 0.003}
    fitted, held_out = (synthetic(data, couplings, 10.0) for data in erf)
    found = search_actions(fitted, held_out, [2.0, 10.0], operators=THREE, target=1e-6)
    assert found.is_reached
    assert (found.best["action"], found.best["cutoff"]) == ("lambda_0 + lambda_nl", 10)
    assert found.best["held_out_error"] < 1e-9
    assert len(found.table) == 2 * 7
    assert "no action with fewer operators stays below" in found.sentence
    small = found.table[found.table["num_operators"] == 1]
    assert (small["held_out_error"] > 0.01).all()


def test_errors_are_those_of_least_squares_by_hand(erf):
    fitted, held_out = erf
    found = search_actions(fitted, held_out, [10.0], operators=THREE)
    row = found.table.set_index("action").loc["lambda_0 + lambda_2"]
    here, there = (
        np.stack(
            [
                first_order(nnft.operators()[n], fitted.network, x, [10.0]).values[0]
                for n in ("lambda_0", "lambda_2")
            ],
            axis=1,
        )
        for x in (WIDE_X, HALF * WIDE_X)
    )
    solution = np.linalg.solve(here.T @ here, here.T @ fitted.connected(4))
    for column, data, name in (
        (here, fitted, "fitted_error"),
        (there, held_out, "held_out_error"),
    ):
        off = np.linalg.norm(column @ solution - data.connected(4))
        assert row[name] == pytest.approx(
            off / np.linalg.norm(data.connected(4)), rel=1e-6
        )


@pytest.mark.parametrize(
    ("name", "width", "expected"), [("gauss-net", 1000, 0.51), ("erf-net", 5, 0.30)]
)
def test_wide_inputs_leave_what_theory_says(name, width, expected):
    found = search_actions(*pair(name, width, WIDE_X, 1.0), [100.0], operators=THREE)
    assert not found.is_reached
    all_three = found.table[found.table["num_operators"] == 3].iloc[0]
    assert all_three["fitted_error"] == pytest.approx(expected, abs=0.006)
    assert "no action tried stays below 5 %" in found.sentence
    assert found.best["held_out_error"] == found.table["held_out_error"].min()


def test_the_homogeneous_net_needs_one_operator():
    found = search_actions(*pair("relu-net", 20, PAPER_X, 0.0), [10.0, 100.0])
    assert found.is_reached
    assert found.best["num_operators"] == 1
    assert found.best["held_out_error"] < 1e-9


def test_what_diverges_is_left_out_and_said(erf):
    found = search_actions(*erf, [10.0, math.inf], operators=THREE)
    assert list(found.left_out["operator"]) == THREE
    assert (found.left_out["cutoff"] == math.inf).all()
    assert "has no limit at cutoff inf" in found.left_out["reason"].iloc[0]
    assert set(found.table["cutoff"]) == {10.0}
    with pytest.raises(nnft.SpecError, match="no operator can be used at any cutoff"):
        search_actions(*erf, [math.inf], operators=THREE)


def test_operators_of_ones_own_take_part(erf):
    quartic = nnft.Operator(
        name="lambda_four",
        symbol="\\lambda_4",
        fields=(0,) * 4,
        weight=lambda y: np.sum(y**2, axis=-1) ** 2,
    )
    with_it = search_actions(*erf, [2.0], operators=[*THREE, quartic])
    without = search_actions(*erf, [2.0], operators=THREE)
    assert len(with_it.table) == 15
    assert with_it.table["fitted_error"].min() < without.table["fitted_error"].min()


def test_searches_that_mean_nothing_are_refused(erf):
    fitted, held_out = erf
    with pytest.raises(nnft.SpecError, match="was fitted, so it is not held out"):
        search_actions(fitted, fitted, [10.0])
    with pytest.raises(nnft.SpecError, match=r"the operators have \[4, 6\] fields"):
        search_actions(fitted, held_out, [10.0], operators=["lambda_0", "kappa"])
    with pytest.raises(nnft.SpecError, match="`target` is 0; expected a number > 0"):
        search_actions(fitted, held_out, [10.0], target=0)
    many = [
        nnft.Operator(name=f"copy_{i}", symbol=str(i), fields=(0,) * 4)
        for i in range(13)
    ]
    with pytest.raises(nnft.SpecError, match="give at most 12"):
        search_actions(fitted, held_out, [10.0], operators=many)
    with pytest.raises(nnft.SpecError, match="order 6 is not among the orders"):
        search_actions(fitted, held_out, [10.0], operators=["kappa"])
