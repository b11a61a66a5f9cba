"""Columns of a user's file, with names or without."""

import re
from pathlib import Path

import numpy as np
import pytest

from nnft_ppl import SpecError
from nnft_ppl._columns import read_columns


def test_columns_are_taken_by_name_in_the_order_asked(tmp_path: Path):
    (tmp_path / "x.csv").write_text("\ufeffage, weight,height\n1,2,3\n4,5,6\n")
    found = read_columns(tmp_path / "x.csv", "inputs", ("height", "age"))
    np.testing.assert_array_equal(found.values, [[3, 1], [6, 4]])
    assert found.names == ("height", "age")
    every = read_columns(tmp_path / "x.csv", "inputs")
    assert every.names == ("age", "weight", "height")
    assert every.values.shape == (2, 3)


@pytest.mark.parametrize("text", ["1,2\n3,4\n", "nan,2\n3,4\n", "# a,b\n1,2\n3,4\n"])
def test_numbers_alone_have_no_names(tmp_path: Path, text: str):
    (tmp_path / "x.csv").write_text(text)
    found = read_columns(tmp_path / "x.csv", "inputs")
    assert found.names == ()
    np.testing.assert_array_equal(found.values[1], [3, 4])


def test_an_array_of_numpy_has_no_names(tmp_path: Path):
    np.save(tmp_path / "x.npy", np.ones((2, 3)))
    assert read_columns(tmp_path / "x.npy", "inputs").values.shape == (2, 3)
    with pytest.raises(SpecError, match=r"'x\.npy' has no line of names"):
        read_columns(tmp_path / "x.npy", "inputs", ("a",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age,b\n1,2\n", "has no column 'agee' (did you mean 'age'?); it has 'age'"),
        ("a,a\n1,2\n", "names 'a' twice"),
        ("1,2\n", "has no line of names to choose 'agee' from"),
        ("agee,b\n1,x\nz,3\n", "cannot read 'x.csv': could not convert"),
    ],
)
def test_a_file_without_the_columns_is_refused(tmp_path: Path, text, message: str):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(SpecError, match=re.escape(message)):
        read_columns(tmp_path / "x.csv", "inputs", ("agee",))
