"""Couplings two by two, as ArviZ draws them."""

import matplotlib.pyplot as plt
import xarray as xr
from arviz_plots import plot_pair
from matplotlib.figure import Figure

from nnft_ppl._arguments import check_kind
from nnft_ppl._errors import SpecError
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.plots.style import WIDTH, look


def plot_corner(fit: CouplingFit, cutoff: float) -> Figure:
    """Draws of the couplings at one cutoff, in pairs, with their marginal densities.

    ArviZ draws them and lays out its panels, so that it takes no axes. Couplings are
    dimensionless, times the width: N c.

    Args:
        fit: Of an action with two operators or more, or an inferred discrepancy.
        cutoff: One of its cutoffs.

    Raises:
        SpecError: The fit has no such cutoff, or one parameter alone.
    """
    check_kind("fit", fit, CouplingFit)
    posterior = fit.at(cutoff)["posterior"].to_dataset()
    width = fit.correlators.network.width
    parameters = {
        name: width * posterior["dimensionless"].sel(operator=name, drop=True)
        for name in fit.action.names
    }
    if fit.has_discrepancy:
        parameters["discrepancy"] = posterior["discrepancy"]
    if len(parameters) < 2:
        raise SpecError(
            f"{fit!r} has one parameter; expected two or more, to be drawn in pairs"
        )
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(parameters)})
    side = max(WIDTH, 1.6 * len(parameters))
    with look():
        drawn = plot_pair(
            tree,
            backend="matplotlib",
            visuals={"scatter": {"alpha": 0.1}},
            figure_kwargs={"figsize": (side, side)},
        )
        figure: Figure = drawn.viz["figure"].item()
        figure.set_layout_engine("constrained")
        plt.close(figure)  # it belongs to no window
    return figure
