"""How couplings run: the local exponent of each coupling with the cutoff.

In: an action and a network. Out: d log|g| / d log Λ of the couplings that keep the
correlators fixed while the cutoff moves, the beta function divided by the coupling.
"""

import numpy as np
from jaxtyping import ArrayLike, Float

from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.integrals import BoxIntegrals


def local_exponent(
    action: Action, network: Network, x: ArrayLike, cutoffs: ArrayLike
) -> Float[np.ndarray, "cutoff operator"]:
    r"""Exponent d log|g| / d log Λ of each operator taken alone.

    .. math:: \frac{d \log|g|}{d \log Λ} = -\frac{d \log I}{d \log Λ}, \quad
        I^2 = \langle (\partial G^{(k)}_c/\partial g)^2 \rangle_{\text{entries}},

    with dI/dΛ the exact integrand at the boundary of the box, not a difference. With
    several operators in one fit the couplings mix and need not follow it.

    Args:
        action: The operators.
        network: Supplies the propagator.
        x: Distinct inputs (point, input_dim).
        cutoffs: Λ; at `math.inf`, where the integral converges, the exponent is 0.

    Raises:
        SpecError: An operator's integrals all vanish, or see `first_order`.
        UnavailableError: See `first_order`.

    Source: theory.md §5.
    """
    integrals = BoxIntegrals(network, x, cutoffs)
    columns = []
    for operator in action.operators:
        values = integrals.first_order(operator).values
        scale = np.abs(values).max(axis=1)
        if not (scale > 0).all():
            raise SpecError(
                f"operator {operator.name!r} has no effect at these inputs with "
                f"{network!r}; its coupling has no running"
            )
        relative = values / scale[:, None]  # squares of 1e200 would overflow
        slope = integrals.log_cutoff_derivative(operator) / scale[:, None]
        columns.append(-np.sum(relative * slope, axis=1) / np.sum(relative**2, axis=1))
    return np.stack(columns, axis=1)
