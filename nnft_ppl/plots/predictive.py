"""What methods predict at new inputs, with the data, in one figure."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import ndtri

from nnft_ppl._errors import SpecError, shown
from nnft_ppl.bayes.comparison import EXACT, FIRST, GAUSSIAN, THEORY
from nnft_ppl.bayes.comparison import PosteriorComparison as Comparison
from nnft_ppl.bayes.data_set import Standard
from nnft_ppl.bayes.result import Posterior
from nnft_ppl.plots.style import MUTED, Given, colors, ink, look, panels

_MASS = 0.9
"""Probability of the intervals that are drawn."""
_MARKED = 20
"""Up to so many new inputs are marked: between them lines only join."""
_TAILS = np.array([1 - _MASS, 1 + _MASS]) / 2
_LOOKS = {
    EXACT: (0, "-"),
    GAUSSIAN: (1, "--"),
    FIRST: (2, "-."),
    THEORY: (3, ":"),
}
"""Method -> number of its colour, and line."""


def plot_predictive(
    found: Posterior | Comparison,
    *,
    standard: Standard | None = None,
    ax: Given = None,
) -> Figure:
    """The field at new inputs, 90 % of it by each method, and the targets.

    Inputs of one number are the horizontal axis, with the data as points; up to 20 new
    ones are marked, as lines and bands only join what lies between them. Of several,
    new inputs are put in the order of the exact mean of the output, with the targets
    held out as points. Of a comparison a second panel has the distance of means from
    the exact ones in units of the exact standard deviation, with the tolerance as a
    band. With several outputs these panels follow for each of them.

    Args:
        found: The exact posterior, or a comparison of all methods.
        standard: What inputs and targets were standardised by: the figure is then in
            the units of the user.
        ax: Axes to draw on instead of a new figure: one for each output, or two where
            methods are compared.

    Raises:
        SpecError: `found` is neither, or `ax` is not as many Axes as panels.
    """
    if not isinstance(found, Posterior | Comparison):
        raise SpecError(
            f"`found` is {shown(found)}; expected nnft_ppl.Posterior or "
            "nnft_ppl.PosteriorComparison"
        )
    comparison = found if isinstance(found, Comparison) else None
    exact = found.exact if isinstance(found, Comparison) else found
    data = exact.data
    num_outputs = exact.mean.reshape(len(exact.mean), -1).shape[1]
    with look():
        heights = [3.6] if comparison is None else [3.4, 1.6]
        drawn = panels(ax, heights * num_outputs, sharex=num_outputs == 1)
        for output in range(num_outputs):
            own = drawn.axes[output * len(heights) :][: len(heights)]
            axis = own[0]
            place, order, label = _places(exact, standard, output)
            edges = _exact_edges(exact, standard, output)[:, order]
            _draw_exact(axis, place, edges)
            for method in [] if comparison is None else comparison.methods[:-1]:
                assert comparison is not None
                _draw_method(
                    axis, place, method, _edges(comparison, method, standard, output)
                )
            if comparison is not None:
                _draw_distances(own[1], place, comparison, order, output)
                if comparison.y_new is not None:
                    new = _back(comparison.y_new, standard)[order, output]
                    axis.plot(
                        place,
                        new,
                        "o",
                        mfc="none",
                        ms=3.5,
                        color=ink(),
                        label="held out",
                    )
            if label == "input":
                x = data["constant_data"]["x"].to_numpy()
                x = x if standard is None else standard.inputs_back(x)
                y = data["observed_data"]["y"].to_numpy().reshape(len(x), -1)
                axis.plot(
                    x[:, 0],
                    _back(y, standard)[:, output],
                    ".",
                    ms=7,
                    color=ink(),
                    label="data",
                )
            of_many = "" if num_outputs == 1 else f", output {output}"
            axis.set(
                title=f"Width {exact.network.width}: {round(100 * _MASS)} % of the "
                f"field{of_many}",
                ylabel="target",
            )
            own[-1].set_xlabel(label)
        drawn.legend()
    return drawn.figure


def _places(
    exact: Posterior, standard: Standard | None, output: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """Where new inputs are drawn, their order, and what the axis is of."""
    x_new = exact.data["predictions_constant_data"]["x_new"].to_numpy()
    if x_new.shape[1] == 1:
        x_new = x_new if standard is None else standard.inputs_back(x_new)
        order = np.argsort(x_new[:, 0], kind="stable")
        return x_new[order, 0], order, "input"
    order = np.argsort(exact.mean.reshape(len(x_new), -1)[:, output], kind="stable")
    return np.arange(len(order)), order, "new input, smallest exact mean first"


def _back(values: np.ndarray, standard: Standard | None) -> np.ndarray:
    """(…, output) in the units of the user."""
    return values if standard is None else standard.targets_back(values)


def _exact_edges(
    exact: Posterior, standard: Standard | None, output: int
) -> np.ndarray:
    """Ends of the field's interval, its mean, ends of new targets': (5, new)."""
    number = len(exact.mean)
    of_field, of_target = (
        exact.quantile(_TAILS, of=of).reshape(2, number, -1) for of in ("f", "y")
    )
    mean = exact.mean.reshape(1, number, -1)
    return _back(np.concatenate([of_field, mean, of_target]), standard)[..., output]


def _look(method: str) -> tuple[str, str]:
    """Colour and line of a method."""
    number, line = _LOOKS[method]
    return colors()[number], line


def _draw_exact(axis: Axes, place: np.ndarray, edges: np.ndarray) -> None:
    low, high, mean, lowest, highest = edges
    color, style = _look(EXACT)
    axis.fill_between(
        place, lowest, highest, color=MUTED, alpha=0.15, lw=0, label="new targets"
    )
    axis.fill_between(place, low, high, color=color, alpha=0.25, lw=0)
    marker = "D" if len(place) <= _MARKED else ""
    axis.plot(place, mean, style, marker=marker, ms=4, color=color, lw=1.6, label=EXACT)


def _edges(
    comparison: Comparison, method: str, standard: Standard | None, output: int
) -> np.ndarray:
    """Mean, low and high end of a normal field, (3, new), in order; NaN where none."""
    _, order, _ = _places(comparison.exact, standard, output)
    mean, variance = comparison.moments(method)
    reach = ndtri(_TAILS[1]) * np.sqrt(np.where(variance > 0, variance, np.nan))
    edges = np.stack([mean, mean - reach, mean + reach])
    return _back(edges, standard)[:, order, output]


def _draw_method(axis: Axes, place: np.ndarray, method: str, edges: np.ndarray) -> None:
    """Mean and ends as lines: bands of four methods would hide one another."""
    color, style = _look(method)
    axis.plot(place, edges[0], style, color=color, lw=1.4, label=method)
    for edge in edges[1:]:
        axis.plot(place, edge, style, color=color, lw=0.9, alpha=0.8)


def _draw_distances(
    axis: Axes,
    place: np.ndarray,
    comparison: Comparison,
    order: np.ndarray,
    output: int,
) -> None:
    mean, variance = (one[order, output] for one in comparison.moments(EXACT))
    axis.axhspan(
        -comparison.tolerance, comparison.tolerance, color=colors()[0], alpha=0.15, lw=0
    )
    axis.axhline(0, color=colors()[0], lw=0.8)
    for method in comparison.methods[:-1]:
        color, style = _look(method)
        other = comparison.moments(method)[0][order, output]
        axis.plot(place, (other - mean) / np.sqrt(variance), style, color=color, lw=1.3)
    axis.set_ylabel("mean − exact,\nin exact sd")
