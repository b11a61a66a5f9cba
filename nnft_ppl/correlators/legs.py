"""Legs of a correlator: the outputs at the inputs."""

import jax
import numpy as np

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
