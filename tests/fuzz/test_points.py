"""Inputs from files and the command line: nearly valid, damaged ones, any bytes."""

import io
from pathlib import Path

import numpy as np
import pytest
from fuzz.fuzzing import (
    HOSTILE_TEXTS,
    fuzz,
    refusing_in_one_line,
    rewritten,
    texts,
    tiers,
)
from hypothesis import strategies as st

import nnft_ppl as nnft
from nnft_ppl._columns import read_points
from nnft_ppl.cli.options import _input_shape, _points

NETWORKS = [nnft.network("relu-net", width=2, input_dim=d) for d in (1, 2, (2, 3))]
DTYPES = (
    *("<f8", ">f8", "<f4", "<f2", "<i4", ">i2", "|u1", "|b1", "<c16", "|S3", "<U3"),
    *("<M8[s]", "<m8[s]", "|V4", "<f16", "|O", "[('a', '<f4'), ('b', '|O')]", "f999"),
    "[('a', '<f4')]",
)
SHAPES = (
    *("(4,)", "(2, 2)", "(2, 6)", "(0,)", "()", "(3, 0)", "(-4,)", "(1000000000000,)"),
    *(
        "(4",
        "4",
        "[4]",
        "(4.0,)",
        "(True,)",
        "(4L,)",
        "(" * 500,
        "(9999999999, 9999999999)",
    ),
    *("(4611686018427387905, 4)", "(2, 1, 2)", "None", "(__import__('os').getpid(),)"),
)
CELLS = ("0.5", "1.0", "-2", "1e3", "0.25", " 3 ", *HOSTILE_TEXTS)

changes = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=3)
cells = st.sampled_from(CELLS[:6]) | st.sampled_from(CELLS) | texts
rows = st.lists(st.lists(cells, max_size=4), max_size=5)


def damaged(data: bytes, changes: list[tuple[float, int]], keep: float) -> bytes:
    """Some bytes set, and the end cut off."""
    found = bytearray(data)
    for where, value in changes:
        if found:
            found[int(where * (len(found) - 1))] = value
    return bytes(found[: int(keep * len(found))])


def npy(dtype: str, order: bool, shape: str, body: bytes) -> bytes:
    """A .npy file with this in its header, whatever it means."""
    descr = dtype if dtype.startswith("[") else repr(dtype)
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"
    return (
        b"\x93NUMPY\x01\x00"
        + len(header).to_bytes(2, "little")
        + header.encode()
        + body
    )


bodies = st.binary(max_size=100) | st.just(np.arange(12.0).tobytes())
npy_files = st.builds(
    damaged,
    st.builds(
        npy, st.sampled_from(DTYPES), st.booleans(), st.sampled_from(SHAPES), bodies
    )
    | st.binary(max_size=100),
    changes,
    st.just(1.0) | st.floats(0, 1),
)
csv_files = st.builds(
    damaged,
    st.builds(
        lambda rows, comma, end, encoding: end.join(map(comma.join, rows)).encode(
            encoding, "surrogatepass"
        ),
        rows,
        st.sampled_from([",", ",", ";", "\t", " "]),
        st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
        st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32"]),
    )
    | st.binary(max_size=100),
    changes,
    st.just(1.0) | st.floats(0, 1),
)
names = st.sampled_from(["x.npy", "x.csv"]) | texts.map(lambda t: f"{t}.csv") | texts


@tiers
@pytest.mark.parametrize(("suffix", "files"), [("npy", npy_files), ("csv", csv_files)])
def test_a_file_of_inputs_is_read_or_refused(
    tmp_path: Path, suffix: str, files: st.SearchStrategy, cases: int
):
    with rewritten(tmp_path / f"x.{suffix}") as (path, write):

        def check(data: bytes, network: nnft.Network) -> None:
            write(data)
            with refusing_in_one_line():
                network.check_inputs(read_points(path), distinct=True)

        fuzz(cases, check, files, st.sampled_from(NETWORKS))


@tiers
def test_any_name_of_a_file_is_taken_or_refused(tmp_path: Path, cases: int):
    np.save(tmp_path / "x.npy", np.arange(3.0))

    def check(name: str) -> None:
        with refusing_in_one_line():
            read_points(tmp_path / name)

    fuzz(cases, check, names)


@tiers
def test_points_of_the_command_line_are_read_or_refused(cases: int):
    def check(rows: list[list[str]], shape: str | None, network: nnft.Network) -> None:
        text = ";".join(map(",".join, rows))
        with refusing_in_one_line():
            _input_shape(shape, None, text)
            _points(network, None, text, (), distinct=True)

    sizes = st.none() | st.lists(cells, max_size=4).map("x".join)
    fuzz(cases, check, rows, sizes, st.sampled_from(NETWORKS))


def test_a_file_of_inputs_as_numpy_writes_it_is_read(tmp_path: Path):
    """What the grammar above is made of, unchanged."""
    file = io.BytesIO()
    np.save(file, np.arange(4.0))
    assert (
        npy("<f8", False, "(4,)", np.arange(4.0).tobytes())[:8] == file.getvalue()[:8]
    )
    path = tmp_path / "x.npy"
    path.write_bytes(npy(">f8", True, "(2, 2)", np.arange(4.0, dtype=">f8").tobytes()))
    np.testing.assert_array_equal(read_points(path), [[0, 2], [1, 3]])
