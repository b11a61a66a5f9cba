"""`residual-mlp`: fully connected layers, each added to the one before.

z⁰ = b + W x, zˡ⁺¹ = zˡ + α (b + W φ(zˡ)) for l < L, f = b + W φ(zᴸ), all W independent
N(0, σ_W²/fan-in), all b N(0, σ_b²): L blocks of strength α on an identity skip. The
variance grows with L unless α falls as 1/√L, where a limit of many layers exists too
(Yang and Schoenholz, arXiv:1712.08969; Hayou et al., arXiv:2010.12859).
"""

from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp

import nnft_ppl as nnft
from nnft_ppl_architectures.activations import OPTION, chosen_activation
from nnft_ppl_architectures.carried_errors import carried_error
from nnft_ppl_architectures.normal_site import normal

type Params = dict[str, jax.Array]
type Arrays = tuple[jax.Array, ...]


def depth(hp: nnft.Hyperparameters) -> int:
    """L, the number of blocks."""
    return hp.option("depth", int)


def branch_scale(hp: nnft.Hyperparameters) -> float:
    """α, the strength of a block."""
    return hp.option("branch_scale", float)


def prior(hp: nnft.Hyperparameters) -> Params:
    """Sample the first layer, the blocks and the readout; Gaussian, independent."""
    sizes = (hp.input_dim, *(depth(hp) + 1) * (hp.width,), hp.output_dim)
    params = {}
    for layer, (fan_in, size) in enumerate(pairwise(sizes)):
        std = hp.weight_std / fan_in**0.5
        params[f"W{layer}"] = normal(f"W{layer}", std, fan_in, size)
        params[f"b{layer}"] = normal(f"b{layer}", hp.bias_std, size)
    return params


def affine(params: Params, layer: int, x: jax.Array) -> jax.Array:
    """W x + b of one layer, in full precision also on accelerators."""
    weights, biases = params[f"W{layer}"], params[f"b{layer}"]
    return jnp.matmul(x, weights, precision="highest") + biases


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


def layer(hp: nnft.Hyperparameters, mean: jax.Array) -> jax.Array:
    """σ_b² + σ_W² E[h h'], the covariance of what a layer makes of its inputs h."""
    return hp.bias_std**2 + hp.weight_std**2 * mean


def covariance(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """s(x, y) = σ_b² + σ_W² x·y/d_in of z⁰."""
    return layer(hp, jnp.vdot(x, y) / hp.input_dim)


def first(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> Arrays:
    """Covariances of z⁰ of x with x, y with y and x with y."""
    return covariance(hp, x, x), covariance(hp, y, y), covariance(hp, x, y)


def block(hp: nnft.Hyperparameters, covariances: Arrays) -> Arrays:
    """Kˡ⁺¹ from Kˡ of the same three pairs."""
    phi, duals = chosen_activation(hp), nnft.activations
    xx, yy, xy = covariances
    means = (
        duals.mean_square(phi, xx),
        duals.mean_square(phi, yy),
        duals.mean_product(phi, xx, yy, xy),
    )
    return tuple(
        old + branch_scale(hp) ** 2 * layer(hp, mean)
        for old, mean in zip(covariances, means, strict=True)
    )


def kernel(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """K⁰ = s, Kˡ⁺¹ = Kˡ + α² (σ_b² + σ_W² E[φ φ']), E over Gaussians of covariance Kˡ.

    Exact at infinite width: the weights of a block are independent of zˡ, so that the
    two terms do not correlate.

    Source: arXiv:2010.12859 §2; with two weights in a block, arXiv:1712.08969.
    """

    def step(covariances: Arrays, _: None) -> tuple[Arrays, None]:
        return block(hp, covariances), None

    # A scan compiles one block, however many there are.
    last, _ = jax.lax.scan(step, first(hp, x, y), length=depth(hp))
    return layer(hp, nnft.activations.mean_product(chosen_activation(hp), *last))


def kernel_error(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """The errors of the means of all blocks, carried to the output to first order.

    The skip carries them on as they are.
    """
    phi, duals = chosen_activation(hp), nnft.activations
    square = partial(carried_error, duals.mean_square, duals.mean_square_error, phi)
    product = partial(carried_error, duals.mean_product, duals.mean_product_error, phi)
    gain = branch_scale(hp) ** 2 * hp.weight_std**2

    def step(carried: tuple[Arrays, Arrays], _: None) -> tuple[Any, None]:
        covariances, errors = carried
        (xx, yy, _xy), (e_xx, e_yy, e_xy) = covariances, errors
        grown = (
            e_xx + gain * square((xx,), (e_xx,)),
            e_yy + gain * square((yy,), (e_yy,)),
            e_xy + gain * product(covariances, errors),
        )
        return (block(hp, covariances), grown), None

    start = first(hp, x, y)
    exact = tuple(jnp.zeros_like(value) for value in start)
    last, _ = jax.lax.scan(step, (start, exact), length=depth(hp))
    return hp.weight_std**2 * product(*last)


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
        readout=lambda hp: nnft.Readout(
            features=lambda params, x: features(hp, params, x),
            weight_std=hp.weight_std,
            bias_std=hp.bias_std,
        ),
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
        suggested_inputs={
            1: [[-1.0], [-0.6], [-0.2], [0.2], [0.6], [1.0]],
            2: [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]],
            3: [
                [-1.0, -1.0, -1.0],
                [1.0, 1.0, -1.0],
                [-1.0, 1.0, 1.0],
                [1.0, -1.0, 1.0],
            ],
        },
    )
