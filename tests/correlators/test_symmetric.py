from itertools import permutations

import numpy as np
import pytest

from nnft_ppl.correlators.symmetric import entries, entry_size, num_entries, positions


@pytest.mark.parametrize(
    ("num_points", "order", "count"),
    [(6, 2, 21), (6, 4, 126), (6, 6, 462), (1, 6, 1), (4, 3, 20)],
)
def test_unique_entries_are_counted_and_listed_sorted(num_points, order, count):
    table = entries(num_points, order)
    assert table.shape == (count, order)
    assert num_entries(num_points, order) == count
    assert (np.diff(table, axis=1) >= 0).all()
    assert len(np.unique(table, axis=0)) == count


@pytest.mark.parametrize(("num_points", "order"), [(6, 6), (3, 4), (5, 1)])
def test_position_inverts_entries_for_any_order_of_legs(num_points, order):
    table = entries(num_points, order)
    for legs in list(permutations(range(order)))[:24]:
        assert (positions(num_points, table[:, legs]) == np.arange(len(table))).all()


def test_entry_size_is_the_product_of_standard_deviations():
    size = entry_size(np.array([4.0, 9.0]), 4)
    np.testing.assert_allclose(size, [16, 24, 36, 54, 81])
