"""Three unbiased routes from random networks to connected correlators.

`conditional`: given the hidden features the output is Gaussian with a random kernel K̂;
the cumulants of the field are cumulants of K̂, and the output layer is never sampled.
`wick`: Wick-ordered products of the outputs with respect to the kernel.
`moments`: plain products, cumulants by subtraction.

Each route says what to average over networks and how the averages become connected
correlators with their joint covariance (theory.md §3).
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Matrix, Packed
from nnft_ppl.correlators.streaming import Mean
from nnft_ppl.correlators.symmetric import entries, num_entries
from nnft_ppl.correlators.wick import (
    connected_from_moments,
    moment_from_connected,
    pairing_sums,
    wick_powers,
)
from nnft_ppl.ensemble.model import sample_prior

ESTIMATORS = ("conditional", "wick", "moments")


def choose_estimator(network: Network, estimator: str) -> str:
    """Resolve `auto` and refuse what this network cannot do.

    Raises:
        SpecError: No such estimator.
        UnavailableError: The network lacks what the estimator needs.
    """
    if estimator not in ("auto", *ESTIMATORS):
        raise SpecError(
            f"`estimator` is {estimator!r}; choose one of {['auto', *ESTIMATORS]}"
        )
    has_readout = network.architecture.readout is not None
    if estimator == "conditional" and not has_readout:
        raise UnavailableError(
            f"architecture {network.name!r} declares no Gaussian readout, which the "
            "conditional estimator needs; use estimator='wick' or 'moments'"
        )
    if not has_readout and "sign" not in network.architecture.symmetries:
        raise UnavailableError(
            f"architecture {network.name!r} declares neither a Gaussian readout nor "
            "the symmetry 'sign'; its odd correlators may not vanish, as the "
            "connected correlators here assume"
        )
    if network.hyperparameters.output_dim != 1:
        raise SpecError(
            f"`output_dim` is {network.hyperparameters.output_dim}; correlators are "
            "those of one output: build the network with output_dim=1"
        )
    if estimator != "auto":
        return estimator
    return "conditional" if has_readout else "wick"


class Inputs(NamedTuple):
    """Where the field is taken, and in which units; float32.

    Attributes:
        points: (point, dim).
        per_point: (point,) the field at each input is multiplied by it, so that float32
            holds 6-pt products of inputs on any scale.
        kernel: (entry,) packed reference kernel of the scaled field.
    """

    points: Float[jax.Array, "point dim"]
    per_point: Float[jax.Array, " point"]
    kernel: Float[jax.Array, " entry"]


@dataclass(frozen=True)
class NetworkValues:
    """What to average: keys of networks -> (all entries of all orders, network).

    Equal for equal arguments, so that its compiled form is found again.
    """

    network: Network
    orders: tuple[int, ...]
    estimator: str

    def __call__(self, keys: Key, inputs: Inputs) -> jax.Array:
        """Values of every network of `keys`, float32."""
        sums = (
            self._conditional(keys, inputs)
            if self.estimator == "conditional"
            else self._products(keys, inputs)
        )
        return jnp.concatenate([sums[k] for k in self.orders])

    def _conditional(self, keys: Key, inputs: Inputs) -> dict[int, jax.Array]:
        """Pairing sums of K̂ − K; the output layer is not sampled."""
        readout = self.network.readout()
        assert readout is not None  # choose_estimator has seen to it

        def random_kernel(key: Key) -> jax.Array:
            params = sample_prior(self.network, key)
            features = jax.vmap(partial(readout.features, params))(inputs.points)
            unit = readout.weight_std / features.shape[1] ** 0.5
            features = unit * inputs.per_point[:, None] * features
            bias = readout.bias_std * inputs.per_point
            return jnp.outer(bias, bias) + jnp.matmul(
                features, features.T, precision=jax.lax.Precision.HIGHEST
            )

        num_points = len(inputs.points)
        rows, columns = entries(num_points, 2).T
        kernels = jax.vmap(random_kernel, out_axes=-1)(keys)
        excess = kernels[rows, columns] - inputs.kernel[:, None]
        return pairing_sums(excess, num_points, self.orders)

    def _products(self, keys: Key, inputs: Inputs) -> dict[int, jax.Array]:
        """Products of outputs, Wick-ordered or plain."""

        def outputs(key: Key) -> jax.Array:
            params = sample_prior(self.network, key)
            return inputs.per_point * self.network.apply(params, inputs.points)[:, 0]

        kernel = inputs.kernel * (1.0 if self.estimator == "wick" else 0.0)
        return wick_powers(jax.vmap(outputs, out_axes=-1)(keys), kernel, self.orders)


def connected_estimate(
    mean: Mean,
    num_points: int,
    orders: tuple[int, ...],
    estimator: str,
    kernel: Packed,
    num_draws: int,
    *,
    kernel_is_exact: bool,
) -> tuple[dict[int, Packed], Matrix]:
    """Connected correlators and their joint covariance from the averages.

    For orders above 2 the mean of K̂ − K (or of f f' − K) is a control variate: its
    coefficient is the connected correlator two orders below, which removes the part of
    the 6-pt error that comes from the 2-pt function, and makes the error right when
    the reference kernel is itself measured on the same networks.

    Returns:
        order -> packed connected correlator, and the covariance of all of them
        concatenated, float64.
    """
    sizes = [num_entries(num_points, k) for k in orders]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    span = {k: slice(offsets[i], offsets[i + 1]) for i, k in enumerate(orders)}
    raw = {k: mean.value[span[k]] for k in orders}
    jacobian = np.eye(offsets[-1])
    if estimator == "moments":
        connected = {}
        for order in orders:
            connected[order], slopes = connected_from_moments(raw, num_points, order)
            for k, slope in slopes.items():
                jacobian[span[order], span[k]] = slope
        return connected, jacobian @ mean.covariance @ jacobian.T
    connected = {2: kernel + raw[2]}
    for order in orders[1:]:
        connected[order] = raw[order]
        if estimator == "conditional" and not kernel_is_exact:
            connected[order] = raw[order] * _central_moment_factor(order, num_draws)
    if 6 in orders:
        # d/dK_ef of the 6-pt estimate is −Σ_15 G4c_abcd: the Jacobian of the terms
        # pair times quadruple of the moment sum, taken at connected G4c alone.
        slope = moment_from_connected(
            {2: 0 * raw[2], 4: connected[4], 6: 0 * raw[6]}, num_points, 6
        )[1][2]
        connected[6] = connected[6] - slope @ raw[2]
        jacobian[span[6], span[2]] = -slope
    return connected, jacobian @ mean.covariance @ jacobian.T


def _central_moment_factor(order: int, num_draws: int) -> float:
    """Factor that unbiases the central 2nd (order 4) or 3rd (order 6) moment of K̂."""
    m = num_draws
    return m / (m - 1) if order == 4 else m**2 / ((m - 1) * (m - 2))
