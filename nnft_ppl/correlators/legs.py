"""Legs of a correlator: the outputs at the inputs."""

import jax
import numpy as np

from nnft_ppl._errors import SpecError
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.symmetric import entries, positions


def over_outputs[A: (jax.Array, np.ndarray)](
    packed: A, num_points: int, num_outputs: int, order: int
) -> A:
    """A tensor over inputs as one over legs: zero unless all are of one output.

    Entries come first; other axes are carried along.
    """
    if num_outputs == 1:
        return packed
    points, outputs = np.divmod(entries(num_points * num_outputs, order), num_outputs)
    same = (outputs == outputs[:, :1]).all(axis=1)
    trailing = (slice(None),) + (None,) * (packed.ndim - 1)
    spread: A = packed[positions(num_points, points)] * same[trailing]
    return spread


def check_single_output(correlators: Correlators) -> None:
    """Raise SpecError unless the correlators are of one output."""
    if correlators.num_outputs != 1:
        raise SpecError(
            f"the correlators are of {correlators.num_outputs} outputs; couplings are "
            "fitted to one output: build the network with output_dim=1, or take "
            "correlators.for_output(0)"
        )
