"""`relu-net`: one hidden layer of max(z, 0) (arXiv:2008.08601 §2.3)."""

import jax.numpy as jnp

import nnft_ppl as nnft
from nnft_ppl_architectures import single_hidden_layer
from nnft_ppl_architectures.activations import relu_dual


@nnft.hookimpl
def nnft_ppl_architecture() -> nnft.Architecture:
    """The ReLU-net of Halverson, Maiti and Stoner."""
    return single_hidden_layer.architecture(
        name="relu-net",
        description="one hidden layer, max(z, 0); arXiv:2008.08601",
        activation=lambda z, variance: jnp.maximum(z, 0.0),
        weight_kernel=single_hidden_layer.dual_kernel(relu_dual),
        slope_kernel=single_hidden_layer.dual_slope(relu_dual),
        symmetries=frozenset({"rotation", "sign"}),
        homogeneity=1,
        suggested_inputs={
            1: [[0.2], [0.4], [0.6], [0.8], [1.0], [1.2]],
            2: [[0.5, 0.5], [0.5, 1.0], [1.0, 0.5], [1.0, 1.0]],
            3: [[0.2, 0.2, 0.2], [1.0, 1.0, 0.2], [0.2, 1.0, 1.0], [1.0, 0.2, 1.0]],
        },
    )
