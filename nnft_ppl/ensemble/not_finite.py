"""Networks that give no numbers: how many there are and which is the first."""

import numpy as np
from jaxtyping import Bool

from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network


class NotFiniteError(SpecError):
    """Some networks give NaN or infinity, so that averages over them do."""


class NotFiniteWarning(UserWarning):
    """Some draws of an ensemble hold NaN or infinity."""


def which_are_not_finite(values: np.ndarray) -> Bool[np.ndarray, " draw"]:
    """Which draws hold a number that is not finite; draws along the first axis."""
    finite = np.isfinite(values)
    return ~finite.reshape(len(values), -1).all(axis=1)


def not_finite(network: Network, bad: Bool[np.ndarray, " draw"], start: int = 0) -> str:
    """What to say of networks of which at least one is bad.

    Args:
        network: What was drawn.
        bad: Which are.
        start: Number of the first of them.
    """
    first, last = start + int(np.argmax(bad)), start + len(bad) - 1
    return (
        f"{np.count_nonzero(bad)} of the networks {start} to {last} give NaN, or "
        f"numbers too large for float32; the first of them is network {first} "
        f"({network!r}). More networks will not help: mend the function (a logarithm "
        "or root below 0, 0/0), or use smaller inputs or weights"
    )
