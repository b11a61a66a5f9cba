"""Files: a DataTree to netCDF and back, atomically, with provenance.

Every file carries one JSON attribute `nnft_ppl`: what it holds, schema version, package
versions, and whatever the object needs to be rebuilt. Nothing is unpickled.
"""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from nnft_ppl._errors import SpecError
from nnft_ppl._version import __version__

SCHEMA = 1
_ATTRIBUTE = "nnft_ppl"
_PACKAGES = ("jax", "numpyro", "arviz", "numpy", "xarray")


def versions() -> dict[str, str]:
    """Versions of the toolkit, Python and the packages that make the numbers."""
    return {
        "nnft_ppl": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
    }


def provenance(holds: str, **fields: Any) -> dict[str, str]:
    """Root attributes of a file that holds an object of the kind `holds`."""
    record = {"schema": SCHEMA, "holds": holds, "versions": versions(), **fields}
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
    if schema != SCHEMA:
        raise SpecError(
            f"the file has schema {schema}; this version reads {SCHEMA}: it was "
            f"written by nnft_ppl {written_by}"
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
    """Write the tree as compressed, checksummed netCDF under a temporary name, rename.

    Raises:
        SpecError: The folder does not exist.
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
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        tree.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _as_path(path: str | Path) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise SpecError(f"`path` is {path!r}; expected a file name")
    return Path(path)


def read(path: str | Path) -> xr.DataTree:
    """Read a file that `write` made, whole.

    Raises:
        SpecError: No such file, or it is damaged, no netCDF, or being written.
    """
    target = _as_path(path)
    if not target.is_file():
        raise SpecError(f"no file {str(target)!r}")
    try:
        return xr.load_datatree(target, engine="h5netcdf")
    except (OSError, ValueError) as error:
        if "unable to lock file" in str(error):  # HDF5's words, whatever the system
            raise SpecError(
                f"{str(target)!r} is locked: another process has it open for writing "
                f"({error}); load it when that has closed it"
            ) from error
        raise SpecError(
            f"{str(target)!r} is damaged or no netCDF file: {error}"
        ) from error
