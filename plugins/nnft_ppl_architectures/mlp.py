"""`mlp`: fully connected layers of any depth and activation.

z¹ = b + W x, zˡ⁺¹ = b + W φ(zˡ) for l < L, f = b + W φ(zᴸ), all weights independent of
standard deviation σ_W/√fan-in, all biases N(0, σ_b²) (theory.md §1). The first W is
normal; the law of the others is an option.
"""

from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp

import nnft_ppl as nnft
from nnft_ppl_architectures import weight_laws
from nnft_ppl_architectures.activations import OPTION, chosen_activation
from nnft_ppl_architectures.carried_errors import carried_error
from nnft_ppl_architectures.normal_site import normal

type Params = dict[str, jax.Array]
type Arrays = tuple[jax.Array, ...]


def depth(hp: nnft.Hyperparameters) -> int:
    """L, the number of hidden layers."""
    return hp.option("depth", int)


def hidden_widths(hp: nnft.Hyperparameters) -> tuple[int, ...]:
    """n_1 … n_L: the width times each of the factors, and at least 1.

    Raises:
        SpecError: There are not L factors, or one is no number > 0.
    """
    text = str(hp.options["width_factors"])
    if not text.strip():
        return depth(hp) * (hp.width,)
    try:
        factors = [float(part) for part in text.split(",")]
    except ValueError:
        factors = []
    if len(factors) != depth(hp) or not all(0 < f < float("inf") for f in factors):
        raise nnft.SpecError(
            f"option `width_factors` is {text!r}; expected {depth(hp)} numbers > 0 "
            "separated by commas, one for each hidden layer (depth="
            f"{depth(hp)}), or nothing for equal widths"
        )
    return tuple(max(1, round(factor * hp.width)) for factor in factors)


def check(hp: nnft.Hyperparameters) -> None:
    """Refuse width factors that do not fit the depth."""
    hidden_widths(hp)


def prior(hp: nnft.Hyperparameters) -> Params:
    """Sample all layers, independent."""
    law = weight_laws.weight_law(hp)
    sizes = (hp.input_dim, *hidden_widths(hp), hp.output_dim)
    params = {}
    for layer, (fan_in, size) in enumerate(pairwise(sizes)):
        name, std = f"W{layer}", hp.weight_std / fan_in**0.5
        params[name] = (
            normal(name, std, fan_in, size)
            if layer == 0
            else std * law.draw(name, (fan_in, size))
        )
        params[f"b{layer}"] = normal(f"b{layer}", hp.bias_std, size)
    return params


def affine(params: Params, layer: int, x: jax.Array) -> jax.Array:
    """W x + b of one layer, in full precision also on accelerators."""
    weights, biases = params[f"W{layer}"], params[f"b{layer}"]
    return jnp.matmul(x, weights, precision="highest") + biases


