"""What the one-hidden-layer plugins share: prior, forward pass, preactivations.

W0 ~ N(0, σ_W²/d_in), b0 ~ N(0, σ_b²), W1 ~ N(0, σ_W²/N), b1 ~ N(0, σ_b²)
(theory.md §1; Halverson, Maiti, Stoner, arXiv:2008.08601 §2).
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

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
type Shares = Callable[
    [nnft.Hyperparameters, jax.Array, jax.Array], dict[str, jax.Array]
]


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


def dual_slope(dual: Callable[..., jax.Array]) -> Kernel:
    """σ_W² E[φ' φ'], the slope of the same in s(x, y) by Price's theorem."""

    def slope_kernel(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
        xx, yy, xy = (input_covariance(hp, a, b) for a, b in ((x, x), (y, y), (x, y)))
        slope: jax.Array
        _, slope = jax.jvp(partial(dual, xx, yy), (xy,), (jnp.ones_like(xy),))
        return hp.weight_std**2 * slope

    return slope_kernel


def tangent_shares(weight_kernel: Kernel, slope_kernel: Kernel) -> Shares:
    """Shares of W0, b0, W1, b1 in the tangent kernel, each in units of its σ.

    The output weights give K_W, the preactivations σ_W² E[φ' φ'] times what they have
    in common, of weights and of biases. It is the mean at every width.

    Source: Jacot et al., arXiv:1806.07572 theorem 1.
    """

    def shares(
        hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array
    ) -> dict[str, jax.Array]:
        slope = slope_kernel(hp, x, y)
        bias = jnp.full_like(slope, hp.bias_std**2)
        return {
            "W0": slope * (input_covariance(hp, x, y) - bias),
            "b0": slope * bias,
            "W1": weight_kernel(hp, x, y),
            "b1": bias,
        }

    return shares


def architecture(
    *,
    name: str,
    description: str,
    activation: Activation,
    weight_kernel: Kernel,
    slope_kernel: Kernel,
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
        slope_kernel: The same arguments -> σ_W² E[φ' φ'].
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
        tangent_kernel=tangent_shares(weight_kernel, slope_kernel),
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
