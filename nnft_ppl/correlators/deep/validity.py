"""Deep networks that the expansion in 1/width does not serve."""

from collections.abc import Sequence

import jax
import numpy as np

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._host import on_host
from nnft_ppl.activations import mean_square, share_left_out
from nnft_ppl.correlators.deep.layer_recursion import LayerStep

_JUMP = 5e-3
"""Share of E[φ²] beyond the Hermite series of φ that tells a jump from a kink."""
_DECADES = 300 // 8
"""Of a field, on either side of 1, whose eighth power float64 holds."""


def check_sizes(layers: Sequence[LayerStep], variance: np.ndarray) -> None:
    """Refuse layers so small or large that products of eight leave float64.

    Args:
        layers: Of the recursion.
        variance: Of the first preactivation, (point,).

    Raises:
        SpecError: One is.
    """
    for number in range(len(layers) + 1):
        size = np.sqrt(variance[variance > 0])
        bad = size[(np.abs(np.log10(size)) > _DECADES) | ~np.isfinite(size)]
        if len(bad):
            raise SpecError(
                f"preactivations of layer {number + 1} are of size {bad[0]:.1g} here; "
                f"the expansion in 1/width can be had from 1e-{_DECADES} to "
                f"1e{_DECADES}. Bring `weight_std` or the inputs nearer to 1"
            )
        if number < len(layers):
            step = layers[number]
            with on_host(), jax.enable_x64(True):
                square = np.asarray(mean_square(step.activation, variance))
            variance = step.bias_variance + step.weight_variance * square


def check_jumps(layers: Sequence[LayerStep], variance: np.ndarray) -> None:
    """Refuse an activation that jumps without saying so.

    The means over pairs take it for differentiable, and their lattices may agree on
    what a jump makes of them. Where the series of φ at these variances converges as
    slowly as that of a jump, it is taken for one. Kinks are no help to the lattices.

    Args:
        layers: Of the recursion.
        variance: Of the first preactivation, (point,).

    Raises:
        UnavailableError: It jumps, or is as steep as a jump.
    """
    for step in layers:
        variance = variance[variance > 0]
        if step.activation.homogeneity is not None or not len(variance):
            return
        with on_host(), jax.enable_x64(True):
            square = np.asarray(mean_square(step.activation, variance))
            worst = float(share_left_out(step.activation, variance).max())
        if not worst <= _JUMP:
            raise UnavailableError(
                f"activation {step.activation.name!r} jumps, or is as steep as a "
                f"jump, at preactivations of variance {variance.max():.3g}: its "
                f"series leaves out {worst:.1e} of its mean square, expected "
                f"at most {_JUMP:g}. The "
                "expansion in 1/width needs its slope; use measure_correlators, or "
                "declare `homogeneity` where the activation is a power on each side "
                "of 0 (`kinks` serve the kernel alone)"
            )
        variance = step.bias_variance + step.weight_variance * square
