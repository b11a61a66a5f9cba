"""`erf-net`: one hidden layer of erf(z) (arXiv:2008.08601 §2.3)."""

import jax
import jax.numpy as jnp

import nnft_ppl as nnft
from nnft_ppl_architectures import single_hidden_layer


def weight_kernel(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """K_W = σ_W² (2/π) arcsin[2 s_xy / √((1 + 2 s_xx)(1 + 2 s_yy))].

    Source: theory.md §1; Williams (1997).
    """
    xx = 1 + 2 * single_hidden_layer.covariance(hp, x, x)
    yy = 1 + 2 * single_hidden_layer.covariance(hp, y, y)
    xy = 2 * single_hidden_layer.covariance(hp, x, y)
    # arcsin(p/√q) as arctan2(p, √(q − p²)): finite slope and no rounding past 1.
    angle = jnp.arctan2(xy, jnp.sqrt(jnp.maximum(xx * yy - xy**2, 0.0)))
    return hp.weight_std**2 * (2 / jnp.pi) * angle


@nnft.hookimpl
def nnft_ppl_architecture() -> nnft.Architecture:
    """The Erf-net of Halverson, Maiti and Stoner."""
    return single_hidden_layer.architecture(
        name="erf-net",
        description="one hidden layer, erf(z); arXiv:2008.08601",
        activation=lambda z, variance: jax.scipy.special.erf(z),
        weight_kernel=weight_kernel,
        symmetries=frozenset({"rotation", "sign"}),
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
