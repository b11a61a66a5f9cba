"""`residual-mlp`: fully connected layers, each added to the one before.

z⁰ = b + W x, zˡ⁺¹ = zˡ + α (b + W φ(zˡ)) for l < L, f = b + W φ(zᴸ), all W independent
N(0, σ_W²/fan-in), all b N(0, σ_b²): L blocks of strength α on an identity skip. The
variance grows with L unless α falls as 1/√L, where a limit of many layers exists too
(Yang and Schoenholz, arXiv:1712.08969; Hayou et al., arXiv:2010.12859).
"""

from typing import Any

import jax

import nnft_ppl as nnft
from nnft_ppl_architectures import fully_connected
from nnft_ppl_architectures.activations import OPTION, chosen_activation
from nnft_ppl_architectures.layers import (
    AROUND_ZERO,
    Params,
    affine,
    linear_readout,
    normal_layers,
)


def depth(hp: nnft.Hyperparameters) -> int:
    """L, the number of blocks."""
    return hp.option("depth", int)


def branch_scale(hp: nnft.Hyperparameters) -> float:
    """α, the strength of a block."""
    return hp.option("branch_scale", float)


def prior(hp: nnft.Hyperparameters) -> Params:
    """Sample the first layer, the blocks and the readout; Gaussian, independent."""
    return normal_layers(hp, *(depth(hp) + 1) * (hp.width,))


def features(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """φ(zᴸ) of one draw at one input, shape (width,)."""
    phi = chosen_activation(hp).function
    z = affine(params, 0, x.reshape(-1))
    for block in range(1, depth(hp) + 1):
        z = z + branch_scale(hp) * affine(params, block, phi(z))
    return phi(z)


def apply(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """The output of one draw at one input, shape (output_dim,)."""
    return affine(params, depth(hp) + 1, features(hp, params, x))


def blocks(hp: nnft.Hyperparameters) -> dict[str, Any]:
    """The blocks as `fully_connected` counts them: each is added to the one before."""
    return {"num_steps": depth(hp), "skip": True, "gain": branch_scale(hp) ** 2}


def kernel(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """K⁰ = s, Kˡ⁺¹ = Kˡ + α² (σ_b² + σ_W² E[φ φ']), E over Gaussians of covariance Kˡ.

    Exact at infinite width: the weights of a block are independent of zˡ, so that the
    two terms do not correlate.

    Source: arXiv:2010.12859 §2; with two weights in a block, arXiv:1712.08969.
    """
    return fully_connected.kernel(hp, x, y, **blocks(hp))


def kernel_error(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """The errors of the means of all blocks, carried to the output to first order.

    The skip carries them on as they are.
    """
    return fully_connected.kernel_error(hp, x, y, **blocks(hp))


def tangent_kernel(
    hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array
) -> dict[str, jax.Array]:
    """Shares of weights and biases; past a skip gradients go on as they are."""
    return fully_connected.tangent_kernel(hp, x, y, **blocks(hp))


@nnft.hookimpl
def nnft_ppl_architecture() -> nnft.Architecture:
    """Fully connected blocks on an identity skip."""
    return nnft.Architecture(
        name="residual-mlp",
        description="fully connected blocks on an identity skip; arXiv:1712.08969",
        prior=prior,
        apply=apply,
        kernel=kernel,
        kernel_error=kernel_error,
        tangent_kernel=tangent_kernel,
        readout=linear_readout(features),
        symmetries=frozenset({"rotation", "sign"}),
        options={
            "depth": nnft.Option(
                default=2, help="L, the number of blocks", minimum=1, maximum=100
            ),
            "activation": OPTION,
            "branch_scale": nnft.Option(
                default=1.0,
                help="α, what a block is multiplied by before it is added",
                minimum=0.0,
                maximum=1e3,
            ),
        },
        suggested_inputs=AROUND_ZERO,
    )
