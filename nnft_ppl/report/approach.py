"""The page of a study without an effective action: the approach to the GP alone."""

from collections.abc import Mapping

from markupsafe import Markup

from nnft_ppl._numbers import percent
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.deviation import mean_deviation
from nnft_ppl.correlators.origin import DRAWN
from nnft_ppl.plots import plot_deviation, png
from nnft_ppl.report.alternatives import data_alternatives, deviation_alternative
from nnft_ppl.report.deviations import (
    best_by_width,
    deviation_text,
    distance_sentence,
    fall_sentences,
    is_seen,
    reference_sentence,
)
from nnft_ppl.report.headline import Opening
from nnft_ppl.report.leads import network_lead
from nnft_ppl.report.of_data import data_sentences
from nnft_ppl.report.of_training import training_alternatives, training_sentences
from nnft_ppl.report.page import (
    common_fields,
    common_rows,
    figures_of_data,
    last_rows,
    templates,
)
from nnft_ppl.report.results import Approach
from nnft_ppl.report.tables import Row


def draw_approach(approach: Approach) -> dict[str, bytes]:
    """The figures of the page, name -> PNG."""
    return {
        "deviation": png(plot_deviation(approach.correlators)),
        **figures_of_data(approach.data, approach.training),
    }


def render_approach(approach: Approach, figures: Mapping[str, bytes]) -> str:
    """The page, with the figure of `draw_approach` inside."""
    return (
        templates()
        .get_template("approach.html")
        .render(
            **common_fields(approach, figures),
            opening=write_approach(approach),
            leads={
                "network": network_lead(approach),
                "approach": [distance_sentence(approach)],
            },
            alternatives={
                "deviation": deviation_alternative(approach),
                **data_alternatives(approach.data),
                **training_alternatives(approach.training),
            },
            run=[*common_rows(approach), *last_rows(approach)],
            heavy_tailed=not approach.checks[0].passed,
            orders=_orders(approach),
            deviations=[_row(c, _orders(approach)) for c in approach.correlators],
        )
    )


def write_approach(approach: Approach) -> Opening:
    """Headline and paragraph: how far from the Gaussian process, and how it falls."""
    best = best_by_width(approach)
    widest = best[-1]
    found = mean_deviation(widest, 4)
    name, origin = approach.network.name, widest.origin
    where = "" if origin is DRAWN else f"at width {widest.network.width} "
    passed = all(check.passed for check in approach.checks)
    if not passed:
        headline = "Some correlators cannot be trusted"
    elif is_seen(found):
        headline = (
            f"{where}the 4-point function of {name} is {percent(found.value)} away "
            "from that of the Gaussian process"
        )
    else:
        headline = (
            f"{where}{name} cannot be told from the Gaussian process by these "
            f"{origin.members}"
        )
    return Opening(
        headline=headline[0].upper() + headline[1:],
        sentences=(
            reference_sentence(widest),
            *fall_sentences(best),
            Markup(
                "No effective action was fitted: the study file has no "
                "<code>[eft]</code>."
            ),
            *(Markup("{}.").format(c.message) for c in approach.checks if not c.passed),
            *(() if approach.data is None else data_sentences(approach.data)),
            *(
                ()
                if approach.training is None
                else training_sentences(approach.training)
            ),
        ),
        is_good=passed,
    )


def _orders(approach: Approach) -> list[int]:
    """Those whose deviations are told: odd ones have tests of their own."""
    return [k for k in approach.correlators[0].orders if k % 2 == 0]


def _row(correlators: Correlators, orders: list[int]) -> Row:
    """One row of the table of deviations."""
    deviations = [mean_deviation(correlators, k) for k in orders]
    return {
        "width": correlators.network.width,
        "estimator": correlators.estimator,
        "values": [deviation_text(d) for d in deviations],
    }
