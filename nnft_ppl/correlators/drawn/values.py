"""Draws from anywhere, read in blocks and checked.

In: whatever has a shape, a type and slices: an array, a memory map, a variable of
netCDF, HDF5 or zarr, of xarray or Dask. Out: `Values`, which gives a few draws at a
time, leg by leg in float64. Nothing is read before it is wanted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float

from nnft_ppl._arrays import is_real, real_array
from nnft_ppl._errors import SpecError

_NAMES = ("chain", "draw", "point", "output")


@dataclass(frozen=True, eq=False)
class Values:
    """Draws that are read when they are wanted.

    Attributes:
        source: What is sliced; its axes are draw, point and, where there are some,
            output, with a chain in front where there are chains.
        has_chains: Whether the first axis counts chains.
        has_outputs: Whether the last axis counts outputs.
    """

    source: Any
    has_chains: bool
    has_outputs: bool

    @staticmethod
    def of(given: object, *, chains: bool, num_points: int) -> "Values":
        """Draws as a user gives them, their shape and type checked.

        Args:
            given: See `correlators_from_draws`.
            chains: Whether the first axis counts chains.
            num_points: Inputs there are.

        Raises:
            SpecError: A shape that does not fit, or no real numbers.
        """
        if isinstance(given, xr.DataArray) and "draw" in given.dims:
            unknown = set(given.dims) - set(_NAMES)
            if unknown or "point" not in given.dims:
                raise SpecError(
                    f"`values` have the dimensions {given.dims}; expected draw and "
                    "point, and no others than chain and output"
                )
            given = given.transpose(*(n for n in _NAMES if n in given.dims))
            chains = chains or "chain" in given.dims
        axes = "(chain, draw, point[, output])" if chains else "(draw, point[, output])"
        if not all(hasattr(given, name) for name in ("shape", "dtype", "__getitem__")):
            given = real_array("`values`", given, axes)
        source: Any = given
        try:
            dtype = np.dtype(source.dtype)
        except TypeError:  # of another framework
            source = real_array("`values`", given, axes)
            dtype = source.dtype
        if not is_real(dtype):
            real_array("`values`", np.empty(0, dtype), axes)  # refuses
        shape = tuple(source.shape)
        fewest = 3 if chains else 2
        if len(shape) not in (fewest, fewest + 1) or 0 in shape:
            raise SpecError(
                f"`values` have shape {shape}; expected {axes}, with chains in front "
                "where chains=True"
            )
        found = Values(source, chains, len(shape) == fewest + 1)
        if found.num_points != num_points:
            hint = ""
            if not chains and len(shape) == 3 and shape[2] == num_points:
                hint = ": if the first axis counts chains, say so (chains)"
            elif not chains and shape[0] == num_points:
                hint = ": draws come first, so give their transpose"
            raise SpecError(
                f"`values` have shape {shape}, {axes}, of {found.num_points} inputs, "
                f"and `x` has {num_points}{hint}"
            )
        return found

    @property
    def num_chains(self) -> int:
        """Chains; one where there are none."""
        return int(self.source.shape[0]) if self.has_chains else 1

    @property
    def length(self) -> int:
        """Draws of a chain."""
        return int(self.source.shape[1 if self.has_chains else 0])

    @property
    def num_draws(self) -> int:
        """Draws of all chains."""
        return self.num_chains * self.length

    @property
    def num_points(self) -> int:
        """Inputs."""
        return int(self.source.shape[-2 if self.has_outputs else -1])

    @property
    def num_outputs(self) -> int:
        """Outputs at an input."""
        return int(self.source.shape[-1]) if self.has_outputs else 1

    def blocks(self, chain: int, size: int) -> Iterator[Float[np.ndarray, "draw leg"]]:
        """The draws of a chain, `size` at a time, float64.

        Raises:
            SpecError: One is masked or not finite, which is named.
        """
        for start in range(0, self.length, size):
            stop = min(start + size, self.length)
            yield self._read(chain, start, stop)

    def _read(self, chain: int, start: int, stop: int) -> np.ndarray:
        there = (chain, slice(start, stop)) if self.has_chains else slice(start, stop)
        part = self.source[there]
        if isinstance(part, xr.DataArray):
            part = part.to_numpy()
        masked = np.ma.getmaskarray(part) if np.ma.isMaskedArray(part) else None
        with np.errstate(over="ignore", invalid="ignore"):
            block = np.asarray(part).astype(np.float64)
        bad = ~np.isfinite(block) if masked is None else ~np.isfinite(block) | masked
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            index = (start + first[0], *first[1:])
            if self.has_chains:
                index = (chain, *index)
            hidden = masked is not None and masked[first]
            raise SpecError(
                f"`values` hold {'a masked entry' if hidden else block[first]} at "
                f"{list(index)}; expected finite numbers: leave out such draws"
            )
        return block.reshape(len(block), -1)
