"""Products of propagators at one integration point, for every choice of legs at once.

A diagram hangs external legs, plain or differentiated, on an integration point. The
product of their propagators depends on which inputs the legs are; legs on one slot are
interchangeable, so only packed combinations are tabulated. An open leg stands for the
features of a factorised propagator instead of an input (`nnft_ppl.eft.trees`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from nnft_ppl._typing import Matrix
from nnft_ppl.correlators.symmetric import entries, num_entries, positions
from nnft_ppl.eft.integration.nodes import Nodes

type Table = Float[np.ndarray, "row node"]


@dataclass(frozen=True)
class Group:
    """Legs on one slot.

    Args:
        direction: 0 for K, a for ∂_a K.
        num_legs: How many.
        is_open: Whether the legs are open instead of at inputs.
    """

    direction: int
    num_legs: int
    is_open: bool = False


@dataclass(frozen=True, eq=False)
class Sources:
    """What legs can be: inputs, which come first in a node's tables, or features.

    Args:
        num_points: Number of inputs.
        mixing: (feature, inducing point): features = mixing · K(inducing points, y),
            the inducing points behind the inputs in the tables; no rows without open
            legs.
    """

    num_points: int
    mixing: Matrix

    def count(self, group: Group) -> int:
        """Number of choices of the legs of a group."""
        number = len(self.mixing) if group.is_open else self.num_points
        return num_entries(number, group.num_legs)

    def values(self, nodes: Nodes, group: Group) -> Table:
        """(source, node) propagator or its derivative for one leg of a group."""
        n = self.num_points
        table = (
            nodes.gradient[:, group.direction - 1]
            if group.direction
            else nodes.propagator
        )
        return np.asarray(self.mixing @ table[n:] if group.is_open else table[:n])


def row_products(nodes: Nodes, groups: tuple[Group, ...], sources: Sources) -> Table:
    """Product of propagators for every choice of legs, groups varying last to first."""
    product = np.ones((1, len(nodes.weight)))
    for number, group in enumerate(groups):
        table = values = sources.values(nodes, group)
        if group.num_legs != 1:
            index = entries(len(values), group.num_legs)
            table = np.ones((len(index), values.shape[1]))
            for leg in range(group.num_legs):
                table *= values[index[:, leg]]
        if number:
            table = (product[:, None] * table).reshape(-1, values.shape[1])
        product = table
    return product


def row_numbers(
    legs: list[Int[np.ndarray, "entry leg"]],
    groups: tuple[Group, ...],
    sources: Sources,
) -> Int[np.ndarray, " entry"]:
    """Row of `row_products` for given legs, per group (entry, its number of legs).

    An open group takes no legs: the rows are those of its first feature, and the other
    features follow with stride one if the group is the last.
    """
    number = np.zeros(1, dtype=np.int64)
    for indices, group in zip(legs, groups, strict=True):
        number = number * sources.count(group)
        if not group.is_open:
            number = number + positions(sources.num_points, indices)
    return number
