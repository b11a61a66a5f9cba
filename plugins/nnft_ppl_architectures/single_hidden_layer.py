"""What the one-hidden-layer plugins share: prior, forward pass, preactivations.

W0 ~ N(0, σ_W²/d_in), b0 ~ N(0, σ_b²), W1 ~ N(0, σ_W²/N), b1 ~ N(0, σ_b²)
(theory.md §1; Halverson, Maiti, Stoner, arXiv:2008.08601 §2).
"""

from collections.abc import Callable

import jax

import nnft_ppl as nnft
from nnft_ppl_architectures.layers import (
    Params,
    affine,
    input_covariance,
    linear_readout,
    normal_layers,
)

type Activation = Callable[[jax.Array, jax.Array], jax.Array]
type Kernel = Callable[[nnft.Hyperparameters, jax.Array, jax.Array], jax.Array]


def prior(hp: nnft.Hyperparameters) -> Params:
    """Sample both layers: fully connected, Gaussian, independent."""
    return normal_layers(hp, hp.width)


def dual_kernel(dual: Callable[..., jax.Array]) -> Kernel:
    """K_W = σ_W² E[φ φ'], from the dual activation as a function of s."""

    def weight_kernel(
        hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array
    ) -> jax.Array:
        covariances = (input_covariance(hp, a, b) for a, b in ((x, x), (y, y), (x, y)))
        return hp.weight_std**2 * dual(*covariances)

    return weight_kernel


def architecture(
    *,
    name: str,
    description: str,
    activation: Activation,
    weight_kernel: Kernel,
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

    def hidden(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
        return activation(affine(params, 0, x), input_covariance(hp, x, x))

    def apply(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
        return affine(params, 1, hidden(hp, params, x))

    return nnft.Architecture(
        name=name,
        description=description,
        prior=prior,
        apply=apply,
        kernel=lambda hp, x, y: hp.bias_std**2 + weight_kernel(hp, x, y),
        readout=linear_readout(hidden),
        neuron=lambda hp: nnft.Neuron(
            covariance=lambda x, y: input_covariance(hp, x, y),
            activation=activation,
            homogeneity=homogeneity,
            product_mean=product_mean,
        ),
        symmetries=symmetries,
        suggested_inputs=suggested_inputs,
    )
