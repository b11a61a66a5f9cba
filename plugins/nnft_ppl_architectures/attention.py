"""`attention`: one layer of multi-head self-attention, read out linearly.

An input is a sequence of tokens x_t, of shape (tokens, dim); the width is the number H
of heads. Each head projects the tokens to queries, keys and values of `head_dim`
components, with weights N(0, σ_W²/dim) and no biases, and returns, averaged over the
tokens t,

    φ = mean_t Σ_s ζ(q_t·k_s/√head_dim) v_s,    f = b + Σ_j a_j φ_j,

with a ~ N(0, σ_W²/(H head_dim)) over the components of all heads and b ~ N(0, σ_b²). ζ
is the option `scores`: the identity or the softmax over s. One head does not become
Gaussian however large head_dim is, because its components share the scores; many do
(Hron, Bahri, Sohl-Dickstein, Novak, arXiv:2006.10540).
"""

import jax
import jax.numpy as jnp

import nnft_ppl as nnft
from nnft_ppl_architectures.layers import Params, linear_readout, normal


def check(hp: nnft.Hyperparameters) -> None:
    """Refuse inputs that are no sequence of tokens."""
    if len(hp.input_shape) != 2:
        given = hp.input_dim if len(hp.input_shape) == 1 else hp.input_shape
        raise nnft.SpecError(
            f"`input_dim` is {given}; attention reads a sequence of tokens: give "
            "input_dim=(tokens, dim), such as (3, 2), or --input-dim 3x2 on the "
            "command line, for three tokens of two numbers"
        )


def prior(hp: nnft.Hyperparameters) -> Params:
    """Projections to queries, keys and values, then the output layer."""
    dim, size = hp.input_shape[1], head_dim(hp)

    projection_std = hp.weight_std / dim**0.5
    output_std = hp.weight_std / (hp.width * size) ** 0.5
    return {
        "queries": normal("queries", projection_std, hp.width, dim, size),
        "keys": normal("keys", projection_std, hp.width, dim, size),
        "values": normal("values", projection_std, hp.width, dim, size),
        "a": normal("a", output_std, hp.width * size, hp.output_dim),
        "b": normal("b", hp.bias_std, hp.output_dim),
    }


def head_dim(hp: nnft.Hyperparameters) -> int:
    """The option as a number."""
    return hp.option("head_dim", int)


def features(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """Outputs of all heads, averaged over the tokens, (heads · head_dim,)."""
    queries, keys, values = (
        jnp.matmul(x, params[name], precision="highest")  # (head, token, component)
        for name in ("queries", "keys", "values")
    )
    scores = jnp.einsum("htc,hsc->hts", queries, keys, precision="highest")
    scores = scores / head_dim(hp) ** 0.5
    if hp.options["scores"] == "softmax":
        scores = jax.nn.softmax(scores, axis=-1)
    weight = jnp.mean(scores, axis=1)  # of token s in the mean over t
    heads = jnp.einsum("hs,hsc->hc", weight, values, precision="highest")
    return heads.reshape(-1)


def apply(hp: nnft.Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
    """One draw of the network at one sequence, (output_dim,)."""
    hidden = features(hp, params, x)
    return jnp.matmul(hidden, params["a"], precision="highest") + params["b"]


def kernel(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """K = σ_b² + σ_W² c(x̄, ȳ) Σ_st c(x_s, y_t)², identity scores.

    c(u, v) = σ_W² u·v/dim is the covariance of one projected component and x̄ the mean
    token. Every pair s, t of tokens has E[(q̄·k_s)(q̄'·k'_t)]/head_dim = c(x̄, ȳ) c(x_s,
    y_t) by independence of queries and keys, and another c(x_s, y_t) from the values:
    exact for any number of heads and any head_dim.

    Source: arXiv:2006.10540, the scaling 1/√head_dim, here averaged over tokens.
    """
    scale = hp.weight_std**2 / hp.input_shape[1]
    tokens = scale * jnp.matmul(x, y.T, precision="highest")
    # The mean over both tokens is c(x̄, ȳ): c is linear in each.
    pairs = jnp.mean(tokens) * jnp.sum(tokens**2)
    return hp.bias_std**2 + hp.weight_std**2 * pairs


def unknown_kernel(hp: nnft.Hyperparameters) -> str | None:
    """Softmax has no closed form."""
    if hp.options["scores"] == "identity":
        return None
    return (
        "the kernel of softmax attention has no closed form: it is an average of "
        "products of softmaxes over random scores; scores='identity' has one"
    )


@nnft.hookimpl
def nnft_ppl_architecture() -> nnft.Architecture:
    """Multi-head self-attention, wide in heads."""
    return nnft.Architecture(
        name="attention",
        description="one layer of multi-head self-attention; arXiv:2006.10540",
        prior=prior,
        apply=apply,
        kernel=kernel,
        unknown_kernel=unknown_kernel,
        readout=linear_readout(features),
        symmetries=frozenset({"sign"}),
        options={
            "head_dim": nnft.Option(
                default=8, help="components of a query, key or value", minimum=1
            ),
            "scores": nnft.Option(
                default="identity",
                help="what the scores go through: nothing, or the softmax over tokens",
                choices=("identity", "softmax"),
            ),
        },
        check=check,
        # Flat, whatever the number of tokens: two tokens of two numbers, three of two.
        suggested_inputs={
            4: [
                [1.0, 0.0, 0.0, 1.0],
                [1.0, 0.5, -0.5, 1.0],
                [0.5, 1.0, 1.0, 0.0],
                [-1.0, 0.5, 0.5, 0.5],
            ],
            6: [
                [1.0, 0.0, 0.0, 1.0, 0.5, 0.5],
                [1.0, 0.5, -0.5, 1.0, 0.0, 1.0],
                [0.5, 1.0, 1.0, 0.0, -0.5, 0.5],
                [-1.0, 0.5, 0.5, 0.5, 1.0, 0.0],
            ],
        },
    )
