"""How networks are trained: the method, its step, and when f is asked for."""

from dataclasses import dataclass

import numpy as np

from nnft_ppl._errors import SpecError

METHODS = ("gradient_flow", "gradient_descent", "langevin")
TRAINED = ("all", "readout")
MOST_STEPS = 2**31 - 1
"""From one time to the next: devices count in 32 bits."""


@dataclass(frozen=True)
class Plan:
    """What fixes training but for network and data.

    Attributes:
        method: One of `METHODS`.
        train: One of `TRAINED`.
        parametrization: `ntk` or `standard`.
        times: Ascending; numbers of steps for gradient descent, else t.
        learning_rate: η of gradient descent, h of Langevin dynamics at most; 0 for
            the flow, whose steps are its own, and for Langevin dynamics of the readout,
            which takes none.
        temperature: Of Langevin dynamics, else 0.
    """

    method: str
    train: str
    parametrization: str
    times: tuple[float, ...]
    learning_rate: float = 0.0
    temperature: float = 0.0

    @property
    def intervals(self) -> np.ndarray:
        """(time,) from each time to the next, from 0."""
        return np.diff(np.asarray(self.times), prepend=0.0)

    @property
    def steps(self) -> np.ndarray:
        """(time,) how many steps of that rate each interval takes.

        Raises:
            SpecError: There are more than can be counted.
        """
        if self.method == "gradient_descent":
            return self.intervals.astype(np.int32)
        if self.learning_rate:
            steps = np.ceil(self.intervals / self.learning_rate - 1e-9)
            if steps.max() > MOST_STEPS:
                raise SpecError(
                    f"`times` up to {self.times[-1]:g} take {steps.sum():.3g} steps of "
                    f"{self.learning_rate:.3g}; expected at most {MOST_STEPS:,} from "
                    "one time to the next: ask for earlier times"
                )
            return np.asarray(steps, np.int32)
        return np.zeros(len(self.times), np.int32)

    @property
    def sizes(self) -> np.ndarray:
        """(time,) how long a step of that rate is in each interval."""
        if self.method == "langevin":
            return np.asarray(self.intervals / np.maximum(self.steps, 1))
        return np.full(len(self.times), self.learning_rate)
