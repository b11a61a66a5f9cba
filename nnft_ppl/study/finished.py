"""A finished study, read back from the files of its run directory."""

import json
from pathlib import Path

import pandas as pd

from nnft_ppl import store
from nnft_ppl._errors import SpecError
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.sampled.estimators import PLAIN
from nnft_ppl.diagnostics.checks import diagnose
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.report import Approach, Results
from nnft_ppl.report.results import Target
from nnft_ppl.study.directory import RunDirectory


def read_correlators(path: Path) -> Correlators:
    """Correlators from a file of a run directory."""
    return Correlators.from_data(store.read(path))


def load_results(path: str | Path) -> Results | Approach:
    """The results in a run directory.

    Raises:
        SpecError: No study, or an unfinished one.
    """
    directory = RunDirectory(Path(path))
    run = directory.read_run()
    record = run["study"]
    eft = record["eft"]
    widths = record["network"]["widths"]
    last = directory.fit
    if eft is None:
        last = directory.correlators(widths[-1], record["ensemble"]["estimator"])
    if not last.is_file():
        raise SpecError(
            f"the study in {str(path)!r} is not finished; run `nnft study` on its "
            "study file again, it goes on where it stopped"
        )
    target_error = record["ensemble"].get("target_error")
    files: dict[Path, None] = {}
    for width in widths:
        for estimator in (record["ensemble"]["estimator"], PLAIN.name, "exact"):
            file = directory.correlators(width, estimator)
            if file.is_file():
                files[file] = None
    name = Path(path).resolve().name
    text = (directory.path / "study.toml").read_text(encoding="utf-8")
    correlators = tuple(map(read_correlators, files))
    seed = record["ensemble"]["seed"]
    if eft is None:
        most = record["ensemble"]["num_draws"]
        target = target_error and Target(target_error, most)
        return Approach(name, text, correlators, seed, run["versions"], target)
    fit = CouplingFit.from_data(store.read(directory.fit))
    comparison = None
    if directory.comparison.is_file():
        rows = json.loads(directory.comparison.read_text(encoding="utf-8"))
        comparison = pd.DataFrame(rows)
    tolerance = eft["tolerance"]
    return Results(
        name=name,
        text=text,
        correlators=correlators,
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
