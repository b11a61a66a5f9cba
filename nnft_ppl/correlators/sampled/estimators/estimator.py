"""What an estimator is: a route from random networks to connected correlators.

It says what every network contributes, before products are taken and averaged, against
which reference, and what the averages mean (theory.md §3). Estimators are values
without state: programs that are compiled for one are found again.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import jax
from jaxtyping import Float

from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Packed, Params
from nnft_ppl.correlators.symmetric import num_entries

type BiasCorrection = Literal["linear", "k-statistics", "covariance", "plain"]
"""How the bias of products of averages is undone: see `connected_estimate`."""


class Inputs(NamedTuple):
    """Where the field is taken, and in which units; float32.

    Attributes:
        points: (point, dim).
        per_leg: (leg,) the field at each leg is multiplied by it, so that float32 holds
            6-pt products of inputs on any scale; alike for the outputs at one input.
        kernel: (entry,) packed reference kernel of the scaled field, over legs.
        factor: (point, rank) of the preactivations' covariance, where networks are
            drawn from those; else (point, 0).
        mean: (leg,) reference mean of the scaled field, taken off; `None` for zero.
    """

    points: Float[jax.Array, "point dim"]
    per_leg: Float[jax.Array, " leg"]
    kernel: Float[jax.Array, " entry"]
    factor: Float[jax.Array, "point rank"]
    mean: Float[jax.Array, " leg"] | None = None


@dataclass(frozen=True)
class Estimator(ABC):
    """One route.

    Attributes:
        name: As users write it.
        label: Of its points in a figure.
        caption: What the page says of them.
        needs: What a network must have that not every one has; empty where nothing.
        draws_outputs: A network contributes its outputs, leg by leg; else packed
            cumulants of the field given the features.
        takes_off_mean: What it contributes is relative to a mean, where there is one.
        leaves_out_bias: The output bias is in neither draws nor reference.
        shows_background: A figure shows what noise alone does to one entry.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    caption: ClassVar[str]
    needs: ClassVar[str] = ""
    draws_outputs: ClassVar[bool] = True
    leaves_out_bias: ClassVar[bool] = False
    takes_off_mean: ClassVar[bool] = True
    shows_background: ClassVar[bool] = False

    def serves(self, network: Network) -> bool:
        """Whether the network has what it needs."""
        return True

    def drawn_orders(
        self, network: Network, orders: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Orders of the cumulants of the field given the features that are drawn."""
        return (2,)

    def num_rows(self, network: Network, num_legs: int, orders: tuple[int, ...]) -> int:
        """Numbers that a network contributes."""
        if self.draws_outputs:
            return num_legs
        return sum(num_entries(num_legs, k) for k in self.drawn_orders(network, orders))

    @abstractmethod
    def of_network(
        self, network: Network, orders: tuple[int, ...], inputs: Inputs
    ) -> Callable[[Params], Float[jax.Array, " row"]]:
        """Parameters of one network -> what it contributes, in scaled units.

        Args:
            network: What is drawn.
            orders: From `drawn_orders`.
            inputs: Where, and in which units.
        """

    def of_neurons(
        self, draws: Float[jax.Array, "row draw"], network: Network, inputs: Inputs
    ) -> Float[jax.Array, "row draw"]:
        """The same from `neuron_draws`, which leave the reference in."""
        return draws

    def reference(self, kernel: Packed) -> Packed:
        """The 2-pt function that the averages are relative to."""
        return kernel

    @abstractmethod
    def bias_correction(self, network: Network, *, exact: bool) -> BiasCorrection:
        """How the bias of products of averages is undone.

        Args:
            network: What was drawn.
            exact: The reference is the 2-pt function at this width.
        """

    def reordered(
        self, kernel: Packed, num_legs: int, orders: tuple[int, ...]
    ) -> tuple[Matrix, Packed] | None:
        """Matrix and constant that take means of products to those wanted, if any."""
        return None

    def cancellation(self, spread: float) -> float:
        """How much larger than what is multiplied the terms of its difference are.

        Args:
            spread: Natural size of K̂ − K.
        """
        return 1.0


def outputs_by_leg(
    network: Network, inputs: Inputs
) -> Callable[[Params], Float[jax.Array, " leg"]]:
    """Parameters of one network -> its outputs, leg by leg, in scaled units."""

    def outputs(params: Params) -> jax.Array:
        scaled = inputs.per_leg * network.apply(params, inputs.points).reshape(-1)
        return scaled if inputs.mean is None else scaled - inputs.mean

    return outputs
