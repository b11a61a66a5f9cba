"""Three routes from random networks to connected correlators, one a file.

Where the 2-pt function is known exactly it is the reference of `conditional` and
`wick`, which are then unbiased. Elsewhere the reference serves the precision of float32
alone: the kernel of infinite width, or a measured one. See `connected.py` for what is
then done.
"""

from nnft_ppl._arguments import check_choice
from nnft_ppl._errors import UnavailableError
from nnft_ppl._network import Network
from nnft_ppl.correlators.orders import check_odd_orders
from nnft_ppl.correlators.sampled.estimators.conditional import Conditional
from nnft_ppl.correlators.sampled.estimators.estimator import (
    BiasCorrection,
    Estimator,
    Inputs,
)
from nnft_ppl.correlators.sampled.estimators.moments import Moments
from nnft_ppl.correlators.sampled.estimators.wick import Wick

__all__ = [
    "ESTIMATORS",
    "PLAIN",
    "BiasCorrection",
    "Estimator",
    "Inputs",
    "choose_estimator",
]

PLAIN = Moments()
"""The route that the literature takes, beside which a study shows its own."""
ESTIMATORS: dict[str, Estimator] = {
    estimator.name: estimator for estimator in (Conditional(), Wick(), PLAIN)
}
"""Name -> estimator; a new one is a file here and a word in this line."""


def choose_estimator(
    network: Network, name: str, orders: tuple[int, ...] = (2,)
) -> Estimator:
    """Resolve `auto`: the first that serves; and refuse what this network cannot do.

    Args:
        network: What is drawn.
        name: As users write it.
        orders: From `check_orders`.

    Raises:
        SpecError: No such estimator.
        UnavailableError: The network lacks what the estimator needs.
    """
    check_choice("estimator", name, ("auto", *ESTIMATORS))
    asked = ESTIMATORS.get(name)
    if asked is not None and not asked.serves(network):
        serving = (name for name, one in ESTIMATORS.items() if one.serves(network))
        others = " or ".join(map(repr, serving))
        raise UnavailableError(
            f"architecture {network.name!r} has no {asked.needs} here, which the "
            f"{asked.name} estimator needs; use estimator={others}"
        )
    check_odd_orders(network, orders)
    if asked is not None:
        return asked
    return next(one for one in ESTIMATORS.values() if one.serves(network))
