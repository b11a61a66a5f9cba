"""Whether intervals hold what they should: ranks and coverage of simulations."""

import numpy as np
import xarray as xr
from arviz_stats.ecdf_utils import ecdf_pit
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nnft_ppl._errors import SpecError, shown
from nnft_ppl.plots.style import MUTED, Given, colored, ink, look, panels, plain

_BAND = 0.95
_NUM_SIMULATIONS = 1000


def plot_ranks(calibration: xr.DataTree, *, ax: Given = None) -> Figure:
    """Distribution of the ranks of simulated parameters, less the uniform one.

    For every parameter the share of simulations whose rank is at most u, less u. If the
    posterior is calibrated, the whole curve stays in the band with a probability of
    95 %. Below it at small u and above at large: intervals are too wide; the other way
    round: too narrow; on one side everywhere: biased.

    Args:
        calibration: From `nnft_ppl.simulation_based_calibration`, or any tree with the
            group `prior_sbc` that ArviZ knows, of fractional ranks.
        ax: Axes to draw on instead of a new figure.

    Raises:
        SpecError: It holds no ranks, or `ax` is not one Axes.

    Source: Säilynoja, Bürkner, Vehtari, Statistics and Computing 32, 32 (2022).
    """
    ranks = _ranks(calibration)
    with look():
        drawn = panels(ax, [3.4])
        _draw(drawn.axes[0], ranks, tilted=True)
        drawn.axes[0].set(
            title="Ranks of simulated parameters",
            xlabel="rank $u$ among posterior draws",
            ylabel="share of ranks ≤ $u$, less $u$",
        )
        drawn.legend()
    return drawn.figure


def plot_coverage(calibration: xr.DataTree, *, ax: Given = None) -> Figure:
    """How often central intervals hold the simulated parameter, by their probability.

    On the diagonal they hold it as often as they should; above it they are too wide,
    below too narrow. The band holds the whole curve with a probability of 95 % if they
    are calibrated.

    Args:
        calibration: As of `plot_ranks`.
        ax: Axes to draw on instead of a new figure.

    Raises:
        SpecError: It holds no ranks, or `ax` is not one Axes.
    """
    ranks = {name: 2 * np.abs(u - 0.5) for name, u in _ranks(calibration).items()}
    with look():
        drawn = panels(ax, [4.4])
        _draw(drawn.axes[0], ranks, tilted=False)
        drawn.axes[0].set(
            title="Coverage of central intervals",
            xlabel="probability of the interval",
            ylabel="share of simulations inside",
        )
        drawn.legend()
    return drawn.figure


def _ranks(calibration: xr.DataTree) -> dict[str, np.ndarray]:
    """Label -> fractional ranks, one for each simulation."""
    if not isinstance(calibration, xr.DataTree) or "prior_sbc" not in calibration:
        raise SpecError(
            f"`calibration` is {shown(calibration)}; expected what "
            "nnft_ppl.simulation_based_calibration returns"
        )
    found = {}
    for name, ranks in calibration["prior_sbc"].data_vars.items():
        flat = ranks.stack(simulation=("chain", "draw")).transpose("simulation", ...)
        columns = flat.to_numpy().reshape(flat.sizes["simulation"], -1)
        names = ranks.coords["operator"].values if "operator" in ranks.dims else [""]
        for of, column in zip(names, columns.T, strict=True):
            found[plain(f"{name} {of}".strip().replace("_", " "))] = column
    return found


def _draw(axis: Axes, ranks: dict[str, np.ndarray], *, tilted: bool) -> None:
    """Distribution functions, and the band of uniform ones; or less the uniform."""
    uniform = np.linspace(0, 1, len(next(iter(ranks.values()))))
    at, _, lower, upper = ecdf_pit(uniform, _BAND, _NUM_SIMULATIONS)
    base = at if tilted else np.zeros_like(at)
    axis.fill_between(
        at,
        lower - base,
        upper - base,
        color=MUTED,
        alpha=0.25,
        lw=0,
        label=f"calibrated: the whole curve, {round(100 * _BAND)} %",
    )
    axis.plot([0, 1], [0, 0 if tilted else 1], "-", color=ink(), lw=0.8)
    for (label, values), (color, _) in zip(ranks.items(), colored(), strict=False):
        place = np.repeat(np.concatenate([[0.0], np.sort(values), [1.0]]), 2)[1:-1]
        share = np.repeat(np.arange(len(values) + 1) / len(values), 2)
        height = share - place if tilted else share
        axis.plot(place, height, "-", color=color, lw=1.3, label=label)
    axis.set_xlim(0, 1)
