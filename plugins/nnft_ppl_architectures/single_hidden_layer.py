"""What the one-hidden-layer plugins share: prior, forward pass, preactivations.

W0 ~ N(0, σ_W²/d_in), b0 ~ N(0, σ_b²), W1 ~ N(0, σ_W²/N), b1 ~ N(0, σ_b²)
(theory.md §1; Halverson, Maiti, Stoner, arXiv:2008.08601 §2).
Products of matrices at full precision: some accelerators round the factors to ten bits,
which is more than many a connected correlator.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

import nnft_ppl as nnft
from nnft_ppl_architectures.normal_site import normal

type Params = dict[str, jax.Array]
type Activation = Callable[[jax.Array, jax.Array], jax.Array]


def prior(hp: nnft.Hyperparameters) -> Params:
    """Sample both layers: fully connected, Gaussian, independent."""
    return {
        "W0": normal("W0", hp.weight_std / hp.input_dim**0.5, hp.input_dim, hp.width),
        "b0": normal("b0", hp.bias_std, hp.width),
        "W1": normal("W1", hp.weight_std / hp.width**0.5, hp.width, hp.output_dim),
        "b1": normal("b1", hp.bias_std, hp.output_dim),
    }


def covariance(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """Preactivation covariance s(x,y) = σ_b² + σ_W² x·y/d_in."""
    dot = jnp.dot(x, y, precision="highest")
    return hp.bias_std**2 + hp.weight_std**2 * dot / hp.input_dim


def features(
    hp: nnft.Hyperparameters, activation: Activation, params: Params, x: jax.Array
) -> jax.Array:
    """The hidden layer φ_j(x) of one draw at one input, shape (width,)."""
    hidden = jnp.matmul(x, params["W0"], precision="highest")
    return activation(hidden + params["b0"], covariance(hp, x, x))


def architecture(
    *,
    name: str,
    description: str,
    activation: Activation,
    weight_kernel: Callable[[nnft.Hyperparameters, jax.Array, jax.Array], jax.Array],
    symmetries: frozenset[str],
    suggested_inputs: dict[int, list[list[float]]],
    homogeneity: int | None = None,
    product_mean: Callable[[jax.Array], jax.Array] | None = None,
) -> nnft.Architecture:
    """Assemble the architecture whose hidden layer is `activation`.

    Args:
        name: Entry-point name.
        description: One line.
        activation: (z, variance of z) -> φ.
        weight_kernel: (hyperparameters, x, y) -> K_W, the kernel less the output bias.
        symmetries: What the kernel obeys.
        suggested_inputs: By input dimension.
        homogeneity: See `nnft_ppl.Neuron`.
        product_mean: See `nnft_ppl.Neuron`.
    """

    def apply(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
        hidden = features(hp, activation, params, x)
        return jnp.matmul(hidden, params["W1"], precision="highest") + params["b1"]

    return nnft.Architecture(
        name=name,
        description=description,
        prior=prior,
        apply=apply,
        kernel=lambda hp, x, y: hp.bias_std**2 + weight_kernel(hp, x, y),
        readout=lambda hp: nnft.Readout(
            features=lambda params, x: features(hp, activation, params, x),
            weight_std=hp.weight_std,
            bias_std=hp.bias_std,
        ),
        neuron=lambda hp: nnft.Neuron(
            covariance=lambda x, y: covariance(hp, x, y),
            activation=activation,
            homogeneity=homogeneity,
            product_mean=product_mean,
        ),
        symmetries=symmetries,
        suggested_inputs=suggested_inputs,
    )
