"""Random networks as functions, over the Gaussian process that they approach."""

import numpy as np
from matplotlib.figure import Figure

from nnft_ppl._arguments import check_kind, check_whole
from nnft_ppl._errors import SpecError
from nnft_ppl.ensemble.sample import Ensemble
from nnft_ppl.plots.style import MUTED, Given, colors, ink, look, panels, plain

_REACH = 2
"""Standard deviations of the band."""


def plot_draws(
    ensemble: Ensemble, *, num_shown: int = 20, output: int = 0, ax: Given = None
) -> Figure:
    """A few networks as functions of their input, with the Gaussian process's band.

    The band is two standard deviations, from the kernel of infinite width; dashed, two
    standard deviations of all draws of the ensemble. The two agree where the 2-pt
    function is the kernel, whatever the width: what is not Gaussian is in the shapes.

    Args:
        ensemble: From `nnft_ppl.sample_ensemble`, at inputs of one number.
        num_shown: How many networks are drawn as lines, the first ones.
        output: Which output.
        ax: Axes to draw on instead of a new figure.

    Raises:
        SpecError: Inputs have several numbers, there is no such output, `num_shown` is
            no whole number ≥ 1, or `ax` is not one Axes.
    """
    check_kind("ensemble", ensemble, Ensemble)
    number = check_whole("num_shown", num_shown)
    network = ensemble.network
    check_whole("output", output, 0, network.hyperparameters.output_dim - 1)
    if ensemble.x.shape[1] != 1:
        raise SpecError(
            f"`ensemble` has inputs of {ensemble.x.shape[1]} numbers; expected inputs "
            "of one, to be the horizontal axis"
        )
    order = np.argsort(ensemble.x[:, 0])
    x = ensemble.x[order, 0]
    values = ensemble.values[:, order, output]
    spread = _REACH * np.sqrt(np.mean(np.square(values, dtype=np.float64), axis=0))
    with look():
        drawn = panels(ax, [3.6])
        (axis,) = drawn.axes
        if network.has_kernel:
            kernel = np.diag(network.kernel(ensemble.x))[order]
            band = _REACH * np.sqrt(kernel)
            axis.fill_between(
                x,
                -band,
                band,
                color=MUTED,
                alpha=0.25,
                lw=0,
                label=f"Gaussian process, ±{_REACH} sd",
            )
        axis.plot(x, -spread, "--", color=ink(), lw=1.0)
        every = f"all {len(values):,} networks, ±{_REACH} sd"
        axis.plot(x, spread, "--", color=ink(), lw=1.0, label=every)
        blue = colors()[0]
        for i, line in enumerate(values[:number]):
            label = f"{min(number, len(values))} of them" if i == 0 else None
            axis.plot(x, line, "-", color=blue, lw=0.8, alpha=0.55, label=label)
        axis.set(
            title=f"{plain(network.name)} of width {network.width}",
            xlabel="input $x$",
            ylabel="output $f(x)$",
        )
        drawn.legend()
    return drawn.figure
