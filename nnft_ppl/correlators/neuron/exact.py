"""Exact correlators of networks of independent neurons: the public call.

In: a `Network` and inputs. Out: `Correlators`. Every check comes before any work.
"""

import numpy as np
from jaxtyping import ArrayLike

from nnft_ppl._network import Network
from nnft_ppl.correlators.correlators import Correlators, check_orders
from nnft_ppl.correlators.neuron.cumulants import exact_cumulants


def exact_correlators(
    network: Network, x: ArrayLike, orders: tuple[int, ...] = (2, 4)
) -> Correlators:
    """Exact correlators of a net with i.i.d. hidden neurons (theory.md §2).

    Args:
        network: Must supply a neuron.
        x: Inputs (point, input_dim), finite and distinct.
        orders: Among 2, 4, 6, 8; lower even ones are added.

    Returns:
        `Correlators` without sampling error; `connected_error` is the quadrature's
        bound on its own error.

    Raises:
        UnavailableError: The architecture gives no neuron, or the output weights lack a
            moment of the highest order.
        SpecError: Inputs or orders are unusable.
    """
    points = network.check_inputs(x, distinct=True)
    orders = check_orders(orders, len(points), network.hyperparameters.output_dim)
    connected, error = exact_cumulants(network, points, orders)
    return Correlators(
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
