"""Draws in a file, opened and not read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from nnft_ppl._errors import SpecError

_VALUES = "values"
"""Of several variables in a file the one of this name, as `Ensemble.save` has it."""


@contextmanager
def open_draws(path: Path, where: str) -> Iterator[Any]:
    """What `correlators_from_draws` takes for values, open within.

    Args:
        path: .npy, or netCDF with draws in `values`, or in its only variable with a
            dimension `draw`.
        where: Whose value the path is, for messages.

    Raises:
        SpecError: No such file, or no draws in it.
    """
    if path.suffix not in (".npy", ".nc"):
        raise SpecError(
            f"`{where}`: {path.name!r} is neither .npy nor .nc; open any other file in "
            "Python, and give its array to nnft_ppl.correlators_from_draws"
        )
    try:
        opened = (
            np.lib.format.open_memmap(path, mode="r")
            if path.suffix == ".npy"
            else xr.open_dataset(path, engine="h5netcdf")
        )
    except Exception as error:  # of damaged bytes libraries raise many kinds
        raise SpecError(f"`{where}`: cannot read {path.name!r}: {error}") from error
    if isinstance(opened, np.ndarray):
        yield opened
        return
    with opened as data:
        names = [str(name) for name, v in data.data_vars.items() if "draw" in v.dims]
        if _VALUES not in names and len(names) != 1:
            raise SpecError(
                f"`{where}`: {path.name!r} holds the variables {sorted(names)} with a "
                f"dimension `draw`; expected one, or one named {_VALUES!r}"
            )
        yield data[_VALUES if _VALUES in names else names[0]]
