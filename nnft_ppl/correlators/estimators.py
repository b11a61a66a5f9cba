"""Three routes from random networks to connected correlators.

`conditional`: given the hidden features the cumulants of a linear output layer are
known, and it is never sampled. Where its weights are normal there is one, the random
kernel K̂, and the cumulants of the field are cumulants of K̂.
`wick`: Wick-ordered products of the outputs with respect to the kernel.
`moments`: plain products, cumulants by subtraction.

Where the 2-pt function is known exactly it is the reference of the first two, which are
then unbiased. Elsewhere the reference serves the precision of float32 alone: the kernel
of infinite width, or a measured one. See `connected.py` for what is then done.

Each route says what to average over networks and how the averages become connected
correlators with their joint covariance (theory.md §3).
"""

from functools import partial
from itertools import count
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key
from nnft_ppl.correlators.symmetric import entries, num_entries, positions
from nnft_ppl.correlators.weights import weight_cumulants, weight_moments
from nnft_ppl.correlators.wick import partition_sums, wick_powers
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
    has_readout = network.readout() is not None
    if estimator == "conditional" and not has_readout:
        raise UnavailableError(
            f"architecture {network.name!r} has no linear readout here, which the "
            "conditional estimator needs; use estimator='wick' or 'moments'"
        )
    if not has_readout and "sign" not in network.architecture.symmetries:
        raise UnavailableError(
            f"architecture {network.name!r} has neither a linear readout nor "
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
        per_leg: (leg,) the field at each leg is multiplied by it, so that float32 holds
            6-pt products of inputs on any scale; alike for the outputs at one input.
        kernel: (entry,) packed reference kernel of the scaled field, over legs.
    """

    points: Float[jax.Array, "point dim"]
    per_leg: Float[jax.Array, " leg"]
    kernel: Float[jax.Array, " entry"]


def drawn_orders(
    network: Network, estimator: str, orders: tuple[int, ...]
) -> tuple[int, ...]:
    """Orders of the cumulants of the field given the features that do not vanish."""
    readout = network.readout()
    if estimator == "conditional" and readout is not None and not readout.is_gaussian:
        return orders
    return (2,)


def network_draws(
    network: Network,
    estimator: str,
    orders: tuple[int, ...],
    keys: Key,
    inputs: Inputs,
) -> Float[jax.Array, "row draw"]:
    """What each network contributes, before any product is taken.

    Args:
        network: What is drawn.
        estimator: One of `ESTIMATORS`.
        orders: From `drawn_orders`.
        keys: One a network.
        inputs: Where, and in which units.

    Returns:
        For `conditional` the packed cumulants of the field given the features, without
        sampling the output layer: the random kernel K̂ − K, the output bias left out of
        both, then those of the other `orders`. Otherwise the outputs, leg by leg. In
        scaled units.
    """
    readout = network.readout()
    num_outputs = network.hyperparameters.output_dim
    if estimator == "conditional":
        cumulants = weight_cumulants(weight_moments(network, max(orders)))

    def conditional(key: Key) -> jax.Array:
        assert readout is not None  # choose_estimator has seen to it
        params = sample_prior(network, key)
        features = jax.vmap(partial(readout.features, params))(inputs.points)
        unit = readout.weight_std / features.shape[1] ** 0.5
        features = unit * inputs.per_leg[::num_outputs, None] * features
        kernel = jnp.matmul(features, features.T, precision=jax.lax.Precision.HIGHEST)
        rows, columns = entries(len(inputs.points), 2).T
        parts = [over_outputs(kernel[rows, columns], len(features), num_outputs, 2)]
        parts[0] = parts[0] - inputs.kernel
        for k in orders[1:]:
            tensor = cumulants[k] * _feature_sums(features, k)
            parts.append(over_outputs(tensor, len(features), num_outputs, k))
        return jnp.concatenate(parts)

    def outputs(key: Key) -> jax.Array:
        params = sample_prior(network, key)
        return inputs.per_leg * network.apply(params, inputs.points).reshape(-1)

    one = conditional if estimator == "conditional" else outputs
    return jax.vmap(one, out_axes=-1)(keys)


def over_outputs[A: (jax.Array, np.ndarray)](
    packed: A, num_points: int, num_outputs: int, order: int
) -> A:
    """A tensor over inputs as one over legs: zero unless all are of one output."""
    if num_outputs == 1:
        return packed
    points, outputs = np.divmod(entries(num_points * num_outputs, order), num_outputs)
    same = (outputs == outputs[:, :1]).all(axis=1)
    spread: A = packed[positions(num_points, points)] * same
    return spread


def _feature_sums(
    features: Float[jax.Array, "point feature"], order: int
) -> Float[jax.Array, " entry"]:
    """Σ_j φ_j(x_1) … φ_j(x_k), packed, from products of half as many factors."""
    num_points, half = len(features), order // 2
    monomials = jnp.prod(features[entries(num_points, half)], axis=1)
    sums = jnp.matmul(monomials, monomials.T, precision=jax.lax.Precision.HIGHEST)
    table = entries(num_points, order)
    rows, columns = (
        positions(num_points, part) for part in (table[:, :half], table[:, half:])
    )
    return sums[rows, columns]


def entry_values(
    draws: Float[jax.Array, "row draw"],
    kernel: Float[jax.Array, " entry"],
    num_legs: int,
    orders: tuple[int, ...],
    estimator: str,
) -> Float[jax.Array, "quantity draw"]:
    """What to average: every entry of every order, for each network.

    Args:
        draws: From `network_draws`.
        kernel: Packed reference kernel of the scaled field.
        num_legs: Number of legs.
        orders: Even orders from 2 up.
        estimator: One of `ESTIMATORS`.
    """
    if estimator == "conditional":
        cumulants, start = {}, 0
        for k in count(2, 2):
            if start == len(draws):
                break
            cumulants[k] = draws[start : start + num_entries(num_legs, k)]
            start += num_entries(num_legs, k)
        values = partition_sums(cumulants, num_legs, orders)
    else:
        subtracted = kernel * (1.0 if estimator == "wick" else 0.0)
        values = wick_powers(draws, subtracted, orders)
    return jnp.concatenate([values[k] for k in orders])
