"""Data as a user gives them: inputs, targets, new inputs, checked and put together."""

import os
from dataclasses import dataclass

import numpy as np
from jaxtyping import ArrayLike, Float, Int

from nnft_ppl._arrays import real_numbers
from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Points
from nnft_ppl.ensemble.model import narrow_inputs

_BYTES_PER_WEIGHT = 32
"""Of memory at the peak, for every network, as measured with ten million of them."""


@dataclass(frozen=True, eq=False)
class Data:
    """Targets at inputs, and new inputs where the field is asked for.

    Attributes:
        x: Inputs, float64 (point, dim).
        y: Targets, float64 (point, output).
        x_new: New inputs, float64 (new, dim).
        has_output_axis: Whether the targets were given with an axis of outputs.
        points: The different inputs among all, float32 (different, dim): a network is
            drawn at these.
        rows: Which of them each input is.
        new_rows: Which of them each new input is.
    """

    x: Points
    y: Float[np.ndarray, "point output"]
    x_new: Points
    has_output_axis: bool
    points: Float[np.ndarray, "different dim"]
    rows: Int[np.ndarray, " point"]
    new_rows: Int[np.ndarray, " new"]

    @property
    def num_outputs(self) -> int:
        """How many."""
        return int(self.y.shape[1])


def checked_data(
    network: Network, x: ArrayLike, y: ArrayLike, x_new: ArrayLike
) -> Data:
    """Inputs and targets of one network.

    Raises:
        SpecError: Inputs are not those of the network, or targets not one finite
            number (or one for each output) for each input.
    """
    inputs, new = network.check_inputs(x), network.check_inputs(x_new)
    num_outputs = network.hyperparameters.output_dim
    shape = f"({len(inputs)},)" if num_outputs == 1 else ""
    shape += f"{' or ' if shape else ''}({len(inputs)}, {num_outputs})"
    targets = real_numbers("`y`", y, f"{shape}, one row an input")
    has_axis = targets.ndim == 2
    if targets.shape not in (
        (len(inputs), num_outputs),
        *([(len(inputs),)] if num_outputs == 1 else []),
    ):
        raise SpecError(
            f"`y` has shape {targets.shape}; expected {shape}, as there are "
            f"{len(inputs)} inputs and output_dim is {num_outputs}"
        )
    targets = targets.reshape(len(inputs), num_outputs)
    bad = np.flatnonzero(~np.isfinite(targets).all(axis=1))
    if bad.size:
        raise SpecError(
            f"`y` has {targets[bad[0]].tolist()} at input {bad[0]}; expected finite "
            "numbers: leave out inputs whose targets are not known"
        )
    points, rows = np.unique(
        narrow_inputs(np.concatenate([inputs, new])), axis=0, return_inverse=True
    )
    rows = rows.reshape(-1).astype(np.int32)
    return Data(
        inputs, targets, new, has_axis, points, rows[: len(inputs)], rows[len(inputs) :]
    )


def check_interpolation(data: Data, num_features: int) -> None:
    """Refuse targets without noise that no network, or not every one, could have.

    Raises:
        SpecError: Inputs are repeated, or there are more of them than features.
    """
    _, first, counts = np.unique(data.rows, return_index=True, return_counts=True)
    if (counts > 1).any():
        again = int(first[np.argmax(counts > 1)])
        raise SpecError(
            f"`noise_std` is 0 and the input {data.x[again].tolist()} is repeated "
            "(in float32, in which networks are sampled); give a noise > 0, or one "
            "target for each input"
        )
    if len(data.x) > num_features:
        raise SpecError(
            f"`noise_std` is 0 and there are {len(data.x)} targets; a network with "
            f"{num_features} features, the output bias included, cannot have them all: "
            "give a noise > 0, or a wider network"
        )


def bytes_per_network(data: Data, num_features: int) -> int:
    """Memory that one network takes while the field is conditioned on the data."""
    size = min(len(data.x), num_features)
    sides = len(data.x_new) + data.num_outputs
    rows = len(data.x) + len(data.x_new)
    numbers = rows * num_features + 2 * size * size + 3 * size * sides
    return 4 * len(data.points) * num_features + 8 * numbers


def check_memory(data: Data, num_features: int) -> None:
    """Refuse what no more than one network at a time would not make small enough.

    Raises:
        SpecError: One network takes more than this machine has.
    """
    there = _memory()
    needed = bytes_per_network(data, num_features)
    if needed > there:
        raise SpecError(
            f"{len(data.x)} data and {len(data.x_new)} new inputs of a network with "
            f"{num_features} features take {needed / 1e9:.3g} GB for one Cholesky "
            f"factor and its sides; this machine has {there / 1e9:.3g} GB: use fewer "
            "data, or new inputs in several calls"
        )


def check_weights(num_draws: int) -> None:
    """Refuse more networks than there is memory to smooth the weights of.

    Raises:
        SpecError: Their weights take more than this machine has.
    """
    needed, there = _BYTES_PER_WEIGHT * num_draws, _memory()
    if needed > there:
        raise SpecError(
            f"`num_draws` is {num_draws}: log weights take {8 * num_draws / 1e9:.3g} "
            f"GB, and {needed / 1e9:.3g} GB while they are smoothed; this machine has "
            f"{there / 1e9:.3g} GB: use fewer"
        )


def _memory() -> float:
    """Bytes that this machine has; infinite where it does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on every system
        return np.inf


def held_out_targets(network: Network, data: Data, y_new: ArrayLike) -> np.ndarray:
    """(new, output), checked.

    Raises:
        SpecError: They do not fit the new inputs.
    """
    try:
        return checked_data(network, data.x_new, y_new, data.x_new).y
    except SpecError as error:
        raise SpecError(str(error).replace("`y`", "`y_new`")) from error
