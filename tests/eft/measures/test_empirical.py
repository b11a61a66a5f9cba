import numpy as np
import pytest

from nnft_ppl._errors import SpecError
from nnft_ppl.eft.measures import Empirical

POINTS = np.array([[0.1, -2.0], [1 / 3, 5.0]])


def test_a_data_set_is_kept_as_it_was():
    given = POINTS.copy()
    measure = Empirical(given)
    given[0, 0] = 7.0
    assert measure.points[0, 0] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        measure.points[0, 0] = 7.0


def test_numbers_are_points_of_one_dimension_as_inputs_are():
    assert Empirical([1.0, 2.0]) == Empirical([[1.0], [2.0]])


def test_a_zero_with_a_sign_hashes_alike():
    first, second = Empirical([[0.0]]), Empirical([[-0.0]])
    assert first == second
    assert hash(first) == hash(second)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (1.0, r"shape \(\)"),
        (np.zeros((0, 2)), r"shape \(0, 2\)"),
        ([[1.0, np.nan]], r"point 0 of an empirical measure is \[1.0, nan\]"),
        ([["a"]], "no array of real numbers"),
    ],
)
def test_a_data_set_is_checked(points, message):
    with pytest.raises(SpecError, match=message):
        Empirical(points)


def test_images_of_an_empirical_measure_are_flattened():
    images = np.arange(24.0).reshape(2, 3, 4, 1)
    np.testing.assert_array_equal(Empirical(images).points, images.reshape(2, 12))
