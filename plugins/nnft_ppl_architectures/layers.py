"""What the standard architectures are made of: normal parameters, affine layers.

Products of matrices are at full precision: some accelerators round the factors to ten
bits, which is more than many a connected correlator.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

import nnft_ppl as nnft

type Params = dict[str, jax.Array]

AROUND_ZERO = {
    1: [[-1.0], [-0.6], [-0.2], [0.2], [0.6], [1.0]],
    2: [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]],
    3: [[-1.0, -1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, 1.0, 1.0], [1.0, -1.0, 1.0]],
}
"""Suggested inputs, by dimension."""


def normal(name: str, std: float, *shape: int) -> jax.Array:
    """Sample site `name` of independent N(0, std²) numbers of this shape."""
    law = dist.Normal(0.0, std, validate_args=False)  # std may be 0
    values: jax.Array = numpyro.sample(name, law.expand(shape).to_event())
    return values


def normal_layers(hp: nnft.Hyperparameters, *hidden: int) -> Params:
    """Sample W0, b0, W1, … of fully connected layers: W ~ N(0, σ_W²/fan-in)."""
    params = {}
    for layer, (fan_in, size) in enumerate(
        pairwise((hp.input_dim, *hidden, hp.output_dim))
    ):
        std = hp.weight_std / fan_in**0.5
        params[f"W{layer}"] = normal(f"W{layer}", std, fan_in, size)
        params[f"b{layer}"] = normal(f"b{layer}", hp.bias_std, size)
    return params


def affine(params: Params, layer: int, x: jax.Array) -> jax.Array:
    """W x + b of one layer."""
    weights, biases = params[f"W{layer}"], params[f"b{layer}"]
    return jnp.matmul(x, weights, precision="highest") + biases


def layer_covariance(hp: nnft.Hyperparameters, mean: jax.Array) -> jax.Array:
    """σ_b² + σ_W² E[h h'], the covariance of what a layer makes of its inputs h."""
    return hp.bias_std**2 + hp.weight_std**2 * mean


def input_covariance(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """s(x, y) = σ_b² + σ_W² x·y/d_in of the first layer."""
    return layer_covariance(hp, jnp.vdot(x, y, precision="highest") / hp.input_dim)


def linear_readout(
    features: Callable[[nnft.Hyperparameters, Any, jax.Array], jax.Array],
) -> Callable[[nnft.Hyperparameters], nnft.Readout]:
    """The readout of features that the last layer weights with normal numbers."""
    return lambda hp: nnft.Readout(
        features=partial(features, hp),
        weight_std=hp.weight_std,
        bias_std=hp.bias_std,
    )
