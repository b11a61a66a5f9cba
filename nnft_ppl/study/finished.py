"""A finished study, read back from the files of its run directory."""

import json

import pandas as pd

from nnft_ppl import store
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.sampled.estimators import PLAIN
from nnft_ppl.diagnostics.checks import diagnose
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.report import Approach, Results
from nnft_ppl.report.results import Target
from nnft_ppl.study.directory import (
    COMPARISON,
    FIT,
    TEXT,
    RunDirectory,
    correlators,
)


def read_correlators(directory: RunDirectory, name: str) -> Correlators:
    """Correlators of a study, from one of its files.

    Raises:
        SpecError: The file is missing, or not the study's.
    """
    return Correlators.from_data(store.read(directory.own(name)))


def load_results(directory: RunDirectory) -> Results | Approach:
    """The results in a run directory.

    Raises:
        SpecError: No study, an unfinished one, or a file that is not the study's.
    """
    run = directory.recall()
    record = run["study"]
    eft, ensemble = record["eft"], record["ensemble"]
    names = []
    for width in record["network"]["widths"]:
        names.append(correlators(width, ensemble["estimator"]))
        if ensemble["plain_draws"]:
            names.append(correlators(width, PLAIN.name))
        if directory.lists(correlators(width, "exact")):
            names.append(correlators(width, "exact"))
    found = tuple(read_correlators(directory, name) for name in names)
    text = directory.own(TEXT).read_text(encoding="utf-8")
    target_error, seed = ensemble.get("target_error"), ensemble["seed"]
    name = directory.path.resolve().name
    if eft is None:
        target = target_error and Target(target_error, ensemble["num_draws"])
        return Approach(name, text, found, seed, run["versions"], target)
    fit = CouplingFit.from_data(store.read(directory.own(FIT)))
    comparison = None
    if eft["candidates"]:
        rows = json.loads(directory.own(COMPARISON).read_text(encoding="utf-8"))
        comparison = pd.DataFrame(rows)
    tolerance = eft["tolerance"]
    return Results(
        name=name,
        text=text,
        correlators=found,
        fit=fit,
        checks=tuple(diagnose(fit, tolerance=tolerance, comparison=comparison)),
        comparison=comparison,
        comparison_cutoff=float(eft["comparison_cutoff"]),
        tolerance=tolerance,
        seed=seed,
        sampling={k: eft[k] for k in ("num_warmup", "num_samples", "num_chains")},
        versions=run["versions"],
        target=target_error and Target(target_error, eft["num_draws"]),
    )
