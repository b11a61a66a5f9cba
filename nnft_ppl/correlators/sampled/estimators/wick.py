"""`wick`: Wick-ordered products of the outputs with respect to the kernel."""

from collections.abc import Callable
from dataclasses import dataclass

import jax

from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Packed, Params
from nnft_ppl.correlators.sampled.estimators.estimator import (
    BiasCorrection,
    Estimator,
    Inputs,
    outputs_by_leg,
)
from nnft_ppl.correlators.sampled.network_products import wick_matrix


@dataclass(frozen=True)
class Wick(Estimator):
    """Wick-ordered products; see `Estimator`."""

    name = "wick"
    label = "wick estimator (1 sd)"
    caption = (
        "Squares: averages of Wick-ordered products, which leave out the Gaussian part "
        "from the start; bars: one standard error."
    )

    def of_network(
        self, network: Network, orders: tuple[int, ...], inputs: Inputs
    ) -> Callable[[Params], jax.Array]:
        """Outputs, leg by leg."""
        return outputs_by_leg(network, inputs)

    def bias_correction(self, network: Network, *, exact: bool) -> BiasCorrection:
        """Linear in what the reference leaves, or by covariances."""
        return "linear" if exact else "covariance"

    def reordered(
        self, kernel: Packed, num_legs: int, orders: tuple[int, ...]
    ) -> tuple[Matrix, Packed]:
        """From means of products to means of Wick-ordered ones."""
        return wick_matrix(kernel, num_legs, orders)
