import numpy as np
import pytest

from nnft_ppl._errors import SpecError
from nnft_ppl.eft.measures import (
    Ball,
    Box,
    Empirical,
    GaussianCutoff,
    check_measure,
    measure_from_json,
)

POINTS = np.array([[0.1, -2.0], [1 / 3, 5.0]])
MEASURES = [Box(), Ball(), GaussianCutoff(), Empirical(POINTS)]


@pytest.mark.parametrize("measure", MEASURES, ids=repr)
def test_json_gives_the_measure_back(measure):
    again = measure_from_json(measure.to_json())
    assert again == measure
    assert hash(again) == hash(measure)


def test_different_measures_differ():
    assert len({*MEASURES, Empirical(POINTS[::-1]), Box()}) == 5
    assert Empirical(POINTS) != Box()


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"measure": "cone"}', '{"measure": "box", "a": 1}', '{"points": 1}'],
)
def test_anything_else_is_refused(text):
    with pytest.raises(SpecError, match="is no measure; expected"):
        measure_from_json(text)


def test_a_name_that_no_class_has_says_what_to_do():
    with pytest.raises(SpecError, match=r"cone.* known once its class is defined"):
        measure_from_json('{"measure": "cone"}')


@pytest.mark.parametrize("given", [3, Ball, [[1.0]]])
def test_what_is_no_measure_is_refused(given):
    with pytest.raises(SpecError, match=r"derived from nnft_ppl\.Measure"):
        check_measure(given)
