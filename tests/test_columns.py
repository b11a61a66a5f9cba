"""Columns of a user's file, with names or without."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
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


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("x,y\n1,2.5\n3,4\n", ("x", "y")),
        ("x;y\n1;2,5\n3;4\n", ("x", "y")),
        ("1;2.5\n3;4\n", ()),
        ("1\t2.5\n3\t4\n", ()),
        ("# made by hand\n1   2.5\n3 4\n", ()),
        (",x,y\n0,1,2.5\n1,3,4\n", ("x", "y")),
        ('"","x","y"\n"a","1","2.5"\n"b","3","4"\n', ("x", "y")),
        ('\n"x","y, in m"\n1,2.5\n\n3,4\n', ("x", "y, in m")),
    ],
    ids=[
        *("names", "decimal commas", "semicolons", "tabs", "spaces", "pandas' index"),
        *("quotes", "comma in a name"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_csv_is_read_as_programs_write_it(
    tmp_path: Path, text: str, names: tuple[str, ...], encoding: str
):
    (tmp_path / "x.csv").write_text(text, encoding=encoding)
    found = read_columns(tmp_path / "x.csv", "inputs")
    np.testing.assert_array_equal(found.values, [[1, 2.5], [3, 4]])
    assert found.names == names


def test_a_first_column_of_numbers_with_a_name_is_kept(tmp_path: Path):
    (tmp_path / "x.csv").write_text("index,x\n0,1\n")
    assert read_columns(tmp_path / "x.csv", "inputs").values.tolist() == [[0, 1]]


def test_what_pandas_writes_is_read(tmp_path: Path):
    table = pd.DataFrame({"x": [0.1, 1e-8], "y": [1e6, -2]}, index=["a", "b"])
    table.to_csv(tmp_path / "x.csv")
    found = read_columns(tmp_path / "x.csv", "inputs")
    np.testing.assert_array_equal(found.values, table.to_numpy())


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
        ("1,b\n1,2\n", "'x.csv', line 1, column 2: 'b' is no number"),
        ("agee,,b\n1,2,3\n", "line 1, column 2: is empty; expected numbers alone, or"),
        ("1,2\n", "has no line of names to choose 'agee' from"),
        (
            "agee,b\n1,x\nz,3\n",
            "`inputs`: 'x.csv', line 3, column 1: found 'z'; expected a number",
        ),
    ],
)
def test_a_file_without_the_columns_is_refused(tmp_path: Path, text, message: str):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(SpecError, match=re.escape(message)):
        read_columns(tmp_path / "x.csv", "inputs", ("agee",))
