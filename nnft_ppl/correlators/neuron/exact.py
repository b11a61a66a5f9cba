"""Exact correlators of networks of independent neurons: the public call.

In: a `Network` and inputs. Out: `Correlators`. Every check comes before any work, and
what arithmetic in double precision leaves unknown is said.
"""

import warnings

import numpy as np
from jaxtyping import ArrayLike

from nnft_ppl._network import Network
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.neuron.cumulants import exact_cumulants
from nnft_ppl.correlators.orders import check_odd_orders, check_orders
from nnft_ppl.correlators.sizes import check_sizes
from nnft_ppl.correlators.symmetric import positions

_RESOLVED = 1e-3
"""An error below this share of the entry's natural size leaves it known, be it 0 by a
symmetry."""

_NEGLIGIBLE = 1e-9
"""So does one below this share of what the Gaussian process has at this order."""


class UnresolvedWarning(UserWarning):
    """Entries of exact correlators are not known: their error exceeds their value."""


def exact_correlators(
    network: Network, x: ArrayLike, orders: tuple[int, ...] = (2, 4)
) -> Correlators:
    """Exact correlators of a net with i.i.d. hidden neurons (theory.md §2).

    Args:
        network: Must supply a neuron.
        x: Inputs (point, input_dim), finite and distinct.
        orders: From 1 to 8; lower even ones are added and, where odd ones are asked
            for, lower odd ones.

    Returns:
        `Correlators` without sampling error; `connected_error` is the quadrature's
        bound on its own error.

    Raises:
        UnavailableError: The architecture gives no neuron, the output weights lack a
            moment of the highest order, or odd orders do not vanish and are not asked
            for.
        SpecError: Inputs or orders are unusable.

    Warns:
        UnresolvedWarning: The error bound of some entries is as large as their value,
            and neither 10⁻³ of Π_i |G_c(x_i, …, x_i)|^{1/k} nor 10⁻⁹ of
            Π_i G2(x_i, x_i)^{1/2}: nothing but the bound is known of them.
    """
    points = network.check_inputs(x, distinct=True)
    orders = check_orders(orders, len(points), network.hyperparameters.output_dim)
    check_odd_orders(network, orders)
    if network.has_kernel:
        sizes = np.sqrt(np.diag(network.kernel(points)))
        check_sizes(network, sizes, max(orders), sampled=False)
    connected, error = exact_cumulants(network, points, orders)
    found = Correlators(
        network=network,
        x=points,
        orders=orders,
        estimator="exact",
        num_draws=0,
        connected_values=connected,
        joint_covariance=np.zeros((0, 0)),
        numerical_error=error,
        effective_batches={},
        num_batches=0,
    )
    for order in orders:
        _tell_unresolved(found, order)
    return found


def _tell_unresolved(correlators: Correlators, order: int) -> None:
    """Warn of entries of which no digit is known."""
    value, error = correlators.connected(order), correlators.connected_error(order)
    legs = correlators.entries(order)

    def alone(k: int) -> np.ndarray:
        """Π over the legs of |G_c^(k)|^{1/k} at that leg alone, (entry,)."""
        at = np.repeat(np.arange(correlators.num_legs)[:, None], k, axis=1)
        own = correlators.connected(k)[positions(correlators.num_legs, at)]
        return np.asarray((np.abs(own) ** (1 / k))[legs].prod(axis=1))

    least = np.maximum(_RESOLVED * alone(order), _NEGLIGIBLE * alone(2))
    unknown = (error >= np.abs(value)) & (error >= least) & (error > 0)
    if not unknown.any():
        return
    worst = int(np.argmax(np.where(unknown, error, -1.0)))
    warnings.warn(
        f"{unknown.sum()} of {len(value)} entries of the connected {order}-pt function "
        "are not known: the bound on their error exceeds their value. Largest at legs "
        f"{tuple(legs[worst].tolist())}: {value[worst]:.3g} ± {error[worst]:.2g}. "
        "Take them for 0 within that bound (`connected_error`), or use inputs or "
        "weights of another size: preactivations that are not so large where the "
        "activation is steep, not so small where it is constant",
        UnresolvedWarning,
        stacklevel=3,
    )
