"""The part of the page that is of data: posteriors by width, methods side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from markupsafe import Markup

from nnft_ppl._numbers import percent, significant, with_error
from nnft_ppl.bayes.comparison import EXACT, GAUSSIAN, PosteriorComparison
from nnft_ppl.bayes.data_set import Standard
from nnft_ppl.bayes.evidence import EvidenceCurve
from nnft_ppl.bayes.result import Posterior
from nnft_ppl.bayes.scores import COVERED, posterior_scores
from nnft_ppl.diagnostics.checks import Check
from nnft_ppl.diagnostics.posteriors import check_posteriors
from nnft_ppl.plots import plot_evidence, plot_predictive, plot_weights, png

type Row = dict[str, str]

_ROUTES = {"smc": "SMC", "nuts": "NUTS"}
"""How methods are written that are no words."""


@dataclass(frozen=True, eq=False)
class DataResults:
    """What a study found of data.

    Attributes:
        posteriors: Of every width, ascending.
        comparison: Of all methods, at one width.
        num_draws: Networks of the prior at every width.
        standard: What inputs and targets were standardised by, or `None`.
        names: Of the columns of inputs; may be empty.
        target: Name of the targets, or "".
        held_out: Where the new inputs are from, in words.
        left_out: Why a fit of the study is no effective theory here, or `None`.
    """

    posteriors: tuple[Posterior, ...]
    comparison: PosteriorComparison
    num_draws: int
    standard: Standard | None
    names: tuple[str, ...]
    target: str
    held_out: str
    left_out: str | None

    @cached_property
    def curve(self) -> EvidenceCurve:
        """Evidence against width."""
        infinite = float(self.comparison.expansion.gaussian.log_evidence)
        return EvidenceCurve.of(self.posteriors, infinite, self.num_draws)

    @cached_property
    def table(self) -> pd.DataFrame:
        """`comparison.table()`, once."""
        return self.comparison.table()

    @cached_property
    def check(self) -> Check:
        """Whether the posteriors can be trusted."""
        return check_posteriors(self.posteriors, self.num_draws)

    @property
    def headline(self) -> str:
        """Whether the Gaussian process is enough, in a line."""
        width = self.comparison.exact.network.width
        close = self.table["close"][GAUSSIAN]
        words = {
            "yes": "is close enough to the exact posterior of these data",
            "no": "is not close enough to the exact posterior of these data",
            "undecided": "may be close enough to the exact posterior of these data: "
            "more networks are needed to tell",
        }
        return f"At width {width} the Gaussian process {words[close]}"


def draw_data(found: DataResults) -> dict[str, bytes]:
    """The figures, name -> PNG."""
    return {
        "predictive": png(plot_predictive(found.comparison, standard=found.standard)),
        "evidence": png(plot_evidence(found.curve)),
        "weights": png(plot_weights(found.curve)),
    }


def data_sentences(found: DataResults) -> tuple[Markup, ...]:
    """What to say on top of the page."""
    message = found.curve.message
    check = found.check.message
    return (
        Markup("{}.").format(found.headline),
        Markup("{}").format(found.comparison.message),
        Markup("Of the widths tried, {}.").format(message),
        *(() if found.check.passed else (Markup("{}.").format(_capital(check)),)),
    )


def data_fields(found: DataResults) -> dict[str, object]:
    """What the template is filled with."""
    return {
        "width": found.comparison.exact.network.width,
        "statement": found.comparison.message,
        "preference": _capital(found.curve.message),
        "check": {
            "passed": found.check.passed,
            "message": _capital(found.check.message),
        },
        "methods": _method_rows(found),
        "widths": _width_rows(found),
        "infinite": f"{found.curve.infinite:.3f}".replace("-", "−"),
        "covered": f"{100 * COVERED:g} %",
        "scores": found.comparison.y_new is not None,
        "unit": _unit(found),
        "standard": _standard_rows(found),
        "left_out": found.left_out,
        "tolerance": f"{found.comparison.tolerance:g}",
        "one_dimensional": found.posteriors[0].network.hyperparameters.input_dim == 1,
    }


def data_rows(found: DataResults) -> list[tuple[str, str | Markup]]:
    """What was run, as (what, value)."""
    exact = found.comparison.exact
    number = exact.data["constant_data"].sizes["point"]
    target = f" {found.target}" if found.target else ""
    named = f": {', '.join(found.names)}" if found.names else ""
    noise = f"{found.comparison.noise_std:g}"
    if found.standard is not None:
        own = found.comparison.noise_std * found.standard.target_std[0]
        noise += f" standard deviations of the targets, {significant(own)} of their own"
    rows: list[tuple[str, str | Markup]] = [
        (
            "Data",
            f"{number} targets{target}{named}",
        ),
        ("New inputs", found.held_out),
        ("Noise of targets", noise),
        ("Networks of the prior", f"{found.num_draws:,} of each width"),
    ]
    if found.standard is not None:
        rows.append(
            (
                "Standardised",
                "every column of inputs and targets to mean 0 and standard deviation 1 "
                "by those of the data, new inputs along with them",
            )
        )
    return rows


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _unit(found: DataResults) -> str:
    """What scores are measured in."""
    if found.standard is None:
        return "the units of the targets"
    std = significant(float(found.standard.target_std[0]), 4)
    return f"standard deviations of the targets, {std} in their own units"


def _method_rows(found: DataResults) -> list[Row]:
    rows = []
    for name, row in found.table.iterrows():
        exact = name == EXACT
        rows.append(
            {
                "method": str(name),
                "evidence": with_error(row["log_evidence"], row["log_evidence_error"]),
                "mean": "–"
                if exact
                else with_error(row["mean_distance"], row["mean_distance_error"]),
                "std": "–" if exact else significant(row["std_distance"], 2),
                "close": "–" if exact else row["close"],
                **_score_cells(row),
            }
        )
    return rows


def _width_rows(found: DataResults) -> list[Row]:
    y_new, noise = found.comparison.y_new, found.comparison.noise_std
    rows = []
    for post in found.posteriors:
        scores = {} if y_new is None else posterior_scores(post, noise, y_new)
        rows.append(
            {
                "width": str(post.network.width),
                "evidence": with_error(post.log_evidence, post.log_evidence_error)
                if np.isfinite(post.log_evidence)
                else "–",
                "method": _ROUTES.get(post.method, post.method),
                "pareto_k": significant(post.pareto_k, 2),
                "effective": significant(post.effective_draws),
                **_score_cells(scores),
            }
        )
    return rows


def _score_cells(scores: Mapping[str, float] | pd.Series) -> Row:
    """Log density, RMSE and coverage, where targets were held out."""
    if "rmse" not in scores:
        return {}
    return {
        "log_density": f"{scores['log_density']:.4f}".replace("-", "−"),
        "rmse": f"{scores['rmse']:.4f}",
        "coverage": percent(scores["coverage"]),
    }


def _standard_rows(found: DataResults) -> list[Row]:
    """Mean and standard deviation of every column; none where they are as given."""
    standard = found.standard
    if standard is None:
        return []
    number = len(standard.input_mean)
    names = found.names or tuple(f"input {i + 1}" for i in range(number))
    columns = [
        *zip(names, standard.input_mean, standard.input_std, strict=True),
        (found.target or "target", standard.target_mean[0], standard.target_std[0]),
    ]
    return [
        {"name": name, "mean": significant(mean, 4), "std": significant(std, 4)}
        for name, mean, std in columns
    ]
