"""How couplings run: the theory's coupling of each operator, and its local exponent.

In: an action and a network. Out: g(Λ) up to a constant, and d log|g| / d log Λ, for
couplings that keep the correlators fixed while the cutoff moves, each operator taken
alone. With several at once they mix: `nnft_ppl.eft.flow.beta`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import ArrayLike, Float

from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl.correlators.symmetric import entry_size
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.integrals import Integrals

type PerOperator = Float[np.ndarray, "cutoff operator"]


@dataclass(frozen=True, eq=False)
class Response:
    """How the correlators answer to one coupling, ∂G^(k)_c/∂g = e^log_size · values.

    Attributes:
        values: (cutoff, entry) in natural units Π_i √K_W(x_i, x_i), the weighting of
            the fit, with root mean square 1 at every cutoff. Entries at inputs where
            the field vanishes are left out.
        slope: (cutoff, entry) d(∂G/∂g)/d log Λ in the same units.
        log_size: (cutoff,) log of the root mean square: the squares of integrals such
            as 10²⁰⁰ would overflow.
        error: (cutoff,) largest error of `values`, from the integrals.
    """

    values: Float[np.ndarray, "cutoff entry"]
    slope: Float[np.ndarray, "cutoff entry"]
    log_size: Float[np.ndarray, " cutoff"]
    error: Float[np.ndarray, " cutoff"]


def responses(
    action: Action, network: Network, x: ArrayLike, cutoffs: ArrayLike
) -> list[Response]:
    """The response to each operator of an action, in order.

    Raises:
        SpecError: An operator's integrals all vanish, or see `first_order`.
        UnavailableError: See `first_order`.
    """
    integrals = Integrals(network, x, cutoffs, action.measure)
    variance = np.diag(network.propagator(x))
    found = []
    for operator in action.operators:
        natural = entry_size(variance, operator.num_fields)
        alive = natural > 0  # where the field vanishes nothing responds
        natural = natural[alive] / natural.max(initial=0.0)
        first = integrals.first_order(operator)
        values = first.values[:, alive] / natural
        largest = np.abs(values).max(axis=1, keepdims=True, initial=0.0)
        if not (largest > 0).all():
            raise SpecError(
                f"operator {operator.name!r} has no effect at these inputs with "
                f"{network!r}; its coupling has no running"
            )
        mean = np.sqrt(np.mean((values / largest) ** 2, axis=1, keepdims=True))
        unit = largest * mean
        slope = integrals.log_cutoff_derivative(operator)[:, alive] / natural
        found.append(
            Response(
                values / unit,
                slope / unit,
                np.log(unit[:, 0]),
                (first.error[:, alive] / natural / unit).max(axis=1),
            )
        )
    return found


def local_exponent(
    action: Action, network: Network, x: ArrayLike, cutoffs: ArrayLike
) -> PerOperator:
    r"""Exponent d log|g| / d log Λ of each operator taken alone.

    .. math:: \frac{d \log|g|}{d \log Λ} = -\frac{d \log I}{d \log Λ}, \quad
        I^2 = \langle (\partial G^{(k)}_c/\partial g)^2 \rangle_{\text{entries}},

    with dI/dΛ the exact integrand at the boundary of the box, not a difference, and
    entries in the natural units Π_i √K_W(x_i, x_i) in which couplings are fitted. It is
    the beta function of that operator alone, divided by its coupling. With several
    operators in one fit the couplings mix and need not follow it (`beta_functions`).

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
    return _exponents(responses(action, network, x, cutoffs))


def running_alone(
    action: Action, network: Network, x: ArrayLike, cutoffs: ArrayLike
) -> tuple[PerOperator, PerOperator]:
    """Local exponents, and log|g| of the coupling that keeps its correlator fixed.

    g = 1/I of `local_exponent`, the constant left out: differences of its logarithm are
    the exponents averaged over the interval, ∫ (d log|g|/d log Λ) d log Λ, which is
    what couplings fitted at two cutoffs are to be compared with.

    Args and Raises: see `local_exponent`.
    """
    found = responses(action, network, x, cutoffs)
    return _exponents(found), -np.stack([one.log_size for one in found], axis=1)


def _exponents(found: list[Response]) -> PerOperator:
    # values have mean square 1
    return np.stack([-np.mean(one.values * one.slope, axis=1) for one in found], axis=1)
