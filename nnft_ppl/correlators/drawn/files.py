"""Draws in a file, opened and not read."""

import hashlib
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from nnft_ppl._errors import SpecError, reason

_VALUES = "values"
"""Of several variables in a file the one of this name, as `Ensemble.save` has it."""
_SUFFIXES = (".npy", ".nc", ".zarr")


@contextmanager
def open_draws(path: Path, where: str) -> Iterator[Any]:
    """What `correlators_from_draws` takes for values, open within.

    Args:
        path: .npy; or netCDF with draws in `values`, or in its only variable with a
            dimension `draw`; or the folder of a zarr array, or of a group with draws in
            `values`, or in its only array (extra `zarr`).
        where: Whose value the path is, for messages.

    Raises:
        SpecError: No such file, or no draws in it.
    """
    if path.suffix not in _SUFFIXES:
        raise SpecError(
            f"`{where}`: {str(path)!r} is none of .npy, .nc and .zarr; open any "
            "other file in Python, and give its array to correlators_from_draws"
        )
    if path.suffix == ".zarr":
        yield _zarr_array(path, where)
        return
    try:
        opened = (
            np.lib.format.open_memmap(path, mode="r")
            if path.suffix == ".npy"
            else xr.open_dataset(path, engine="h5netcdf")
        )
    except Exception as error:  # of damaged bytes libraries raise many kinds
        raise SpecError(
            f"`{where}`: cannot read {path.name!r}: {reason(error)}"
        ) from error
    if isinstance(opened, np.ndarray):
        yield opened
        return
    with opened as data:
        yield data[_variable(data, path, where)]


def digest_of(path: Path) -> str:
    """Of the bytes of a file, or of the names and bytes of a folder's files."""
    if not path.is_dir():
        return _digest_of_file(path).hex()[:16]
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        digest.update(f"{file.relative_to(path).as_posix()}\0".encode())
        if file.is_file():
            digest.update(_digest_of_file(file))
    return digest.hexdigest()[:16]


def _digest_of_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _zarr_array(path: Path, where: str) -> Any:
    """Read block by block by who takes it; zarr itself refuses codecs that unpickle."""
    try:
        zarr = importlib.import_module("zarr")
    except ImportError as error:
        raise SpecError(
            f"`{where}`: {path.name!r} is read by zarr, which is not installed; "
            "pip install 'nnft-ppl[zarr]'"
        ) from error
    try:
        opened = zarr.open(path, mode="r")
        arrays = dict(opened.arrays()) if isinstance(opened, zarr.Group) else None
    except Exception as error:  # as above
        raise SpecError(
            f"`{where}`: cannot read {path.name!r}: {reason(error)}"
        ) from error
    if arrays is None:
        return opened
    if _VALUES not in arrays and len(arrays) != 1:
        raise SpecError(
            f"`{where}`: {path.name!r} holds the arrays {sorted(arrays)}; expected "
            f"one, or one named {_VALUES!r}"
        )
    return arrays[_VALUES] if _VALUES in arrays else next(iter(arrays.values()))


def _variable(data: xr.Dataset, path: Path, where: str) -> str:
    """That which holds draws; others beside it may have a number for each."""
    if _VALUES in data:
        return _VALUES
    names = [
        str(n) for n, v in data.data_vars.items() if {"draw", "point"} <= {*v.dims}
    ]
    if len(names) == 1:
        return names[0]
    held = ", ".join(f"{n} ({', '.join(map(str, v.dims))})" for n, v in data.items())
    raise SpecError(
        f"`{where}`: {path.name!r} holds {held or 'no variable'}; expected one with "
        f"the dimensions draw and point, or one named {_VALUES!r} with axes in this "
        "order"
    )
