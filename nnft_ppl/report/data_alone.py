"""The page of a study of data alone: posteriors, training, no correlators."""

from collections.abc import Mapping

from markupsafe import Markup

from nnft_ppl.correlators.origin import MEASURED
from nnft_ppl.report.alternatives import data_alternatives
from nnft_ppl.report.headline import Opening
from nnft_ppl.report.of_data import data_sentences
from nnft_ppl.report.of_training import training_alternatives, training_sentences
from nnft_ppl.report.page import (
    embedded,
    fields_of_data,
    figures_of_data,
    network_rows,
    rows_of_data,
    templates,
)
from nnft_ppl.report.results import DataAlone


def draw_data_alone(results: DataAlone) -> dict[str, bytes]:
    """The figures of the page, name -> PNG."""
    return figures_of_data(results.data, results.training)


def render_data_alone(results: DataAlone, figures: Mapping[str, bytes]) -> str:
    """The page, with the figures of `draw_data_alone` inside."""
    versions = ", ".join(f"{name} {v}" for name, v in results.versions.items())
    return (
        templates()
        .get_template("data_alone.html")
        .render(
            name=results.name,
            network=results.network.name,
            origin=MEASURED,
            figures=embedded(figures),
            leads={"network": [_network_sentence(results)]},
            alternatives={
                **data_alternatives(results.data),
                **training_alternatives(results.training),
            },
            **fields_of_data(results.data, results.training),
            study_text=results.text.strip(),
            version=results.versions["nnft_ppl"],
            opening=write_data_alone(results),
            run=[
                *network_rows(results.network),
                ("Widths", ", ".join(map(str, results.widths))),
                *rows_of_data(results.data, results.training),
                ("Seed", str(results.seed)),
                ("Versions", versions),
            ],
        )
    )


def write_data_alone(results: DataAlone) -> Opening:
    """Headline and paragraph: does finite width matter, what does training change."""
    data, training = results.data, results.training
    parts = [part for part in (data, training) if part is not None]
    is_good = all(check.passed for check in results.checks)
    if training is not None and not training.by_width.survives:
        is_good = False
    if data is not None and not data.check.passed:
        headline = "Some posteriors cannot be trusted"
    else:
        headline = parts[0].headline
    return Opening(
        headline=headline,
        sentences=(
            *(() if data is None else data_sentences(data)),
            *(() if training is None else training_sentences(training)),
        ),
        is_good=is_good,
    )


def _network_sentence(results: DataAlone) -> Markup:
    """Which network, at which widths, given how much."""
    data, training, done = results.data, results.training, []
    if data is not None:
        number = data.comparison.exact.data["constant_data"].sizes["point"]
        done.append(f"conditioned on {number:,} targets")
    if training is not None:
        done.append(f"trained on {training.by_width.num_data:,} targets")
    return Markup("<b>{}</b> is {}; at {} from {:,} to {:,} it was {}.").format(
        results.network.name,
        results.network.architecture.description,
        "one width," if len(results.widths) == 1 else f"{len(results.widths)} widths",
        results.widths[0],
        results.widths[-1],
        " and ".join(done),
    )
