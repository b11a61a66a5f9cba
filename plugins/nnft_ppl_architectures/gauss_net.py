"""`gauss-net`: one hidden layer of exp(z − s(x,x)) (arXiv:2008.08601 §2.3)."""

import jax
import jax.numpy as jnp

import nnft_ppl as nnft
from nnft_ppl_architectures import single_hidden_layer


def weight_kernel(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """K_W = σ_W² exp(−σ_W² |x − y|²/(2 d_in)), translation invariant (theory.md §1)."""
    distance = hp.weight_std**2 * jnp.sum((x - y) ** 2) / (2 * hp.input_dim)
    return hp.weight_std**2 * jnp.exp(-distance)


def product_mean(covariance: jax.Array) -> jax.Array:
    """E[Π φ_i] = exp(½ Σ_ij s_ij − Σ_i s_ii), exact at any order (theory.md §2)."""
    return jnp.exp(0.5 * jnp.sum(covariance) - jnp.trace(covariance))


@nnft.hookimpl
def nnft_ppl_architecture() -> nnft.Architecture:
    """The Gauss-net of Halverson, Maiti and Stoner."""
    return single_hidden_layer.architecture(
        name="gauss-net",
        description="one hidden layer, exp(z − s(x,x)); arXiv:2008.08601",
        activation=lambda z, variance: jnp.exp(z - variance),
        weight_kernel=weight_kernel,
        slope_kernel=weight_kernel,  # φ' = φ
        symmetries=frozenset({"translation", "rotation", "sign"}),
        product_mean=product_mean,
        suggested_inputs={
            1: [[-0.01], [-0.006], [-0.002], [0.002], [0.006], [0.01]],
            2: [[-0.01, -0.01], [-0.01, 0.01], [0.01, -0.01], [0.01, 0.01]],
            3: [
                [-0.01, -0.01, -0.01],
                [0.01, 0.01, -0.01],
                [-0.01, 0.01, 0.01],
                [0.01, -0.01, 0.01],
            ],
        },
    )
