"""Which action describes the data: evidence and leave-tuple-out, action by action."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nnft_ppl._errors import SpecError, shown
from nnft_ppl.diagnostics.answers import PREFERRED
from nnft_ppl.plots.style import MUTED, Given, colors, ink, look, panels, plain

_NEEDED = {"action", "behind", "log_evidence_error", "elpd_diff", "elpd_diff_se"}


def plot_comparison(table: pd.DataFrame, *, ax: Given = None) -> Figure:
    """Log evidence and elpd of each action, less those of the best.

    Above: the log Bayes factor against the best action; within the band nothing is
    decided. Below: the difference of the leave-tuple-out log predictive densities, with
    one standard error of the difference. An action with Pareto k too high for more
    than a few entries has a hollow point: its elpd cannot be trusted.

    Args:
        table: From `nnft_ppl.compare_actions`.
        ax: Two axes to draw on instead of a new figure.

    Raises:
        SpecError: It is no such table, or `ax` is not two Axes.
    """
    if not isinstance(table, pd.DataFrame) or not set(table) >= _NEEDED:
        raise SpecError(
            f"`table` is {shown(table)}; expected what nnft_ppl.compare_actions returns"
        )
    names = [plain(name) for name in table["action"]]
    place = np.arange(len(names))
    height = 1.0 + 0.32 * len(names)
    with look():
        drawn = panels(ax, [height, height])
        blue, orange, *_ = colors()
        above, below = drawn.axes
        above.axvspan(-PREFERRED, 0, color=MUTED, alpha=0.2, lw=0)
        above.errorbar(
            -table["behind"],
            place,
            xerr=table["log_evidence_error"],
            fmt="o",
            capsize=2.5,
            color=blue,
        )
        above.set(title="Evidence", xlabel="log evidence less the best, nats")
        doubtful = table["num_high_pareto_k"].to_numpy() > 0
        for rows, fill in ((~doubtful, orange), (doubtful, "none")):
            below.errorbar(
                table["elpd_diff"][rows],
                place[rows],
                xerr=table["elpd_diff_se"][rows],
                fmt="s",
                ms=4.5,
                mfc=fill,
                capsize=2.5,
                color=orange,
            )
        below.set(title="Leave-tuple-out", xlabel="elpd less the best (1 sd), nats")
        for axis in drawn.axes:
            axis.axvline(0, color=ink(), lw=0.8)
            axis.set_yticks(place, names)
            axis.set_ylim(len(names) - 0.5, -0.5)
    return drawn.figure
