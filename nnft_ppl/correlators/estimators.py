"""Three routes from random networks to connected correlators.

`conditional` and `wick` are unbiased where the kernel is exact; `moments`, and all of
them where it is measured, have a bias of order one over the number of networks.

`conditional`: given the hidden features the output is Gaussian with a random kernel K̂;
the cumulants of the field are cumulants of K̂, and the output layer is never sampled.
`wick`: Wick-ordered products of the outputs with respect to the kernel.
`moments`: plain products, cumulants by subtraction.

Each route says what to average over networks and how the averages become connected
correlators with their joint covariance (theory.md §3).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.correlators.wick import (
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
    has_readout = network.gaussian_readout() is not None
    if estimator == "conditional" and not has_readout:
        raise UnavailableError(
            f"architecture {network.name!r} has no Gaussian readout here, which the "
            "conditional estimator needs; use estimator='wick' or 'moments'"
        )
    if not has_readout and "sign" not in network.architecture.symmetries:
        raise UnavailableError(
            f"architecture {network.name!r} has neither a Gaussian readout nor "
            "the symmetry 'sign'; its odd correlators may not vanish, as the "
            "connected correlators here assume"
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


def network_draws(
    network: Network, estimator: str, keys: Key, inputs: Inputs
) -> Float[jax.Array, "row draw"]:
    """What each network contributes, before any product is taken.

    Returns:
        For `conditional` the packed random kernel K̂ − K without sampling the output
        layer, the output bias left out of both; otherwise the outputs at each point.
        In scaled units.
    """
    readout = network.gaussian_readout()

    def random_kernel(key: Key) -> jax.Array:
        assert readout is not None  # choose_estimator has seen to it
        params = sample_prior(network, key)
        features = jax.vmap(partial(readout.features, params))(inputs.points)
        unit = readout.weight_std / features.shape[1] ** 0.5
        features = unit * inputs.per_point[:, None] * features
        kernel = jnp.matmul(features, features.T, precision=jax.lax.Precision.HIGHEST)
        rows, columns = entries(len(inputs.points), 2).T
        return kernel[rows, columns] - inputs.kernel

    def outputs(key: Key) -> jax.Array:
        params = sample_prior(network, key)
        return inputs.per_point * network.apply(params, inputs.points)[:, 0]

    one = random_kernel if estimator == "conditional" else outputs
    return jax.vmap(one, out_axes=-1)(keys)


def entry_values(
    draws: Float[jax.Array, "row draw"],
    kernel: Float[jax.Array, " entry"],
    num_points: int,
    orders: tuple[int, ...],
    estimator: str,
) -> Float[jax.Array, "quantity draw"]:
    """What to average: every entry of every order, for each network.

    Args:
        draws: From `network_draws`.
        kernel: Packed reference kernel of the scaled field.
        num_points: Number of inputs.
        orders: Even orders from 2 up.
        estimator: One of `ESTIMATORS`.
    """
    if estimator == "conditional":
        values = pairing_sums(draws, num_points, orders)
    else:
        subtracted = kernel * (1.0 if estimator == "wick" else 0.0)
        values = wick_powers(draws, subtracted, orders)
    return jnp.concatenate([values[k] for k in orders])
