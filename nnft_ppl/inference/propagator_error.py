"""What an error of the propagator does to fitted couplings.

In: an expansion, which holds the relative error of the propagator in its integrals.
Out: a relative error of each coupling, a refusal where it is too large, and draws that
carry it. Whether the kernel is a quadrature with a bound on its error or was measured
makes no difference.

A coupling of k fields multiplies an integral over products of k propagators, so that an
error ε common to them shifts it by kε. The error is one factor on all entries: as noise
of the data it would be averaged down, and let the entries' differences decide.
"""

import jax
import numpy as np
from jaxtyping import Float

from nnft_ppl._errors import FitError
from nnft_ppl._typing import Key
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.expansion import Expansion

type PerCoupling = Float[np.ndarray, "cutoff operator"]

MAX_COUPLING_ERROR = 0.1
"""Relative, from the kernel alone; beyond it a fit is refused."""
_NEGLIGIBLE = 1e-9
"""What exact correlators are granted, too."""


def error_from_kernel(
    expansion: Expansion, action: Action, cutoffs: tuple[float, ...]
) -> PerCoupling:
    """Relative error of each coupling that the kernel's error makes.

    Raises:
        FitError: It is above `MAX_COUPLING_ERROR`.
    """
    legs = np.array([operator.num_fields for operator in action.operators])
    error = np.asarray(expansion.propagator_error[:, None] * legs)
    if not error.max() <= MAX_COUPLING_ERROR:
        cutoff, operator = np.unravel_index(int(np.argmax(error)), error.shape)
        raise FitError(
            "the kernel is known to a relative "
            f"{expansion.propagator_error[cutoff]:.1e} within cutoff "
            f"{cutoffs[cutoff]:g} (`Network.kernel_error`), which makes coupling "
            f"{action.names[operator]!r} uncertain by {error[cutoff, operator]:.1e} of "
            f"itself; expected at most {MAX_COUPLING_ERROR:g}: scale the inputs down, "
            "take a smaller cutoff, or give the activation in closed form (`dual`)"
        )
    return error


def widened(
    couplings: Float[np.ndarray, "chain draw cutoff operator"],
    error: PerCoupling | float,
    key: Key,
) -> Float[np.ndarray, "chain draw cutoff operator"]:
    """Draws of couplings with the kernel's relative error, independent per cutoff."""
    if np.max(error) <= _NEGLIGIBLE:
        return couplings
    rng = np.random.default_rng([int(word) for word in jax.random.key_data(key)])
    factor = rng.standard_normal((*couplings.shape[:-1], 1))
    return np.asarray(couplings * (1 + error * factor))