def features(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """φ(zᴸ) of one draw at one input, shape (n_L,)."""
    phi = chosen_activation(hp).function
    hidden = x.reshape(-1)
    for layer in range(depth(hp)):
        hidden = phi(affine(params, layer, hidden))
    return hidden


def apply(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """The output of one draw at one input, shape (output_dim,)."""
    return affine(params, depth(hp), features(hp, params, x))


def layer(hp: nnft.Hyperparameters, mean: jax.Array) -> jax.Array:
    """σ_b² + σ_W² E[h h'], the covariance of what a layer makes of its inputs h."""
    return hp.bias_std**2 + hp.weight_std**2 * mean


def covariance(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """s(x, y) = σ_b² + σ_W² x·y/d_in of the first layer."""
    return layer(hp, jnp.vdot(x, y) / hp.input_dim)


def first(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> Arrays:
    """s(x, x), s(y, y) and s(x, y), in the precision of the layers above."""
    pairs = ((x, x), (y, y), (x, y))
    return tuple(covariance(hp, a, b).astype(float) for a, b in pairs)


def above(hp: nnft.Hyperparameters, covariances: Arrays) -> Arrays:
    """Kˡ⁺¹ from Kˡ of the same three pairs."""
    phi, duals = chosen_activation(hp), nnft.activations
    xx, yy, xy = covariances
    means = (
        duals.mean_square(phi, xx),
        duals.mean_square(phi, yy),
        duals.mean_product(phi, xx, yy, xy),
    )
    return tuple(layer(hp, mean) for mean in means)


def kernel(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """K¹ = s, Kˡ⁺¹ = σ_b² + σ_W² E[φ φ'], E over Gaussians of covariance Kˡ.

    Exact at infinite width; for one hidden layer at every width.

    Source: theory.md §2; Lee et al., arXiv:1711.00165 equation 5.
    """

    def step(covariances: Arrays, _: None) -> tuple[Arrays, None]:
        return above(hp, covariances), None

    # A scan compiles one layer, however many there are.
    last, _ = jax.lax.scan(step, first(hp, x, y), length=depth(hp) - 1)
    return layer(hp, nnft.activations.mean_product(chosen_activation(hp), *last))


def kernel_error(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """The errors of the layers' means, carried to the output to first order."""
    phi, duals = chosen_activation(hp), nnft.activations
    square = partial(carried_error, duals.mean_square, duals.mean_square_error, phi)
    product = partial(carried_error, duals.mean_product, duals.mean_product_error, phi)

    def step(carried: tuple[Arrays, Arrays], _: None) -> tuple[Any, None]:
        covariances, errors = carried
        (xx, yy, _xy), (e_xx, e_yy, _e_xy) = covariances, errors
        grown = (
            square((xx,), (e_xx,)),
            square((yy,), (e_yy,)),
            product(covariances, errors),
        )
        scaled = tuple(hp.weight_std**2 * error for error in grown)
        return (above(hp, covariances), scaled), None

    start = first(hp, x, y)
    exact = tuple(jnp.zeros_like(value) for value in start)
    last, _ = jax.lax.scan(step, (start, exact), length=depth(hp) - 1)
    return hp.weight_std**2 * product(*last)


def readout(hp: nnft.Hyperparameters) -> nnft.Readout:
    """The last layer; where its weights have no variance, their moments say so."""
    return nnft.Readout(
        features=lambda params, x: features(hp, params, x),
        weight_std=hp.weight_std,
        bias_std=hp.bias_std,
        weight_moment=weight_laws.weight_law(hp).moment,
    )


def neuron(hp: nnft.Hyperparameters) -> nnft.Neuron | None:
    """The hidden neuron of one hidden layer; those of more share the layer below."""
    if depth(hp) > 1 or weight_laws.weight_law(hp).unlimited is not None:
        return None
    phi = chosen_activation(hp)
    return nnft.Neuron(
        covariance=lambda x, y: covariance(hp, x, y),
        activation=lambda z, variance: phi.function(z),
        homogeneity=phi.homogeneity,
    )


def hidden_layers(hp: nnft.Hyperparameters) -> nnft.HiddenLayers | None:
    """The layers, where all of them are normal."""
    if weight_laws.weight_law(hp).moment is not None:
        return None
    return nnft.HiddenLayers(
        covariance=lambda x, y: covariance(hp, x, y),
        widths=hidden_widths(hp),
        activation=chosen_activation(hp),
        weight_std=hp.weight_std,
        bias_std=hp.bias_std,
    )


@nnft.hookimpl
def nnft_ppl_architecture() -> nnft.Architecture:
    """Fully connected layers of any depth, activation and law of the weights."""
    return nnft.Architecture(
        name="mlp",
        description="fully connected layers, any depth; arXiv:1711.00165",
        prior=prior,
        apply=apply,
        kernel=kernel,
        kernel_error=kernel_error,
        unknown_kernel=lambda hp: weight_laws.weight_law(hp).unlimited,
        no_gp_limit=lambda hp: weight_laws.weight_law(hp).unlimited,
        readout=readout,
        neuron=neuron,
        hidden_layers=hidden_layers,
        symmetries=frozenset({"rotation", "sign"}),
        options={
            "depth": nnft.Option(
                default=2, help="L, the number of hidden layers", minimum=1, maximum=100
            ),
            "activation": OPTION,
            "width_factors": nnft.Option(
                default="",
                help="width of each hidden layer over `width`, as in 1,2,1; "
                "empty for equal widths",
            ),
            **weight_laws.OPTIONS,
        },
        check=check,
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
