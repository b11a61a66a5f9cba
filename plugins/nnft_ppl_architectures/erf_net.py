"""`erf-net`: one hidden layer of erf(z) (arXiv:2008.08601 §2.3)."""

import jax

import nnft_ppl as nnft
from nnft_ppl_architectures import single_hidden_layer
from nnft_ppl_architectures.activations import erf_dual
from nnft_ppl_architectures.layers import AROUND_ZERO

weight_kernel = single_hidden_layer.dual_kernel(erf_dual)
"""K_W = σ_W² (2/π) arcsin[2 s_xy / √((1 + 2 s_xx)(1 + 2 s_yy))] (theory.md §1)."""

slope_kernel = single_hidden_layer.dual_slope(erf_dual)
"""σ_W² (4/π) / √((1 + 2 s_xx)(1 + 2 s_yy) − 4 s_xy²)."""


@nnft.hookimpl
def nnft_ppl_architecture() -> nnft.Architecture:
    """The Erf-net of Halverson, Maiti and Stoner."""
    return single_hidden_layer.architecture(
        name="erf-net",
        description="one hidden layer, erf(z); arXiv:2008.08601",
        activation=lambda z, variance: jax.scipy.special.erf(z),
        weight_kernel=weight_kernel,
        slope_kernel=slope_kernel,
        symmetries=frozenset({"rotation", "sign"}),
        suggested_inputs=AROUND_ZERO,
    )
