"""`mlp`: fully connected layers of any depth and activation.

z¹ = b + W x, zˡ⁺¹ = b + W φ(zˡ) for l < L, f = b + W φ(zᴸ), all weights independent of
standard deviation σ_W/√fan-in, all biases N(0, σ_b²) (theory.md §1). The first W is
normal; the law of the others is an option.
"""

from functools import partial
from itertools import pairwise

import jax

import nnft_ppl as nnft
from nnft_ppl_architectures import fully_connected, weight_laws
from nnft_ppl_architectures.activations import OPTION, chosen_activation
from nnft_ppl_architectures.layers import (
    AROUND_ZERO,
    Params,
    affine,
    input_covariance,
    normal,
)


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
            else law.draw(name, std, (fan_in, size))
        )
        params[f"b{layer}"] = normal(f"b{layer}", hp.bias_std, size)
    return params


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


def kernel(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """K¹ = s, Kˡ⁺¹ = σ_b² + σ_W² E[φ φ'], E over Gaussians of covariance Kˡ.

    Exact at infinite width; for one hidden layer at every width.

    Source: theory.md §2; Lee et al., arXiv:1711.00165 equation 5.
    """
    return fully_connected.kernel(hp, x, y, num_steps=depth(hp) - 1)


def kernel_error(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """The errors of the layers' means, carried to the output to first order."""
    return fully_connected.kernel_error(hp, x, y, num_steps=depth(hp) - 1)


def tangent_kernel(
    hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array
) -> dict[str, jax.Array]:
    """Shares of weights and biases, of whatever law: its variance alone counts."""
    return fully_connected.tangent_kernel(hp, x, y, num_steps=depth(hp) - 1)


def readout(hp: nnft.Hyperparameters) -> nnft.Readout:
    """The last layer; where its weights have no variance, their moments say so."""
    return nnft.Readout(
        features=partial(features, hp),
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
        covariance=lambda x, y: input_covariance(hp, x, y),
        activation=lambda z, variance: phi.function(z),
        homogeneity=phi.homogeneity,
    )


def hidden_layers(hp: nnft.Hyperparameters) -> nnft.HiddenLayers | None:
    """The layers, where all of them are normal."""
    if weight_laws.weight_law(hp).moment is not None:
        return None
    return nnft.HiddenLayers(
        covariance=lambda x, y: input_covariance(hp, x, y),
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
        tangent_kernel=tangent_kernel,
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
        suggested_inputs=AROUND_ZERO,
    )
