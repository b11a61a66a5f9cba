"""Files of inputs: what is read, and what is refused before it takes memory."""

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from nnft_ppl import SpecError, network
from nnft_ppl._columns import read_points


def npy(array: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    "array",
    [
        np.array([[1.0, 2.0], [3.0, 4.0]], ">f8"),
        np.array([[1, 2], [3, 4]], ">i2"),
        np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]),
    ],
    ids=["big-endian", "integers", "Fortran order"],
)
def test_numbers_are_read_however_they_are_stored(tmp_path: Path, array: np.ndarray):
    (tmp_path / "x.npy").write_bytes(npy(array))
    np.testing.assert_array_equal(read_points(tmp_path / "x.npy"), [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    "text", ["1,2\n3,4\n", "\ufeff1,2\r\n3,4\r\n", "# x,y\n1, 2\n\n3,4"]
)
def test_a_csv_of_any_editor_is_read(tmp_path: Path, text: str):
    (tmp_path / "x.csv").write_bytes(text.encode())
    np.testing.assert_array_equal(read_points(tmp_path / "x.csv"), [[1, 2], [3, 4]])


class Trap:
    """What must not be unpickled."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


REFUSED = {
    "objects": (npy(np.array([Trap()]), allow_pickle=True), r"Python objects in dtype"),
    "cut": (npy(np.arange(9.0))[:-1], r"greater than file size"),
    "a header alone": (npy(np.arange(9.0))[:40], r"EOF"),
    "no file of NumPy": (b"\x80\x04K\x01.", r"magic string"),
    "empty": (b"", r"EOF"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_damaged_npy_file_is_refused(tmp_path: Path, case: str):
    data, message = REFUSED[case]
    (tmp_path / "x.npy").write_bytes(data)
    with pytest.raises(SpecError, match=rf"`inputs`: cannot read 'x.npy': .*{message}"):
        read_points(tmp_path / "x.npy")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones(3, complex), "give real and imaginary part"),
        (np.ones(3, [("a", "f4")]), "no array of real numbers"),
        (np.array([1.0, np.nan]), "inputs must be finite"),
        (np.zeros((0, 1)), "hold no points"),
        (np.array([10.0, 1.0], np.longdouble) ** 4000, "inputs must be finite"),
    ],
    ids=["complex", "structured", "NaN", "none", "beyond float64"],
)
def test_an_array_that_holds_no_inputs_is_refused(tmp_path: Path, array, message: str):
    (tmp_path / "x.npy").write_bytes(npy(array))
    net = network("relu-net", width=1, input_dim=1)
    with pytest.raises(SpecError, match=message):
        net.check_inputs(read_points(tmp_path / "x.npy"))


def test_a_header_of_terabytes_takes_no_memory(tmp_path: Path):
    data = npy(np.arange(4.0)).replace(b"(4,), }" + b" " * 13, b"(1000000000000,), }  ")
    (tmp_path / "x.npy").write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(SpecError, match=r"greater than file size"):
            read_points(tmp_path / "x.npy")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,y\n1,2\n", "line 1, column 2: 'y' is no number; expected numbers alone"),
        ("1,\n2,3\n", "line 1, column 2: is empty; expected numbers alone"),
        ("1,2\n\n2,\n", "line 3, column 2: found nothing; expected a number"),
        ("1,2\n3\n", "line 2: numbers found are 1, in the first line 2"),
        ("1,2\n3;4\n", "line 2: numbers found are 1, in the first line 2"),
        ("9" * 10**6 + "z", "could not convert string"),
    ],
    ids=["half a header", "empty cell", "empty below", "ragged", "mixed", "huge cell"],
)
def test_a_csv_that_holds_no_numbers_is_refused(tmp_path: Path, text, message: str):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(SpecError, match=message) as caught:
        read_points(tmp_path / "x.csv")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["a\x00.npy", "a" * 300 + ".csv", "none.npy"])
def test_a_name_of_no_file_is_refused(tmp_path: Path, name: str):
    with pytest.raises(SpecError, match="`inputs`: cannot read"):
        read_points(tmp_path / name)
