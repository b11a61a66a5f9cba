"""Files: a DataTree to netCDF and back, sealed and in one step, with provenance.

Every file carries one JSON attribute `nnft_ppl`: what it holds, schema version, package
versions, and whatever the object needs to be rebuilt. Nothing is unpickled. The policy
of the format is in docs/files.md.
"""

import io
import json
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from nnft_ppl import _hdf5
from nnft_ppl._errors import NnftError, SpecError, StorageError
from nnft_ppl._files import has_seal, replace, sealed, unsealed
from nnft_ppl._version import __version__

SCHEMA = 2
"""Of files that `write` makes: with a seal."""
UNSEALED = 1
"""Of the same trees in memory, written by xarray, or by nnft_ppl up to 0.2."""
_ATTRIBUTE = "nnft_ppl"
_PACKAGES = ("jax", "numpyro", "arviz", "numpy", "xarray")


class UncheckedFileWarning(UserWarning):
    """A file has no seal: whether it is as it was written cannot be told."""


def versions() -> dict[str, str]:
    """Versions of the toolkit, Python and the packages that make the numbers."""
    return {
        "nnft_ppl": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
    }


def provenance(holds: str, **fields: Any) -> dict[str, str]:
    """Root attributes of a tree that holds an object of the kind `holds`."""
    record = {"schema": UNSEALED, "holds": holds, "versions": versions(), **fields}
    return {_ATTRIBUTE: json.dumps(record, sort_keys=True)}


def metadata(tree: xr.DataTree) -> dict[str, Any]:
    """The JSON record that `provenance` wrote.

    Raises:
        SpecError: The tree was not written by nnft_ppl, or by a newer schema.
    """
    text = tree.attrs.get(_ATTRIBUTE)
    if text is None:
        raise SpecError(
            f"the file has no `{_ATTRIBUTE}` attribute; expected one saved by "
            "nnft_ppl, with the method `save` of what it is to hold"
        )
    try:
        record: dict[str, Any] = json.loads(text)
        schema, written_by = record["schema"], record["versions"]["nnft_ppl"]
        record["holds"]
    except (ValueError, KeyError, TypeError) as error:
        raise SpecError(
            f"the file's `{_ATTRIBUTE}` attribute is damaged: {error}"
        ) from error
    if schema not in (UNSEALED, SCHEMA):
        raise SpecError(
            f"the file has schema {schema!r}; this version reads {UNSEALED} and "
            f"{SCHEMA}: it was written by nnft_ppl {written_by}; read it with that one"
        )
    return record


def array(tree: xr.DataTree, path: str) -> np.ndarray:
    """The variable at `path` as NumPy.

    Raises:
        SpecError: The file lacks it.
    """
    try:
        found = tree[path]
    except KeyError as error:
        raise SpecError(
            f"the file lacks the variable {path!r}; it is damaged"
        ) from error
    assert isinstance(found, xr.DataArray)  # a variable of our own schema
    return found.to_numpy()


def child(tree: xr.DataTree, path: str) -> xr.DataTree:
    """The group at `path`.

    Raises:
        SpecError: The file lacks it.
    """
    if path not in tree.children:
        raise SpecError(f"the file lacks the group {path!r}; it is damaged")
    return tree.children[path]


def write(tree: xr.DataTree, path: str | Path) -> None:
    """Write the tree as compressed, checksummed netCDF with a seal, in one step.

    Raises:
        SpecError: The folder does not exist.
        StorageError: The file cannot be written; one that was there is as it was.
    """
    target = _as_path(path)
    if target.is_dir():
        raise SpecError(f"cannot save to {str(target)!r}: it is a folder")
    if not target.parent.is_dir():
        raise SpecError(
            f"cannot save to {str(target)!r}: {str(target.parent)!r} is no folder"
        )
    encoding = {
        node.path: {
            str(name): {
                "zlib": True,
                "complevel": 4,
                "shuffle": True,
                "fletcher32": True,
            }
            for name in node.data_vars
            if node.data_vars[name].dtype.kind in "fiu" and node.data_vars[name].ndim
        }
        for node in tree.subtree
        if node.data_vars
    }
    told = tree.copy(deep=False)
    record = {**metadata(tree), "schema": SCHEMA}
    told.attrs = {**tree.attrs, _ATTRIBUTE: json.dumps(record, sort_keys=True)}
    # In memory, as HDF5 ends the process when a disk is full.
    data = told.to_netcdf(None, engine="h5netcdf", encoding=encoding)
    replace(target, sealed(data))


def _as_path(path: str | Path) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise SpecError(f"`path` is {path!r}; expected a file name")
    return Path(path)


def read(path: str | Path) -> xr.DataTree:
    """Read a file that `write` made, whole.

    Raises:
        SpecError: No such file, or it is damaged, no netCDF, or being written.
        StorageError: The file cannot be read, whatever is in it.

    Warns:
        UncheckedFileWarning: It is of an earlier version, or written by xarray, and has
            no seal.
    """
    target = _as_path(path)
    if not target.is_file():
        raise SpecError(f"no file {str(target)!r}")
    try:
        data = target.read_bytes()
    except OSError as error:
        raise StorageError(
            f"`{target}` cannot be read ({error.strerror or error}); see to it, or "
            "name another file"
        ) from error
    if unsealed(data) is None:
        return _read_unsealed(target, data)
    with as_input(target):  # HDF5 passes over the seal
        return xr.load_datatree(io.BytesIO(data), engine="h5netcdf")


def _read_unsealed(path: Path, data: bytes) -> xr.DataTree:
    """A file without a seal, or with one that is broken."""
    changed = SpecError(
        f"{str(path)!r} is damaged: it was cut short, or changed by something else "
        "than nnft_ppl since it was saved, or is being written now"
    )
    # HDF5 keeps the record as text, so that it needs not be asked.
    if has_seal(data) or f'"schema": {SCHEMA}'.encode() in data:
        raise changed
    refusal = _one_line(_hdf5.refusal(path) or "")
    if "unable to lock file" in refusal:  # HDF5's words, whatever the system
        raise SpecError(
            f"{str(path)!r} is locked: another process has it open for writing "
            f"({refusal}); load it when that has closed it"
        )
    if refusal:
        raise SpecError(f"{str(path)!r} is damaged or no netCDF file: {refusal}")
    with as_input(path):
        tree = xr.load_datatree(path, engine="h5netcdf")
        if metadata(tree)["schema"] != UNSEALED:
            raise changed
    warnings.warn(
        f"{str(path)!r} was written without a seal, by an earlier version or by "
        "xarray, so that damage to it may go unnoticed; load it and save it again",
        UncheckedFileWarning,
        stacklevel=4,
    )
    return tree


@contextmanager
def as_input(path: str | Path) -> Iterator[None]:
    """Within, what goes wrong is for what the file at `path` holds, and is said so.

    Raises:
        SpecError: In the place of any error that is not one of nnft_ppl.
    """
    try:
        yield
    except (NnftError, MemoryError, Warning):
        raise
    except Exception as error:
        raise SpecError(
            f"{str(path)!r} holds what this version cannot read: "
            f"{_one_line(f'{type(error).__name__}: {error}')}"
        ) from error


def _one_line(text: str) -> str:
    """What a library says, for a message."""
    return " ".join(text.split())[:160]
