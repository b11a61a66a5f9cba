"""Checks of arguments: what passes, and what the refusals say."""

import math

import numpy as np
import pytest

from nnft_ppl import SpecError
from nnft_ppl._arguments import check_choice, check_kind, check_number, check_whole
from nnft_ppl.inference.mcmc.sampling import Sampling

NO_NUMBERS = [True, np.True_, "2", None, 1j, [2], math.nan]


def positive(value):
    return check_number("a", value, lambda a: a > 0, "a number > 0")


@pytest.mark.parametrize("value", [2, np.int64(2), np.uint8(2)])
def test_a_whole_number_comes_back_as_an_int(value):
    found = check_whole("a", value, 2, 2)
    assert (type(found), found) == (int, 2)


@pytest.mark.parametrize("value", [*NO_NUMBERS, 2.0, 0, -1])
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(SpecError, match=r"`a` is .*; expected a whole number ≥ 1$"):
        check_whole("a", value)


@pytest.mark.parametrize("value", [1, 5])
def test_both_ends_of_a_range_are_kept(value):
    with pytest.raises(SpecError, match=f"`a` is {value}; .* number from 2 to 4$"):
        check_whole("a", value, 2, 4)


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2)])
def test_a_number_comes_back_as_a_float(value):
    found = positive(value)
    assert (type(found), found) == (float, 2.0)


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0.0, -1])
def test_what_is_no_number_or_not_allowed_is_refused(value):
    with pytest.raises(SpecError, match=r"`a` is .*; expected a number > 0$"):
        positive(value)


def test_another_class_or_word_is_refused():
    check_kind("a", 3, int)
    with pytest.raises(SpecError, match=r"`a` is '3'; expected nnft_ppl\.int$"):
        check_kind("a", "3", int)
    with pytest.raises(SpecError, match=r"`a` is 1; expected True or False$"):
        check_kind("a", 1, bool, "True or False")
    check_choice("a", "x", ("x", "y"))
    with pytest.raises(SpecError, match=r"`a` is 'z'; choose one of \['x', 'y'\]$"):
        check_choice("a", "z", ("x", "y"))


@pytest.mark.parametrize("name", ["num_warmup", "num_samples", "num_chains"])
def test_chains_without_length_are_refused(name):
    numbers = {"num_warmup": 1, "num_samples": np.int64(2), "num_chains": 3}
    sampling = Sampling(**numbers)
    assert type(sampling.num_samples) is int
    assert sampling.num_steps == 3
    with pytest.raises(SpecError, match=f"`{name}` is 0; expected a whole number"):
        Sampling(**{**numbers, name: 0})
