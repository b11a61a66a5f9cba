"""`ensemble.orders`: which correlators a study measures, and which its actions need.

Even orders up to the 6-pt function, which the page compares, are always there. Where
one is odd, or f and −f are not known to be alike, all orders are.
"""

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Points
from nnft_ppl.correlators.orders import (
    check_odd_orders,
    check_orders,
    odd_orders_vanish,
    order_vanishes,
)
from nnft_ppl.correlators.readout_weights import weight_moments
from nnft_ppl.correlators.sampled.estimators import PLAIN
from nnft_ppl.eft.action import Action
from nnft_ppl.study import _tables as kinds
from nnft_ppl.study._tables import Table, at

EVEN = (2, 4, 6)
"""Where odd correlators vanish."""
ALL = (1, 2, 3, 4, 5, 6)
"""Of draws and of networks of which no symmetry is known."""


def orders_of_networks(
    table: Table, network: Network, points: Points | None
) -> tuple[int, ...]:
    """The orders that are measured of networks.

    Args:
        table: [ensemble].
        network: What is drawn.
        points: Inputs, or `None` where nothing is measured.

    Raises:
        SpecError: There is no such order, or there are too many entries.
        UnavailableError: Even orders alone, of a network whose odd ones may not vanish;
            or an order of which the output weights have no moment.
    """
    orders = _orders(table, EVEN if odd_orders_vanish(network) else ALL, points)
    at(table.path("orders"), lambda: check_odd_orders(network, orders))
    if points is not None:
        at(table.path("orders"), lambda: _check_moments(network, orders))
    return orders


def _check_moments(network: Network, orders: tuple[int, ...]) -> None:
    """Every order exists at finite width; leaving one out is no way here."""
    for order in orders:
        try:
            weight_moments(network, order)
        except UnavailableError as error:
            raise UnavailableError(
                f"a study measures all orders up to {EVEN[-1]}, and the output weights "
                f"of {network.name!r} have no moment of order {order}; give them "
                "lighter tails, or use the commands correlators, fit and width, which "
                "do with lower orders"
            ) from error


def orders_of_draws(table: Table, points: Points) -> tuple[int, ...]:
    """The orders that are measured of draws; see `orders_of_networks`."""
    return _orders(table, ALL, points)


def _orders(
    table: Table, usual: tuple[int, ...], points: Points | None
) -> tuple[int, ...]:
    wanted = table.take("orders", kinds.Many(kinds.WHOLE), usual)
    number = 1 if points is None else len(points)
    return at(table.path("orders"), lambda: check_orders((*wanted, EVEN[-1]), number))


def check_actions(
    table: Table,
    action: Action,
    candidates: tuple[Action, ...],
    network: Network | None,
    orders: tuple[int, ...],
    estimator: str,
) -> None:
    """Refuse actions with an operator of whose order there will be no data.

    Args:
        table: [eft].
        action: What is to be fitted.
        candidates: What is compared.
        network: What is drawn; `None` where draws are given.
        orders: Of the correlators.
        estimator: By which they are measured, or `exact`.

    Raises:
        SpecError: The order is not measured, or vanishes by a symmetry.
    """
    for key, one in [("operators", action), *(("candidates", c) for c in candidates)]:
        missing = [k for k in one.orders if k not in orders]
        if missing:
            raise SpecError(
                f"`{table.path(key)}` are {list(one.names)}, fitted to the connected "
                f"correlators of orders {list(one.orders)}, but `ensemble.orders` are "
                f"{list(orders)}; add {missing}"
            )
        if network is None or estimator == PLAIN.name:
            continue
        zero = [k for k in one.orders if order_vanishes(network, k)]
        if zero:
            raise SpecError(
                f"`{table.path(key)}` are {list(one.names)}, but the connected "
                f"correlators of order {zero} of {network.name!r} vanish by its "
                "symmetry, so that there is no such coupling; leave the operator out, "
                "or take a network without the symmetry"
            )
