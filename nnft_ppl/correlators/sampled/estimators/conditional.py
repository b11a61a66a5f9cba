"""`conditional`: a linear output layer is never sampled.

Given the hidden features the cumulants of the field are known. Where the output weights
are normal there is one, the random kernel K̂, and the cumulants of the field are
cumulants of K̂.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Float

from nnft_ppl._network import Network
from nnft_ppl._typing import Params
from nnft_ppl.correlators.legs import over_outputs
from nnft_ppl.correlators.readout_weights import weight_cumulants, weight_moments
from nnft_ppl.correlators.sampled.estimators.estimator import (
    BiasCorrection,
    Estimator,
    Inputs,
)
from nnft_ppl.correlators.symmetric import entries, positions


@dataclass(frozen=True)
class Conditional(Estimator):
    """Cumulants given the features; see `Estimator`."""

    name = "conditional"
    label = "conditional estimator (1 sd)"
    caption = (
        "Squares: the conditional estimator, which averages over the Gaussian last "
        "layer exactly and so needs far fewer networks; bars: one standard error."
    )
    needs = "linear readout"
    draws_outputs = False
    leaves_out_bias = True

    def serves(self, network: Network) -> bool:
        """Where there is a linear readout."""
        return network.readout() is not None

    def drawn_orders(
        self, network: Network, orders: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Those of cumulants that do not vanish: of normal weights the second alone."""
        return (2,) if _has_normal_weights(network) else orders

    def of_network(
        self, network: Network, orders: tuple[int, ...], inputs: Inputs
    ) -> Callable[[Params], jax.Array]:
        """Mean where there is one, random kernel K̂, other cumulants, less references.

        κ_k of the weights times Σ_j φ_j(x_1) … φ_j(x_k), the output bias left out.
        """
        readout, num_points = network.readout(), len(inputs.points)
        assert readout is not None  # `serves` has seen to it
        features_of, weight_std = readout.features, readout.weight_std
        num_outputs = network.hyperparameters.output_dim
        cumulants = weight_cumulants(weight_moments(network, max(orders)))

        def given_features(params: Params) -> jax.Array:
            features = jax.vmap(partial(features_of, params))(inputs.points)
            unit = weight_std / features.shape[1] ** 0.5
            features = unit * inputs.per_leg[::num_outputs, None] * features
            parts = {}
            for k in orders:
                tensor = cumulants[k] * _feature_sums(features, k)
                parts[k] = over_outputs(tensor, num_points, num_outputs, k)
            parts[2] = parts[2] - inputs.kernel
            if inputs.mean is not None:
                parts[1] = parts[1] - inputs.mean
            return jnp.concatenate(list(parts.values()))

        return given_features

    def of_neurons(
        self, draws: Float[jax.Array, "row draw"], network: Network, inputs: Inputs
    ) -> Float[jax.Array, "row draw"]:
        """K̂ − K."""
        num_points = len(inputs.points)
        spread = over_outputs(draws, num_points, network.hyperparameters.output_dim, 2)
        return spread - inputs.kernel[:, None]

    def bias_correction(self, network: Network, *, exact: bool) -> BiasCorrection:
        """Linear in what the reference leaves, or by Fisher's k-statistics of K̂."""
        if exact:
            return "linear"
        return "k-statistics" if _has_normal_weights(network) else "covariance"

    def cancellation(self, spread: float) -> float:
        """K̂ − K is a difference of terms of size one."""
        return max(1.0, 0.1 / spread) if spread > 0 else 1.0


def _has_normal_weights(network: Network) -> bool:
    """Whether the output is Gaussian given the features, be it about a mean."""
    readout = network.readout()
    return readout is not None and readout.has_normal_weights


def _feature_sums(
    features: Float[jax.Array, "point feature"], order: int
) -> Float[jax.Array, " entry"]:
    """Σ_j φ_j(x_1) … φ_j(x_k), packed, from products of half as many factors."""
    if order == 1:
        return features.sum(axis=1)
    num_points, half = len(features), order // 2
    halves = {
        k: jnp.prod(features[entries(num_points, k)], axis=1)
        for k in {half, order - half}
    }
    sums = jnp.matmul(
        halves[half], halves[order - half].T, precision=jax.lax.Precision.HIGHEST
    )
    table = entries(num_points, order)
    rows, columns = (
        positions(num_points, part) for part in (table[:, :half], table[:, half:])
    )
    return sums[rows, columns]
