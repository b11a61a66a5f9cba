import dataclasses

import pytest

from nnft_ppl import Operator, PluginError, SpecError
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.operators import operator

CUSTOM = Operator(name="mine", symbol="m", fields=(0, 0))


def test_names_and_operators_mix_in_the_order_given():
    action = Action(["kappa", CUSTOM, "lambda_0"])
    assert action.operators == (operator("kappa"), CUSTOM, operator("lambda_0"))
    assert action.names == ("kappa", "mine", "lambda_0")


def test_orders_are_distinct_and_sorted():
    assert Action(["kappa", "lambda_2", "lambda_nl"]).orders == (4, 6)


def test_equal_lists_give_equal_hashable_actions():
    first, second = (
        Action(["lambda_0", "kappa"]),
        Action((operator("lambda_0"), "kappa")),
    )
    assert first == second
    assert len({first, second}) == 1
    assert first != Action(["kappa", "lambda_0"])


def test_repr_can_be_read_and_fields_are_frozen():
    action = Action(["lambda_0", "kappa"])
    assert repr(action) == "Action(['lambda_0', 'kappa'])"
    with pytest.raises(dataclasses.FrozenInstanceError, match="operators"):
        action.operators = ()


@pytest.mark.parametrize("part", ["symbol", "weight_symbol"])
def test_dollar_signs_in_symbols_are_refused(part):
    texts = {"symbol": "m", "weight_symbol": "w"} | {part: "$m$"}
    with pytest.raises(SpecError, match=rf"`{part}` .* LaTeX without dollar signs"):
        Operator(name="mine", fields=(0, 0, 0, 0), **texts)


def test_no_operators_are_refused():
    with pytest.raises(SpecError, match="needs at least one operator"):
        Action([])


def test_repeated_operators_are_refused_however_written():
    with pytest.raises(SpecError, match=r"\['lambda_0'\] are given more than once"):
        Action(["lambda_0", "kappa", operator("lambda_0")])


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(PluginError, match=r"(?s)lambda_7.*lambda_0"):
        Action(["lambda_7"])


@pytest.mark.parametrize("given", ["lambda_0", CUSTOM])
def test_one_operator_without_a_list_is_refused(given):
    with pytest.raises(SpecError, match="write it as a list of one"):
        Action(given)


def test_what_is_no_operator_is_refused():
    with pytest.raises(SpecError, match="operator 3 is a int; expected a name"):
        Action([3])
