"""The page of a study without an effective action: the approach to the GP alone."""

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup

from nnft_ppl._numbers import percent
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.deviation import Deviation, mean_deviation
from nnft_ppl.correlators.sampled.estimators import PLAIN
from nnft_ppl.plots import plot_deviation, png
from nnft_ppl.report.headline import Opening
from nnft_ppl.report.of_data import data_sentences
from nnft_ppl.report.page import (
    Row,
    common_fields,
    common_rows,
    figures_of_data,
    last_rows,
    templates,
)
from nnft_ppl.report.results import Approach

_NEAR = 0.01
_RESOLVED = 3.0
"""Standard errors from which on a deviation is said to be seen."""


def draw_approach(approach: Approach) -> dict[str, bytes]:
    """The figures of the page, name -> PNG."""
    return {
        "deviation": png(plot_deviation(approach.correlators)),
        **figures_of_data(approach.data),
    }


def render_approach(approach: Approach, figures: Mapping[str, bytes]) -> str:
    """The page, with the figure of `draw_approach` inside."""
    return (
        templates()
        .get_template("approach.html")
        .render(
            **common_fields(approach, figures),
            opening=write_approach(approach),
            run=[*common_rows(approach), *last_rows(approach)],
            heavy_tailed=not approach.checks[0].passed,
            deviations=[_row(c) for c in approach.correlators],
        )
    )


def write_approach(approach: Approach) -> Opening:
    """Headline and paragraph: how far from the Gaussian process, and how it falls."""
    best = _best(approach)
    widest = best[-1]
    found = mean_deviation(widest, 4)
    name, width = approach.network.name, widest.network.width
    passed = all(check.passed for check in approach.checks)
    if not passed:
        headline = "Some correlators cannot be trusted"
    elif _is_seen(found):
        headline = (
            f"At width {width} the 4-point function of {name} is {percent(found.value)}"
            " away from that of the Gaussian process"
        )
    else:
        headline = (
            f"At width {width} {name} cannot be told from the Gaussian process by "
            "these networks"
        )
    return Opening(
        headline=headline,
        sentences=(
            _reference(widest),
            *_fall([(c, mean_deviation(c, 4)) for c in best]),
            Markup(
                "No effective action was fitted: the study file has no "
                "<code>[eft]</code>."
            ),
            *(Markup("{}.").format(c.message) for c in approach.checks if not c.passed),
            *(() if approach.data is None else data_sentences(approach.data)),
        ),
        is_good=passed,
    )


def _best(approach: Approach) -> list[Correlators]:
    """One a width, ascending: exact where there are any, never the plain moments."""
    by_width: dict[int, Correlators] = {}
    plain = all(c.estimator == PLAIN.name for c in approach.correlators)
    for c in approach.correlators:
        if plain or c.estimator != PLAIN.name:
            by_width[c.network.width] = c  # exact ones come last
    return [by_width[width] for width in sorted(by_width)]


def _is_seen(deviation: Deviation) -> bool:
    trusted = not deviation.is_heavy_tailed
    return trusted and deviation.value > _RESOLVED * deviation.error


def _reference(correlators: Correlators) -> Markup:
    """Which Gaussian process it is."""
    network = correlators.network
    if network.kernel_draws is not None:
        error = network.kernel_error(correlators.x)
        size = np.sqrt(np.diag(network.kernel(correlators.x)))
        relative = float((error / np.outer(size, size)).max())
        return Markup(
            "The Gaussian process has the 2-point function of each width, measured on "
            "{:,} other networks to {}."
        ).format(network.kernel_draws.num_draws, percent(relative))
    if network.has_kernel:
        return Markup(
            "The Gaussian process is that of infinite width, whose kernel is known."
        )
    return Markup(
        "No kernel is known, so the Gaussian process has the 2-point function measured "
        "at each width, which then deviates by nothing: the connected 4- and 6-point "
        "functions are what is compared with zero."
    )


def _fall(rows: list[tuple[Correlators, Deviation]]) -> tuple[Markup, ...]:
    """How the deviation of the 4-pt function falls, and where it would be small."""
    seen = [(c.network.width, found) for c, found in rows if _is_seen(found)]
    if not seen:
        return ()
    (first, large), (last, small) = seen[0], seen[-1]
    text = Markup(
        "If it falls as one over the width, the 4-point function is within {} from "
        "width {:,} on."
    ).format(percent(_NEAR), max(1, int(np.ceil(last * small.value / _NEAR))))
    if first == last:
        return (text,)
    slope = np.log(small.value / large.value) / np.log(last / first)
    error = np.hypot(small.error / small.value, large.error / large.value)
    error /= np.log(last / first)
    return (
        Markup(
            "From width {} to {} the deviation of the 4-point function goes as the "
            "width to the power {} (−1 is expected of N independent units)."
        ).format(first, last, f"{slope:.2f} ± {error:.2f}".replace("-", "−")),
        text,
    )


def _row(correlators: Correlators) -> Row:
    """One row of the table of deviations."""
    deviations = [mean_deviation(correlators, k) for k in correlators.orders]
    return {
        "width": correlators.network.width,
        "estimator": correlators.estimator,
        "values": [
            percent(d.value) + (f" ± {percent(d.error)}" if d.error else "")
            for d in deviations
        ],
    }
