"""A finished study, read back from the files of its run directory."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from nnft_ppl import store
from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl.bayes.comparison import PosteriorComparison
from nnft_ppl.bayes.data_set import Standard
from nnft_ppl.bayes.effective_theory import check_fit
from nnft_ppl.bayes.four_methods import data_of
from nnft_ppl.bayes.result import Posterior
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.sampled.estimators import PLAIN
from nnft_ppl.diagnostics.checks import diagnose
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.report import (
    Approach,
    DataAlone,
    DataResults,
    Results,
    TrainingResults,
)
from nnft_ppl.report.results import Target
from nnft_ppl.study.directory import (
    BY_WIDTH,
    COMPARISON,
    FIT,
    METHODS,
    TEXT,
    RunDirectory,
    correlators,
    posterior_of,
    trained_of,
)
from nnft_ppl.training.result import TrainedEnsemble
from nnft_ppl.training.verdict import TrainingByWidth


def read_correlators(directory: RunDirectory, name: str) -> Correlators:
    """Correlators of a study, from one of its files.

    Raises:
        SpecError: The file is missing, or not the study's.
    """
    return Correlators.from_data(store.read(directory.own(name)))


def read_posterior(directory: RunDirectory, width: int) -> Posterior:
    """The posterior of one width, from its file.

    Raises:
        SpecError: The file is missing, or not the study's.
    """
    return Posterior.from_data(store.read(directory.own(posterior_of(width))))


def read_trained(directory: RunDirectory, width: int) -> TrainedEnsemble:
    """The trained networks of one width, from their file.

    Raises:
        SpecError: The file is missing, or not the study's.
    """
    return TrainedEnsemble.from_data(store.read(directory.own(trained_of(width))))


def read_fit(directory: RunDirectory) -> CouplingFit:
    """The couplings of a study, from its file.

    Raises:
        SpecError: The study fits none, or the file is missing or not the study's.
    """
    if directory.recall()["study"]["eft"] is None:
        raise SpecError(
            f"the study in {str(directory.path)!r} fitted no couplings, its file has "
            "no `[eft]`; name one of the files in correlators/"
        )
    return CouplingFit.from_data(store.read(directory.own(FIT)))


def why_left_out(fit: CouplingFit, exact: Posterior) -> str | None:
    """Why a fit is no effective theory of these data; `None` where it is one."""
    try:
        check_fit(fit, exact.network, data_of(exact))
    except (SpecError, UnavailableError) as error:
        return str(error)
    return None


def load_results(directory: RunDirectory) -> Results | Approach | DataAlone:
    """The results in a run directory.

    Raises:
        SpecError: No study, an unfinished one, or a file that is not the study's.
    """
    run = directory.recall()
    record = run["study"]
    eft, ensemble = record["eft"], record["ensemble"]
    text = directory.own(TEXT).read_text(encoding="utf-8")
    target_error, seed = ensemble.get("target_error"), ensemble["seed"]
    name, versions = directory.path.resolve().name, run["versions"]
    data = load_data(directory, record) if "data" in record else None
    training = load_training(directory, record) if "training" in record else None
    if record["inputs"]["points"] is None:
        return DataAlone(name, text, data, training, seed, versions)
    found = _correlators(directory, record)
    if eft is None:
        target = target_error and Target(target_error, ensemble["num_draws"])
        return Approach(name, text, found, seed, versions, target, data, training)
    fit = CouplingFit.from_data(store.read(directory.own(FIT)))
    comparison = None
    if eft["candidates"]:
        rows = json.loads(directory.own(COMPARISON).read_text(encoding="utf-8"))
        comparison = pd.DataFrame(rows)
    tolerance = eft["tolerance"]
    checks = diagnose(fit, tolerance=tolerance, comparison=comparison)
    return Results(
        name=name,
        text=text,
        correlators=found,
        fit=fit,
        checks=(*checks, *(part.check for part in (data, training) if part)),
        comparison=comparison,
        comparison_cutoff=float(eft["comparison_cutoff"]),
        tolerance=tolerance,
        seed=seed,
        sampling={k: eft[k] for k in ("num_warmup", "num_samples", "num_chains")},
        versions=versions,
        target=target_error and Target(target_error, eft["num_draws"]),
        data=data,
        training=training,
    )


def _correlators(
    directory: RunDirectory, record: Mapping[str, Any]
) -> tuple[Correlators, ...]:
    """Of every width and estimator, exact ones last."""
    ensemble, names = record["ensemble"], []
    for width in record["network"]["widths"]:
        names.append(correlators(width, ensemble["estimator"]))
        if ensemble["plain_draws"]:
            names.append(correlators(width, PLAIN.name))
        if directory.lists(correlators(width, "exact")):
            names.append(correlators(width, "exact"))
    return tuple(read_correlators(directory, name) for name in names)


def load_data(directory: RunDirectory, record: Mapping[str, Any]) -> DataResults:
    """What a finished study found of data.

    Raises:
        SpecError: A file is missing, or not the study's.
    """
    table = record["data"]
    widths = sorted({*record["network"]["widths"], table["width"]})
    comparison = PosteriorComparison.from_data(store.read(directory.own(METHODS)))
    left_out = None
    if record["eft"] is not None and comparison.effective_theory is None:
        fit = CouplingFit.from_data(store.read(directory.own(FIT)))
        left_out = why_left_out(fit, comparison.exact)
    standard = table["standardised_by"]
    return DataResults(
        posteriors=tuple(read_posterior(directory, width) for width in widths),
        comparison=comparison,
        num_draws=table["num_draws"],
        standard=None if standard is None else Standard.from_record(standard),
        names=tuple(table["names"]),
        target=table["target"],
        held_out=table["held_out"],
        left_out=left_out,
    )


def load_training(
    directory: RunDirectory, record: Mapping[str, Any]
) -> TrainingResults:
    """What a finished study found of training.

    Raises:
        SpecError: A file is missing, or not the study's.
    """
    table = record["training"]
    standard = table["standardised_by"]
    return TrainingResults(
        by_width=TrainingByWidth.from_data(store.read(directory.own(BY_WIDTH))),
        temperature=table["temperature"],
        standard=None if standard is None else Standard.from_record(standard),
        names=tuple(table["names"]),
        target=table["target"],
        held_out=table["held_out"],
    )
