"""Data of a regression as files give them: checked, held out, standardised.

In: inputs, targets, and new inputs or a share of rows to hold out. Out: `DataSet`, in
the numbers that a network is to see, which knows the units of the user.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import ArrayLike, Float

from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Points
from nnft_ppl.bayes.data import checked_data, held_out_targets


@dataclass(frozen=True, eq=False)
class Standard:
    """Mean and standard deviation of every column of the training data.

    Attributes:
        input_mean: (dim,).
        input_std: (dim,), > 0.
        target_mean: (output,).
        target_std: (output,), > 0.
    """

    input_mean: Float[np.ndarray, " dim"]
    input_std: Float[np.ndarray, " dim"]
    target_mean: Float[np.ndarray, " output"]
    target_std: Float[np.ndarray, " output"]

    @classmethod
    def of(cls, x: Points, y: Float[np.ndarray, "point output"]) -> Self:
        """Of inputs and targets.

        Raises:
            SpecError: A column is the same in every row.
        """
        means, stds = [], []
        for name, values in (("inputs", x), ("targets", y)):
            mean, std = values.mean(axis=0), values.std(axis=0)
            same = np.flatnonzero(std <= 1e-12 * np.abs(mean))
            if same.size:
                raise SpecError(
                    f"column {same[0]} of the {name} is {mean[same[0]]:g} in all "
                    f"{len(values)} rows, and cannot be standardised: leave it out"
                )
            means.append(mean)
            stds.append(std)
        return cls(means[0], stds[0], means[1], stds[1])

    def inputs(self, x: Points) -> Points:
        """Inputs as the network sees them."""
        return np.asarray((x - self.input_mean) / self.input_std)

    def targets(self, y: np.ndarray) -> np.ndarray:
        """Targets, (…, output), as the network gives them."""
        return np.asarray((y - self.target_mean) / self.target_std)

    def inputs_back(self, x: Points) -> Points:
        """Inputs in the units of the user."""
        return np.asarray(x * self.input_std + self.input_mean)

    def targets_back(self, y: np.ndarray) -> np.ndarray:
        """Targets or a field, (…, output), in the units of the user."""
        return np.asarray(y * self.target_std + self.target_mean)

    def record(self) -> dict[str, list[float]]:
        """As JSON values."""
        return {name: value.tolist() for name, value in vars(self).items()}

    @classmethod
    def from_record(cls, record: dict[str, list[float]]) -> Self:
        """What `record` was made of."""
        return cls(**{name: np.array(value) for name, value in record.items()})


@dataclass(frozen=True, eq=False)
class DataSet:
    """Data to condition networks on, and inputs to predict at.

    Attributes:
        x: Inputs (point, dim).
        y: Targets (point, output), or (point,) where there is one.
        x_new: New inputs (new, dim).
        y_new: Targets there, in the shape of `y`, held out; or `None`.
        standard: What inputs and targets were standardised by; `None` where they are
            as given.
    """

    x: Points
    y: np.ndarray
    x_new: Points
    y_new: np.ndarray | None
    standard: Standard | None

    @staticmethod
    def checked(
        network: Network,
        x: ArrayLike,
        y: ArrayLike,
        x_new: ArrayLike,
        y_new: ArrayLike | None = None,
        *,
        standardise: bool = False,
    ) -> "DataSet":
        """Of a network.

        Args:
            network: That is to be conditioned.
            x: Inputs.
            y: Targets, one row an input.
            x_new: New inputs.
            y_new: Targets there, or `None`.
            standardise: Take mean and standard deviation of every column of inputs and
                targets, of `x` and `y` alone, to 0 and 1, and new ones along.

        Raises:
            SpecError: They are not those of the network, or no finite numbers, or a
                column to be standardised is constant.
        """
        data = checked_data(network, x, y, x_new)
        inputs, targets, new = data.x, data.y, data.x_new
        held_out = None if y_new is None else held_out_targets(network, data, y_new)
        standard = None
        if standardise:
            standard = Standard.of(inputs, targets)
            inputs, new = standard.inputs(inputs), standard.inputs(new)
            targets = standard.targets(targets)
            held_out = None if held_out is None else standard.targets(held_out)
        if targets.shape[1] == 1:
            targets = targets[:, 0]
            held_out = None if held_out is None else held_out[:, 0]
        return DataSet(inputs, targets, new, held_out, standard)


def held_out_rows(number: int, share: float, seed: int) -> tuple[np.ndarray, ...]:
    """Rows to learn from and rows held out, both ascending.

    Args:
        number: Of rows.
        share: Of them that is held out, rounded to a whole number; from 1 on how many.
        seed: Of NumPy's generator, which permutes them.

    Raises:
        SpecError: No row is left on one side.
    """
    count = round(share if share >= 1 else share * number)
    if not 0 < count < number:
        raise SpecError(
            f"{share:g} of {number} rows is {count}; expected a share, or a number, "
            "that leaves rows both to learn from and to hold out"
        )
    order = np.random.default_rng(seed).permutation(number)
    return np.sort(order[count:]), np.sort(order[:count])
