"""`conv-net`: a deep convolutional net, a GP as its channels grow in number.

z¹ = b + W ∗ x, zˡ⁺¹ = b + W ∗ φ(zˡ), W ~ N(0, σ_W²/fan-in) with a fan-in of filter
positions times channels, one b ~ N(0, σ_b²) for each channel, and a readout from φ(zᴸ)
at every position or from its average over positions (Novak et al., arXiv:1810.05148;
Garriga-Alonso et al., arXiv:1808.05587).
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

import nnft_ppl as nnft
from nnft_ppl_architectures.activations import OPTION, chosen_activation
from nnft_ppl_architectures.carried_errors import product_error, square_error
from nnft_ppl_architectures.layers import (
    Params,
    affine,
    layer_covariance,
    linear_readout,
    normal,
)

type Arrays = tuple[jax.Array, ...]

OPTIONS = {
    "depth": nnft.Option(
        default=2, help="number of convolutions", minimum=1, maximum=100
    ),
    "kernel_size": nnft.Option(
        default=3, help="positions under a filter along each axis, odd", minimum=1
    ),
    "padding": nnft.Option(
        default="circular",
        help="what lies beyond the border",
        choices=("circular", "zero"),
    ),
    "activation": OPTION,
    "readout": nnft.Option(
        default="flatten",
        help="features of all positions, or averaged over positions",
        choices=("flatten", "pool"),
    ),
}


def depth(hp: nnft.Hyperparameters) -> int:
    """Number of convolutions."""
    return hp.option("depth", int)


def kernel_size(hp: nnft.Hyperparameters) -> int:
    """Positions under a filter along each axis."""
    return hp.option("kernel_size", int)


def pools(hp: nnft.Hyperparameters) -> bool:
    """Whether the readout sees averages over positions."""
    return hp.options["readout"] == "pool"


def check(hp: nnft.Hyperparameters) -> None:
    """Refuse what is no sequence or image, and filters that do not fit on it."""
    shape, size = hp.input_shape, kernel_size(hp)
    length = max(hp.input_dim if len(shape) == 1 else 0, size, 5)
    longer = f"input_dim=({length}, 1), or --input-dim {length}x1 on the command line,"
    if len(shape) not in (2, 3):
        raise nnft.SpecError(
            f"conv-net has input shape {shape}; expected (length, channels) or "
            f"(height, width, channels): say {longer} for a sequence of {length} "
            "positions and one channel"
        )
    if size % 2 == 0:
        raise nnft.SpecError(
            f"option `kernel_size` is {size}; expected an odd number, so that a filter "
            "has a middle"
        )
    if size > min(shape[:-1]):
        raise nnft.SpecError(
            f"option `kernel_size` is {size}, more than there are positions in inputs "
            f"of shape {shape}, whose last axis is the channels; use a smaller filter, "
            f"or larger inputs such as {longer} for a sequence of one channel"
        )


def prior(hp: nnft.Hyperparameters) -> Params:
    """Sample the filters of every layer and the readout; Gaussian, independent."""
    positions = hp.input_shape[:-1]
    offsets = (kernel_size(hp),) * len(positions)
    channels = hp.input_shape[-1]
    params = {}
    for layer in range(depth(hp)):
        std = hp.weight_std / (math.prod(offsets) * channels) ** 0.5
        params[f"W{layer}"] = normal(f"W{layer}", std, *offsets, channels, hp.width)
        params[f"b{layer}"] = normal(f"b{layer}", hp.bias_std, hp.width)
        channels = hp.width
    features = hp.width * (1 if pools(hp) else math.prod(positions))
    last, std = depth(hp), hp.weight_std / features**0.5
    params[f"W{last}"] = normal(f"W{last}", std, features, hp.output_dim)
    params[f"b{last}"] = normal(f"b{last}", hp.bias_std, hp.output_dim)
    return params


def neighbours(
    hp: nnft.Hyperparameters, values: jax.Array, axes: Sequence[int]
) -> list[jax.Array]:
    """The values moved along `axes`, all of them at once, by each offset of a filter.

    What the forward pass does to channels, the kernel does to covariances.
    """
    reach = kernel_size(hp) // 2
    widths = [(reach, reach) if axis in axes else (0, 0) for axis in range(values.ndim)]
    mode = "wrap" if hp.options["padding"] == "circular" else "constant"
    padded = jnp.pad(values, widths, mode)
    moved = []
    for offset in range(kernel_size(hp)):
        window = [
            slice(offset, offset + size) if axis in axes else slice(None)
            for axis, size in enumerate(values.shape)
        ]
        moved.append(padded[tuple(window)])
    return moved


def features(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """The last hidden layer of one draw at one input, shape (feature,)."""
    phi = chosen_activation(hp).function
    for layer in range(depth(hp)):
        for axis in reversed(range(x.ndim - 1)):
            x = jnp.concatenate(neighbours(hp, x, [axis]), axis=-1)
        weights = params[f"W{layer}"].reshape(x.shape[-1], hp.width)
        # Full precision: accelerators would multiply in 10 bits, and show it.
        z = jnp.matmul(x, weights, precision="highest")
        x = phi(z + jnp.broadcast_to(params[f"b{layer}"], z.shape))
    channels = x.reshape(-1, hp.width)
    return jnp.mean(channels, axis=0) if pools(hp) else channels.reshape(-1)


def apply(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """The output of one draw at one input, shape (output_dim,)."""
    return affine(params, depth(hp), features(hp, params, x))


def filtered(hp: nnft.Hyperparameters, means: jax.Array) -> jax.Array:
    """The average over the offsets of a filter.

    Of an array over the positions of an image, or over all pairs of positions.
    """
    rank = len(hp.input_shape) - 1
    for axis in range(rank):
        along = range(axis, means.ndim, rank)  # of both positions of a pair
        means = jnp.mean(jnp.stack(neighbours(hp, means, along)), axis=0)
    return means


def input_means(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> Arrays:
    """Products of x with x, y with y and x with y, averaged over the channels.

    The readout of all positions has weights of its own for each, so that for it equal
    positions of x and y suffice; the average takes all pairs of positions.
    """
    if pools(hp):
        products = jnp.tensordot(x, y, axes=(-1, -1), precision="highest")
        xy = products / x.shape[-1]
    else:
        xy = jnp.mean(x * y, axis=-1)
    return jnp.mean(x * x, axis=-1), jnp.mean(y * y, axis=-1), xy


def aligned(
    hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Arrays over positions of x and over those of y, to broadcast as x with y does."""
    if not pools(hp):
        return x, y
    ones = (1,) * x.ndim
    return x.reshape(x.shape + ones), y.reshape(ones + y.shape)


