"""Running a study: measure, fit, check, report, each result saved as it is finished.

In: a `Study`. Out: a run directory and a `StudyRun`. An interrupted run goes on where
it stopped; the page is made from the files alone.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pandas as pd

from nnft_ppl import store
from nnft_ppl._checkpoint import remove_checkpoint
from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Points
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.measure import exact_correlators, measure_correlators
from nnft_ppl.diagnostics.checks import diagnose
from nnft_ppl.diagnostics.comparison import compare_actions
from nnft_ppl.eft.expansion import design_matrix
from nnft_ppl.inference.fit import fit_couplings
from nnft_ppl.inference.result import CouplingFit
from nnft_ppl.report import Results, draw_figures, render_report, write_verdict
from nnft_ppl.study.directory import RunDirectory
from nnft_ppl.study.spec import ORDERS, Study

type Say = Callable[[str], None]

_SUMS = ".sums"


@dataclass(frozen=True, eq=False)
class StudyRun:
    """A finished study.

    Attributes:
        directory: Where everything lies.
        report: The page.
        results: What the page was made from.
    """

    directory: Path
    report: Path
    results: Results

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        return write_verdict(self.results).headline

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.results.checks)


@dataclass(frozen=True)
class _Keys:
    """The random keys of a study."""

    widths: Key
    fit_data: Key
    fit: Key


def _keys(seed: int) -> _Keys:
    return _Keys(*jax.random.split(jax.random.key(seed), 3))


def _silent(message: str) -> None:
    """Say nothing."""


def run_study(
    study: Study, *, say: Say = _silent, progress: bool = False, rerun: bool = False
) -> StudyRun:
    """Run a study, or finish it: results already in its directory are reused.

    Args:
        study: From `read_study`.
        say: Gets one line for each step, naming what is reused.
        progress: Show progress bars on a terminal.
        rerun: Do not reuse anything.

    Raises:
        SpecError: The directory holds another study, or a cutoff integral diverges.
        FitError: Inference ran and its numbers cannot be used.
    """
    directory = RunDirectory(study.directory)
    record = study.record()
    keep = directory.check(record) and not rerun
    eft = study.eft
    # Cheap, and refuses a divergent cutoff integral before anything is sampled.
    for action in (eft.action, *eft.candidates):
        for order in action.orders:
            design_matrix(
                action, study.network, eft.points, np.array(eft.cutoffs), order
            )
    directory.claim(record, study.text, keep=keep)
    if not keep:
        remove_checkpoint(_fit_checkpoint(directory))
        for stale in directory.fit_data.parent.glob(f"*{_SUMS}*"):
            stale.unlink()
    steps = _Steps(study, directory, say, progress)
    steps.measure_widths()
    steps.measure_fit_data()
    steps.fit()
    steps.compare()
    return rebuild_report(study.directory, say=say)


class _Steps:
    """The steps that make files; each is left out when its file is there."""

    def __init__(
        self, study: Study, directory: RunDirectory, say: Say, progress: bool
    ) -> None:
        self.study = study
        self.directory = directory
        self.say = say
        self.progress = progress
        self.keys = _keys(study.ensemble.seed)

    def _make(self, path: Path, what: str, make: Callable[[], None]) -> None:
        if path.exists():
            self.say(f"{what}: reused {path.name}")
            return
        self.say(what)
        make()

    def measure_widths(self) -> None:
        """Correlators of every width by every estimator."""
        ensemble = self.study.ensemble
        for width in self.study.widths:
            network = self.study.network.with_width(width)
            key = jax.random.fold_in(self.keys.widths, width)
            routes = {ensemble.estimator: ensemble.num_draws}
            if ensemble.plain_draws:
                routes["moments"] = ensemble.plain_draws
            for estimator, num_draws in routes.items():
                self._measure(
                    self.directory.correlators(width, estimator),
                    f"width {width}, {num_draws:,} networks, {estimator}",
                    network,
                    self.study.points,
                    num_draws,
                    key,
                    estimator,
                )
            if network.neuron() is not None:
                self._exact(
                    self.directory.correlators(width, "exact"),
                    network,
                    self.study.points,
                )

    def _measure(
        self,
        path: Path,
        what: str,
        network: Network,
        points: Points,
        num_draws: int,
        key: Key,
        estimator: str,
    ) -> None:
        sums = _sums(path)

        def make() -> None:
            measure_correlators(
                network,
                points,
                ORDERS,
                num_draws=num_draws,
                key=key,
                estimator=estimator,
                checkpoint=sums,
                progress=self.progress,
            ).save(path)
            remove_checkpoint(sums)

        self._make(path, what, make)

    def _exact(self, path: Path, network: Network, points: Points) -> None:
        if path.exists():
            return
        try:
            exact = exact_correlators(network, points, ORDERS)
        except UnavailableError as error:
            self.say(f"width {network.width}: no exact correlators ({error})")
            return
        exact.save(path)

    def measure_fit_data(self) -> None:
        """Correlators at the inputs of the fit."""
        eft, path = self.study.eft, self.directory.fit_data
        if eft.data == "exact":
            self._make(
                path,
                f"data of the fit: exact, width {eft.width}",
                lambda: exact_correlators(self.study.network, eft.points, ORDERS).save(
                    path
                ),
            )
            return
        self._measure(
            path,
            f"data of the fit: width {eft.width}, {eft.num_draws:,} networks",
            self.study.network,
            eft.points,
            eft.num_draws,
            self.keys.fit_data,
            self.study.ensemble.estimator,
        )

    def fit(self) -> None:
        """Couplings at every cutoff."""
        eft = self.study.eft
        checkpoint = _fit_checkpoint(self.directory)

        def make() -> None:
            fit_couplings(
                _read_correlators(self.directory.fit_data),
                eft.action,
                eft.cutoffs,
                key=self.keys.fit,
                sampler=eft.sampler,
                num_warmup=eft.num_warmup,
                num_samples=eft.num_samples,
                num_chains=eft.num_chains,
                checkpoint=checkpoint if eft.sampler == "nuts" else None,
                progress=self.progress,
            ).save(self.directory.fit)
            remove_checkpoint(checkpoint)

        names = ", ".join(eft.action.names)
        what = f"fit of {names} at {len(eft.cutoffs)} cutoffs, {eft.sampler}"
        self._make(self.directory.fit, what, make)

    def compare(self) -> None:
        """The comparison of the candidate actions, when asked for."""
        eft = self.study.eft
        if not eft.candidates:
            return

        def make() -> None:
            table = compare_actions(
                _read_correlators(self.directory.fit_data),
                list(eft.candidates),
                eft.comparison_cutoff,
            )
            text = json.dumps(table.to_dict("records"), indent=2, sort_keys=True)
            self.directory.write(self.directory.comparison.name, text + "\n")

        self._make(
            self.directory.comparison, f"{len(eft.candidates)} actions compared", make
        )


def _sums(correlators: Path) -> Path:
    """Where a measurement keeps its sums until its correlators are saved."""
    return correlators.with_name(f"{correlators.name}{_SUMS}")


def _fit_checkpoint(directory: RunDirectory) -> Path:
    """Where NUTS keeps its state until the fit is saved."""
    return directory.fit.with_name(f"{directory.fit.name}.checkpoint")


def _read_correlators(path: Path) -> Correlators:
    return Correlators.from_data(store.read(path))


def load_results(path: str | Path) -> Results:
    """The results in a run directory.

    Raises:
        SpecError: No study, or an unfinished one.
    """
    directory = RunDirectory(Path(path))
    run = directory.read_run()
    if not directory.fit.is_file():
        raise SpecError(
            f"the study in {str(path)!r} is not finished; run `nnft study` on its "
            "study file again, it goes on where it stopped"
        )
    record = run["study"]
    files: dict[Path, None] = {}
    for width in record["network"]["widths"]:
        for estimator in (record["ensemble"]["estimator"], "moments", "exact"):
            file = directory.correlators(width, estimator)
            if file.is_file():
                files[file] = None
    fit = CouplingFit.from_data(store.read(directory.fit))
    eft = record["eft"]
    comparison = None
    if directory.comparison.is_file():
        rows = json.loads(directory.comparison.read_text(encoding="utf-8"))
        comparison = pd.DataFrame(rows)
    return Results(
        name=Path(path).resolve().name,
        text=(directory.path / "study.toml").read_text(encoding="utf-8"),
        correlators=tuple(map(_read_correlators, files)),
        fit=fit,
        checks=tuple(diagnose(fit)),
        comparison=comparison,
        comparison_cutoff=float(eft["comparison_cutoff"]),
        seed=record["ensemble"]["seed"],
        sampling={k: eft[k] for k in ("num_warmup", "num_samples", "num_chains")},
        versions=run["versions"],
    )


def rebuild_report(path: str | Path, *, say: Say = _silent) -> StudyRun:
    """Draw the figures and write the page again from the results in `path`.

    Raises:
        SpecError: No study, or an unfinished one.
    """
    results = load_results(path)
    directory = RunDirectory(Path(path))
    say("figures and report")
    figures = draw_figures(results)
    for name, data in figures.items():
        directory.write(f"figures/{name}.png", data)
    page = directory.write(directory.report.name, render_report(results, figures))
    return StudyRun(Path(path), page, results)
