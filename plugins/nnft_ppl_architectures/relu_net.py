"""`relu-net`: one hidden layer of max(z, 0) (arXiv:2008.08601 §2.3)."""

import jax
import jax.numpy as jnp

import nnft_ppl as nnft
from nnft_ppl_architectures import single_hidden_layer


def weight_kernel(hp: nnft.Hyperparameters, x: jax.Array, y: jax.Array) -> jax.Array:
    """K_W = σ_W² √(s_xx s_yy) (sin θ + (π − θ) cos θ)/(2π), cos θ = s_xy/√(s_xx s_yy).

    Source: theory.md §1; Cho and Saul (2009), arc-cosine kernel of degree one.
    """
    xx = single_hidden_layer.covariance(hp, x, x)
    yy = single_hidden_layer.covariance(hp, y, y)
    xy = single_hidden_layer.covariance(hp, x, y)
    # √(s_xx s_yy) sin θ; arctan2 keeps its digits where arccos loses them (θ → 0).
    # Where x ∥ y but for rounding it is 0 with slope 0: K is ∝ θ³ beside a smooth part,
    # and the slope of √0 would make derivatives NaN.
    squared = xx * yy - xy**2
    parallel = squared <= 1e-14 * xx * yy
    opposite = jnp.where(parallel, 0.0, jnp.sqrt(jnp.where(parallel, 1.0, squared)))
    angle = jnp.arctan2(opposite, jnp.where(parallel & (xy == 0), 1.0, xy))
    return hp.weight_std**2 * (opposite + (jnp.pi - angle) * xy) / (2 * jnp.pi)


@nnft.hookimpl
def nnft_ppl_architecture() -> nnft.Architecture:
    """The ReLU-net of Halverson, Maiti and Stoner."""
    return single_hidden_layer.architecture(
        name="relu-net",
        description="one hidden layer, max(z, 0); arXiv:2008.08601",
        activation=lambda z, variance: jnp.maximum(z, 0.0),
        weight_kernel=weight_kernel,
        symmetries=frozenset({"rotation", "sign"}),
        homogeneity=1,
        suggested_inputs={
            1: [[0.2], [0.4], [0.6], [0.8], [1.0], [1.2]],
            2: [[0.5, 0.5], [0.5, 1.0], [1.0, 0.5], [1.0, 1.0]],
            3: [[0.2, 0.2, 0.2], [1.0, 1.0, 0.2], [0.2, 1.0, 1.0], [1.0, 0.2, 1.0]],
        },
    )
