"""Which orders of correlators there are: those asked for, and those that vanish."""

from collections.abc import Iterable

from nnft_ppl._arguments import is_whole
from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl.correlators.partitions import MAX_ORDER
from nnft_ppl.correlators.symmetric import num_entries

MAX_ENTRIES = 20_000
"""Joint covariances beyond this would take more than 3 GB."""


def check_orders(
    orders: int | Iterable[int], num_points: int, num_outputs: int = 1
) -> tuple[int, ...]:
    """All orders from 1 to the largest asked for, or all even ones if only such are.

    The lower ones are needed to go between connected and full correlators. To ask for
    even ones alone says that the odd ones vanish.

    Raises:
        SpecError: An order is below 1 or above `MAX_ORDER`, or there are too many
            entries.
    """
    allowed = range(1, MAX_ORDER + 1)
    choice = ", ".join(map(str, allowed))
    wanted = (orders,) if isinstance(orders, int) else tuple(orders or ())
    for order in wanted:
        if not is_whole(order) or order not in allowed:
            raise SpecError(
                f"order {order!r} in `orders` is not supported; choose among {choice}"
            )
    if not wanted:
        raise SpecError(f"`orders` is empty; choose among {choice}")
    has_odd = any(order % 2 for order in wanted)
    complete = tuple(range(1, max(2, *wanted) + 1))
    complete = complete if has_odd else complete[1::2]
    total = sum(num_entries(num_points * num_outputs, k) for k in complete)
    if total > MAX_ENTRIES:
        legs = f" with {num_outputs} outputs each" if num_outputs > 1 else ""
        raise SpecError(
            f"{num_points} inputs{legs} have {total} correlator entries up to order "
            f"{max(wanted)}; the limit is {MAX_ENTRIES}: use fewer inputs or orders"
        )
    return complete


def check_odd_orders(network: Network, orders: tuple[int, ...]) -> None:
    """Refuse even orders alone, where odd correlators may not vanish.

    Raises:
        UnavailableError: They may not.
    """
    if 1 not in orders and not odd_orders_vanish(network):
        raise UnavailableError(
            f"architecture {network.name!r} has neither a symmetric linear readout "
            "nor the symmetry 'sign'; its odd correlators may not vanish, as even "
            "orders alone assume; ask for odd ones too, as in orders=(1, 2, 3, 4)"
        )


def odd_orders_vanish(network: Network) -> bool:
    """Whether f and −f are alike: by the last layer, or as the architecture says."""
    return order_vanishes(network, 1) and order_vanishes(network, 3)


def usual_orders(network: Network) -> tuple[int, ...]:
    """Those measured where nothing is said: up to 4, odd ones where they may be."""
    return (2, 4) if odd_orders_vanish(network) else (1, 2, 3, 4)


def order_vanishes(network: Network, order: int) -> bool:
    """Whether the connected correlator of an order is zero by a symmetry.

    Of symmetric output weights odd ones are, but for the mean, which is the bias's.
    """
    if order % 2 == 0:
        return False
    readout = network.readout()
    if readout is None:
        return "sign" in network.architecture.symmetries
    return readout.odd_weight_moment is None and (order > 1 or readout.bias_mean == 0)
