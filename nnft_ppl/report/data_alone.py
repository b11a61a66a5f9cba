"""The page of a study of data alone: posteriors, and nothing of correlators."""

from collections.abc import Mapping

from markupsafe import Markup

from nnft_ppl.report.alternatives import data_alternatives
from nnft_ppl.report.headline import Opening
from nnft_ppl.report.of_data import (
    data_fields,
    data_rows,
    data_sentences,
    draw_data,
)
from nnft_ppl.report.page import embedded, network_rows, templates
from nnft_ppl.report.results import DataAlone


def draw_data_alone(results: DataAlone) -> dict[str, bytes]:
    """The figures of the page, name -> PNG."""
    return draw_data(results.data)


def render_data_alone(results: DataAlone, figures: Mapping[str, bytes]) -> str:
    """The page, with the figures of `draw_data_alone` inside."""
    widths = ", ".join(str(post.network.width) for post in results.data.posteriors)
    versions = ", ".join(f"{name} {v}" for name, v in results.versions.items())
    return (
        templates()
        .get_template("data_alone.html")
        .render(
            name=results.name,
            network=results.network.name,
            figures=embedded(figures),
            leads={"network": [_network_sentence(results)]},
            alternatives=data_alternatives(results.data),
            data=data_fields(results.data),
            study_text=results.text.strip(),
            version=results.versions["nnft_ppl"],
            opening=write_data_alone(results),
            run=[
                *network_rows(results.network),
                ("Widths", widths),
                *data_rows(results.data),
                ("Seed", str(results.seed)),
                ("Versions", versions),
            ],
        )
    )


def write_data_alone(results: DataAlone) -> Opening:
    """Headline and paragraph: does finite width matter, and which is preferred."""
    found = results.data
    return Opening(
        headline=found.headline
        if found.check.passed
        else "Some posteriors cannot be trusted",
        sentences=data_sentences(found),
        is_good=found.check.passed,
    )


def _network_sentence(results: DataAlone) -> Markup:
    """Which network, at which widths, given how much."""
    widths = [post.network.width for post in results.data.posteriors]
    number = results.data.comparison.exact.data["constant_data"].sizes["point"]
    return Markup(
        "<b>{}</b> is {}; at {} from {:,} to {:,} it was conditioned on {:,} targets."
    ).format(
        results.network.name,
        results.network.architecture.description,
        "one width," if len(widths) == 1 else f"{len(widths)} widths",
        widths[0],
        widths[-1],
        number,
    )
