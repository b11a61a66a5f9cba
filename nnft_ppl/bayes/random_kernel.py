"""The random kernel of a network as a primitive of a NumPyro model.

In: a network and inputs, in a model. Out: K̂, which makes the field a Gaussian process;
its hidden parameters are sites, its readout is integrated out and is none.
"""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float
from numpyro import handlers

from nnft_ppl._inputs import shaped_inputs
from nnft_ppl._network import Network
from nnft_ppl._parameters import Layout, parameters_by_name, unused_arguments
from nnft_ppl.bayes.features import check_gaussian_readout, kernel_features
from nnft_ppl.ensemble.model import rescaled


def random_kernel(
    network: Network,
    x: ArrayLike,
    *,
    weight_std: Any = None,
    bias_std: Any = None,
) -> Float[jax.Array, "*networks point point"]:
    """K̂(x, x) in a NumPyro model: given it the outputs are Gaussian processes.

    Each output of the network is, given the hidden parameters, an independent draw of
    `dist.MultivariateNormal(0, K̂)`. Those parameters become sample sites, by the names
    that `net.prior()` gives them; the readout's, integrated out, do not. K̂ has the rank
    of its features, so add a noise variance or a jitter to its diagonal before it is
    factored. Plates around the call give independent networks, along axes in front.

    Args:
        network: With a linear readout of normal weights.
        x: Inputs (point, input_dim).
        weight_std: σ_W in place of the network's, such as a site of the model.
        bias_std: σ_b likewise.

    Returns:
        K̂, output bias included, of the precision of the parameters: float32, unless
        x64 is enabled.

    Source: theory.md §3.

    Raises:
        UnavailableError: The network has no Gaussian readout.
        SpecError: The inputs are not those of the network.
    """
    check_gaussian_readout(network)
    points = shaped_inputs(x, network.hyperparameters.input_shape)
    given = {"weight_std": weight_std, "bias_std": bias_std}
    scales = {name: value for name, value in given.items() if value is not None}
    features = random_features(network, points.reshape(len(points), -1), scales)
    return jnp.matmul(
        features, jnp.swapaxes(features, -1, -2), precision=jax.lax.Precision.HIGHEST
    )


def random_features(
    network: Network, points: jax.Array, scales: Mapping[str, Any]
) -> Float[jax.Array, "*networks point feature"]:
    """Φ with K̂ = Φ Φᵀ, in a NumPyro model.

    Args:
        network: With a Gaussian readout.
        points: (point, input_dim), flat.
        scales: `weight_std`, `bias_std` in place of the network's.
    """
    readout_names = names_of_readout(network)
    scaled = rescaled(network, scales)
    layout = Layout.of(partial(scaled.architecture.prior, scaled.hyperparameters))
    absent = {name: jnp.zeros(layout.shapes[name]) for name in readout_names}
    prior = handlers.substitute(layout.sample, data=absent)
    params = parameters_by_name(handlers.block(prior, hide=sorted(readout_names))())
    hidden = {n: value for n, value in params.items() if n not in readout_names}
    batch: tuple[int, ...] = ()
    for name, value in hidden.items():
        batch = jnp.shape(value)[: jnp.ndim(value) - len(layout.shapes[name])]
    unused = {n: jnp.broadcast_to(v, batch + v.shape) for n, v in absent.items()}
    return layout.over_networks(
        lambda one: kernel_features(scaled, one, points), {**hidden, **unused}
    )


@lru_cache(maxsize=64)
def names_of_readout(network: Network) -> frozenset[str]:
    """Parameters that the features do not depend on: those of the readout.

    One that they may depend on, by the program that computes them, is not among them:
    to sample a parameter of the readout would cost time and change nothing.
    """
    layout = Layout.of(partial(network.architecture.prior, network.hyperparameters))
    names = list(layout.shapes)
    leaves = [jax.ShapeDtypeStruct(layout.shapes[name], np.float32) for name in names]
    points = np.ones((1, network.hyperparameters.input_dim), np.float32)

    def features(*leaves: jax.Array) -> jax.Array:
        params = jax.tree.unflatten(layout.structure, leaves)
        return kernel_features(network, params, jnp.asarray(points))

    unused = unused_arguments(features, *leaves)
    return frozenset(name for name, of_it in zip(names, unused, strict=True) if of_it)
