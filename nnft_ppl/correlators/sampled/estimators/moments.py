"""`moments`: plain products of outputs, cumulants by subtraction."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from nnft_ppl._network import Network
from nnft_ppl._typing import Packed, Params
from nnft_ppl.correlators.sampled.estimators.estimator import (
    BiasCorrection,
    Estimator,
    Inputs,
    outputs_by_leg,
)


@dataclass(frozen=True)
class Moments(Estimator):
    """Plain products; see `Estimator`."""

    name = "moments"
    label = "plain moments"
    caption = (
        "Open circles: plain averages of products of outputs, as in arXiv:2008.08601; "
        "dashed: their background, what sampling noise alone does to one entry. A "
        "circle near or below the dashed line says nothing about the network."
    )
    shows_background = True
    takes_off_mean = False

    def of_network(
        self, network: Network, orders: tuple[int, ...], inputs: Inputs
    ) -> Callable[[Params], jax.Array]:
        """Outputs, leg by leg."""
        return outputs_by_leg(network, inputs)

    def reference(self, kernel: Packed) -> Packed:
        """None: what is averaged is the field itself."""
        return np.zeros_like(kernel)

    def bias_correction(self, network: Network, *, exact: bool) -> BiasCorrection:
        """Not at all: of order one over the number of networks."""
        return "plain"
