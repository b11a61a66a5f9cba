"""Three routes from random networks to connected correlators.

`conditional`: given the hidden features the cumulants of a linear output layer are
known, and it is never sampled. Where its weights are normal there is one, the random
kernel K̂, and the cumulants of the field are cumulants of K̂.
`wick`: Wick-ordered products of the outputs with respect to the kernel.
`moments`: plain products, cumulants by subtraction.

Where the 2-pt function is known exactly it is the reference of the first two, which are
then unbiased. Elsewhere the reference serves the precision of float32 alone: the kernel
of infinite width, or a measured one. See `connected.py` for what is then done.

Each route says what every network contributes, before products are taken and averaged
(theory.md §3).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from nnft_ppl._arguments import check_choice
from nnft_ppl._errors import UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Params
from nnft_ppl.correlators.readout_weights import weight_cumulants, weight_moments
from nnft_ppl.correlators.sampled.preactivations import (
    has_independent_neurons,
    neuron_draws,
)
from nnft_ppl.correlators.symmetric import entries, positions
from nnft_ppl.ensemble.model import Stream, over_networks

ESTIMATORS = ("conditional", "wick", "moments")


def choose_estimator(network: Network, estimator: str) -> str:
    """Resolve `auto` and refuse what this network cannot do.

    Raises:
        SpecError: No such estimator.
        UnavailableError: The network lacks what the estimator needs.
    """
    check_choice("estimator", estimator, ("auto", *ESTIMATORS))
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
        factor: (point, rank) of the preactivations' covariance, where networks are
            drawn from those; else (point, 0).
    """

    points: Float[jax.Array, "point dim"]
    per_leg: Float[jax.Array, " leg"]
    kernel: Float[jax.Array, " entry"]
    factor: Float[jax.Array, "point rank"]


def draws_preactivations(network: Network, generator: str) -> bool:
    """Whether networks are drawn from their preactivations, not their parameters."""
    return generator == "fused" and has_independent_neurons(network)


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
    inputs: Inputs,
    stream: Stream,
    start: jax.Array,
    count: int,
    generator: str,
) -> Float[jax.Array, "row draw"]:
    """What each network contributes, before any product is taken.

    Args:
        network: What is drawn.
        estimator: One of `ESTIMATORS`.
        orders: From `drawn_orders`.
        inputs: Where, and in which units.
        stream: From `stream_at`.
        start: First network's number in the stream, uint32.
        count: Number of networks.
        generator: One of `GENERATORS`.

    Returns:
        For `conditional` the packed cumulants of the field given the features, without
        sampling the output layer: the random kernel K̂ − K, the output bias left out of
        both, then those of the other `orders`. Otherwise the outputs, leg by leg. In
        scaled units.
    """
    readout = network.readout()
    num_points, num_outputs = len(inputs.points), network.hyperparameters.output_dim
    conditional = estimator == "conditional"
    if draws_preactivations(network, generator):
        draws = neuron_draws(
            network,
            inputs.factor,
            inputs.per_leg,
            stream,
            start,
            count,
            outputs=not conditional,
        )
        if not conditional:
            return draws
        spread = over_outputs(draws, num_points, num_outputs, 2)
        return spread - inputs.kernel[:, None]
    if conditional:
        cumulants = weight_cumulants(weight_moments(network, max(orders)))

    def given_features(params: Params) -> jax.Array:
        assert readout is not None  # choose_estimator has seen to it
        features = jax.vmap(partial(readout.features, params))(inputs.points)
        unit = readout.weight_std / features.shape[1] ** 0.5
        features = unit * inputs.per_leg[::num_outputs, None] * features
        kernel = jnp.matmul(features, features.T, precision=jax.lax.Precision.HIGHEST)
        rows, columns = entries(num_points, 2).T
        parts = [over_outputs(kernel[rows, columns], num_points, num_outputs, 2)]
        parts[0] = parts[0] - inputs.kernel
        for k in orders[1:]:
            tensor = cumulants[k] * _feature_sums(features, k)
            parts.append(over_outputs(tensor, num_points, num_outputs, k))
        return jnp.concatenate(parts)

    def outputs(params: Params) -> jax.Array:
        return inputs.per_leg * network.apply(params, inputs.points).reshape(-1)

    return over_networks(
        network,
        given_features if conditional else outputs,
        stream,
        start,
        count,
        generator,
    )


def over_outputs[A: (jax.Array, np.ndarray)](
    packed: A, num_points: int, num_outputs: int, order: int
) -> A:
    """A tensor over inputs as one over legs: zero unless all are of one output.

    Entries come first; other axes are carried along.
    """
    if num_outputs == 1:
        return packed
    points, outputs = np.divmod(entries(num_points * num_outputs, order), num_outputs)
    same = (outputs == outputs[:, :1]).all(axis=1)
    trailing = (slice(None),) + (None,) * (packed.ndim - 1)
    spread: A = packed[positions(num_points, points)] * same[trailing]
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