def kernel(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """The layer recursion of the covariance between positions p of x and q of y.

    Kˡ⁺¹(p, q) = σ_b² + σ_W² mean over offsets o of E[φ φ'](p + o, q + o), E over
    Gaussians of covariance Kˡ; beyond a border padded with zeros nothing is added.

    Source: arXiv:1810.05148 §2.2, and §3.1 and §3.2.1 for the readouts.
    """
    phi, duals = chosen_activation(hp), nnft.activations

    def step(means: Arrays, _: None) -> tuple[Arrays, None]:
        xx, yy, xy = (layer_covariance(hp, filtered(hp, mean)) for mean in means)
        pairs = (*aligned(hp, xx, yy), xy)
        squares = duals.mean_square(phi, xx), duals.mean_square(phi, yy)
        return (*squares, duals.mean_product(phi, *pairs)), None

    # A scan compiles one layer, however many there are.
    last, _ = jax.lax.scan(step, input_means(hp, x, y), length=depth(hp))
    return layer_covariance(hp, jnp.mean(last[2]))


def kernel_error(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """The errors of a layer's means, carried through the layers above to first order.

    Filters and readout average them as they do the means.
    """
    phi, duals = chosen_activation(hp), nnft.activations

    def step(carried: tuple[Arrays, Arrays], _: None) -> tuple[Any, None]:
        means, errors = carried
        xx, yy, xy = (layer_covariance(hp, filtered(hp, mean)) for mean in means)
        e_xx, e_yy, e_xy = (hp.weight_std**2 * filtered(hp, e) for e in errors)
        pairs = (*aligned(hp, xx, yy), xy)
        e_pairs = (*aligned(hp, e_xx, e_yy), e_xy)
        squares = duals.mean_square(phi, xx), duals.mean_square(phi, yy)
        e_squares = square_error(phi, xx, e_xx), square_error(phi, yy, e_yy)
        next_means = (*squares, duals.mean_product(phi, *pairs))
        return (next_means, (*e_squares, product_error(phi, pairs, e_pairs))), None

    start = input_means(hp, x, y)
    exact = tuple(jnp.zeros_like(mean) for mean in start)
    (_, errors), _ = jax.lax.scan(step, (start, exact), length=depth(hp))
    return hp.weight_std**2 * jnp.mean(errors[2])


def tangent_kernel(
    hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array
) -> dict[str, jax.Array]:
    """Shares of the filters and biases of all layers, each in units of its σ.

    Upward as in `kernel`; back down go the slopes of the output's covariance in that of
    every layer between positions p and q, by Price's theorem through φ and by the
    transpose of the average over a filter's offsets.

    Source: Arora et al., arXiv:1904.11955 §4, by parameters.
    """
    phi, duals = chosen_activation(hp), nnft.activations

    def up(means: Arrays, _: None) -> tuple[Arrays, Arrays]:
        averages = tuple(filtered(hp, mean) for mean in means)
        xx, yy, xy = (layer_covariance(hp, average) for average in averages)
        pairs = (*aligned(hp, xx, yy), xy)
        squares = duals.mean_square(phi, xx), duals.mean_square(phi, yy)
        found = averages[2], duals.mean_slope_product(phi, *pairs)
        return (*squares, duals.mean_product(phi, *pairs)), found

    start = input_means(hp, x, y)
    (_, _, last), (averages, slopes) = jax.lax.scan(up, start, length=depth(hp))
    transpose = jax.linear_transpose(lambda mean: filtered(hp, mean), last)

    def down(by_mean: jax.Array, layer: Arrays) -> tuple[jax.Array, Arrays]:
        average, slope = layer
        by_covariance = by_mean * slope
        (by_average,) = transpose(hp.weight_std**2 * by_covariance)
        weights = hp.weight_std**2 * jnp.sum(by_covariance * average)
        return by_average, (weights, hp.bias_std**2 * jnp.sum(by_covariance))

    by_last = jnp.full_like(last, hp.weight_std**2 / last.size)
    _, (weights, biases) = jax.lax.scan(down, by_last, (averages, slopes), reverse=True)
    shares = {f"W{layer}": weights[layer] for layer in range(depth(hp))}
    shares |= {f"b{layer}": biases[layer] for layer in range(depth(hp))}
    readout = hp.weight_std**2 * jnp.mean(last)
    bias = jnp.full_like(readout, hp.bias_std**2)
    return shares | {f"W{depth(hp)}": readout, f"b{depth(hp)}": bias}


@nnft.hookimpl
def nnft_ppl_architecture() -> nnft.Architecture:
    """Convolutions over a line or a plane, wide in channels."""
    return nnft.Architecture(
        name="conv-net",
        description="convolutions in 1-D or 2-D, any depth; arXiv:1810.05148",
        prior=prior,
        apply=apply,
        kernel=kernel,
        kernel_error=kernel_error,
        tangent_kernel=tangent_kernel,
        readout=linear_readout(features),
        symmetries=frozenset({"sign"}),
        options=OPTIONS,
        check=check,
        # Flat: sequences of one channel, but images of 3 × 3 for nine numbers.
        suggested_inputs={
            5: [
                [1.0, 0.0, 0.0, 0.0, 0.0],
                [0.0, 1.0, 0.0, 0.0, 0.0],
                [1.0, 1.0, 0.0, -1.0, -1.0],
                [0.5, -0.5, 1.0, -1.0, 0.5],
            ],
            9: [
                [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0],
                [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0],
                [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
                [1.0, -1.0, 0.5, -0.5, 1.0, -1.0, 0.5, -0.5, 1.0],
            ],
        },
    )
