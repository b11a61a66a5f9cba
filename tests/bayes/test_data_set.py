import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.bayes.data_set import DataSet, Standard, held_out_rows

NET = nnft.network("relu-net", width=5, input_dim=2)
RNG = np.random.default_rng(0)
X, X_NEW = 7 + 3 * RNG.normal(size=(20, 2)), RNG.normal(size=(4, 2))
Y, Y_NEW = 100 + 5 * RNG.normal(size=20), RNG.normal(size=4)


def test_data_are_standardised_by_the_training_data_alone():
    found = DataSet.checked(NET, X, Y, X_NEW, Y_NEW, standardise=True)
    np.testing.assert_allclose(found.x.mean(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(found.x.std(axis=0), 1)
    np.testing.assert_allclose([found.y.mean(), found.y.std()], [0, 1], atol=1e-13)
    np.testing.assert_allclose(found.x_new, (X_NEW - X.mean(axis=0)) / X.std(axis=0))
    np.testing.assert_allclose(found.y_new, (Y_NEW - Y.mean()) / Y.std())
    np.testing.assert_allclose(found.standard.inputs_back(found.x_new), X_NEW)
    np.testing.assert_allclose(
        found.standard.targets_back(found.y_new[:, None])[:, 0], Y_NEW
    )
    again = Standard.from_record(found.standard.record())
    np.testing.assert_array_equal(again.input_std, found.standard.input_std)


def test_data_are_left_as_they_are_unless_told():
    found = DataSet.checked(NET, X, Y[:, None], X_NEW)
    np.testing.assert_array_equal(found.y, Y)
    assert found.standard is None
    assert found.y_new is None


def test_bad_data_are_refused():
    with pytest.raises(nnft.SpecError, match=r"`y_new` has shape \(3,\)"):
        DataSet.checked(NET, X, Y, X_NEW, Y_NEW[:3])
    same = np.column_stack([X[:, 0], np.full(20, 3.0)])
    message = "column 1 of the inputs is 3 in all 20 rows"
    with pytest.raises(nnft.SpecError, match=message):
        DataSet.checked(NET, same, Y, X_NEW, standardise=True)
    with pytest.raises(nnft.SpecError, match="column 0 of the targets is 1 in all"):
        DataSet.checked(NET, X, np.ones(20), X_NEW, standardise=True)


def test_rows_are_held_out_by_the_seed():
    rows, held = held_out_rows(50, 0.2, 3)
    assert (len(rows), len(held)) == (40, 10)
    assert sorted([*rows, *held]) == list(range(50))
    np.testing.assert_array_equal(held_out_rows(50, 0.2, 3)[1], held)
    assert not np.array_equal(held_out_rows(50, 0.2, 4)[1], held)
    with pytest.raises(nnft.SpecError, match=r"0\.01 of 20 rows is 0"):
        held_out_rows(20, 0.01, 3)
