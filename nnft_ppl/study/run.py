"""Running a study: measure, fit, check, report, each result saved as it is finished.

In: a `Study`. Out: a run directory and a `StudyRun`. An interrupted run goes on where
it stopped; the page is made from the files alone.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import numpy as np

from nnft_ppl._checkpoint import remove_checkpoint
from nnft_ppl._errors import UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Key, Points
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.neuron.exact import exact_correlators
from nnft_ppl.correlators.sampled.estimators import PLAIN
from nnft_ppl.correlators.sampled.measure import measure_correlators
from nnft_ppl.correlators.sampled.measurement import relative_error
from nnft_ppl.diagnostics.comparison.actions import compare_actions
from nnft_ppl.eft.expansion import design_matrix
from nnft_ppl.ensemble.blocks import check_memory
from nnft_ppl.ensemble.cluster import connected
from nnft_ppl.ensemble.local import choose_devices
from nnft_ppl.ensemble.progress import Monitor
from nnft_ppl.inference.couplings.fit import fit_couplings
from nnft_ppl.report import (
    Approach,
    Results,
    draw_approach,
    draw_figures,
    render_approach,
    render_report,
    write_approach,
    write_opening,
)
from nnft_ppl.study.directory import RunDirectory
from nnft_ppl.study.finished import load_results, read_correlators
from nnft_ppl.study.spec import ORDERS, EftTable, Study

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
    results: Results | Approach

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        if isinstance(self.results, Approach):
            return write_approach(self.results).headline
        return write_opening(self.results).headline

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
    return _Keys(*jax.random.split(seed_key(seed), 3))


def _silent(message: str) -> None:
    """Say nothing."""


def run_study(
    study: Study,
    *,
    say: Say = _silent,
    progress: bool | Monitor = False,
    rerun: bool = False,
    devices: Sequence[jax.Device] | int | None = None,
    scheduler: str | None = None,
    memory: int | None = None,
) -> StudyRun:
    """Run a study, or finish it: results already in its directory are reused.

    Where it runs changes no draw, and sums at most by their rounding.

    Args:
        study: From `read_study`.
        say: Gets one line for each step, naming what is reused.
        progress: Show progress bars, on a terminal or in a notebook, or a function that
            is told of every measurement and of the fit.
        rerun: Do not reuse anything.
        devices: Devices of this process to measure on, or how many; all when `None`.
        scheduler: Address of a Dask scheduler whose workers measure instead.
        memory: Bytes that networks in flight may take.

    Raises:
        SpecError: The directory holds another study, a cutoff integral diverges, or
            devices, scheduler or memory are unusable.
        UnavailableError: Dask is not installed.
        FitError: Inference ran and its numbers cannot be used.
    """
    directory = RunDirectory(study.directory)
    record = study.record()
    keep = directory.check(record) and not rerun
    if study.eft is not None:
        _check_integrals(study.network, study.eft)
    check_memory(memory, None)
    choose_devices(devices)
    with nullcontext() if scheduler is None else connected(scheduler):
        pass  # it answers
    directory.claim(record, study.text, keep=keep)
    if not keep:
        remove_checkpoint(_fit_checkpoint(directory))
        for stale in directory.fit_data.parent.glob(f"*{_SUMS}*"):
            stale.unlink()
    measure = partial(
        measure_correlators,
        devices=devices,
        scheduler=scheduler,
        memory=memory,
        progress=progress,
    )
    steps = _Steps(study, directory, say, measure, progress=progress)
    steps.measure_widths()
    if study.eft is not None:
        steps.measure_fit_data(study.eft)
        steps.fit(study.eft)
        steps.compare(study.eft)
    return rebuild_report(study.directory, say=say)


def _check_integrals(network: Network, eft: EftTable) -> None:
    """Cheap, and refuses a divergent integral before anything is sampled."""
    for action in (eft.action, *eft.candidates):
        for order in action.orders:
            design_matrix(action, network, eft.points, np.array(eft.cutoffs), order)


class _Steps:
    """The steps that make files; each is left out when its file is there."""

    def __init__(
        self,
        study: Study,
        directory: RunDirectory,
        say: Say,
        measure: Callable[..., Correlators],
        *,
        progress: bool | Monitor,
    ) -> None:
        self.study = study
        self.directory = directory
        self.say = say
        self.measure = measure
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
            routes = [(ensemble.estimator, ensemble.num_draws, ensemble.target_error)]
            if ensemble.plain_draws:
                routes.append((PLAIN.name, ensemble.plain_draws, None))
            for estimator, num_draws, target_error in routes:
                self._measure(
                    self.directory.correlators(width, estimator),
                    f"width {width}, {_how_many(num_draws, target_error)}, {estimator}",
                    network,
                    self.study.points,
                    num_draws,
                    key,
                    estimator,
                    target_error,
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
        target_error: float | None,
    ) -> None:
        sums = _sums(path)

        def make() -> None:
            found = self.measure(
                network,
                points,
                ORDERS,
                num_draws=num_draws,
                key=key,
                estimator=estimator,
                target_error=target_error,
                checkpoint=sums,
            )
            found.save(path)
            remove_checkpoint(sums)
            if target_error is not None:
                error = relative_error(found) or 0.0  # 0: there is no G4c to miss
                self.say(
                    f"G4c to {100 * error:.2g} % after {found.num_draws:,} networks"
                    + (", the most allowed" if error > target_error else "")
                )

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

    def measure_fit_data(self, eft: EftTable) -> None:
        """Correlators at the inputs of the fit."""
        path = self.directory.fit_data
        target_error = self.study.ensemble.target_error
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
            f"data of the fit: width {eft.width}, "
            f"{_how_many(eft.num_draws, target_error)}",
            self.study.network,
            eft.points,
            eft.num_draws,
            self.keys.fit_data,
            self.study.ensemble.estimator,
            target_error,
        )

    def fit(self, eft: EftTable) -> None:
        """Couplings at every cutoff."""
        checkpoint = _fit_checkpoint(self.directory)

        def make() -> None:
            fit_couplings(
                read_correlators(self.directory.fit_data),
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

    def compare(self, eft: EftTable) -> None:
        """The comparison of the candidate actions, when asked for."""
        if not eft.candidates:
            return

        def make() -> None:
            table = compare_actions(
                read_correlators(self.directory.fit_data),
                list(eft.candidates),
                eft.comparison_cutoff,
                tolerance=eft.tolerance,
            )
            text = json.dumps(table.to_dict("records"), indent=2, sort_keys=True)
            self.directory.write(self.directory.comparison.name, text + "\n")

        self._make(
            self.directory.comparison, f"{len(eft.candidates)} actions compared", make
        )


def _how_many(num_draws: int, target_error: float | None) -> str:
    """What a measurement is to take, in words."""
    if target_error is None:
        return f"{num_draws:,} networks"
    return f"G4c to {100 * target_error:.2g} % by at most {num_draws:,} networks"


def _sums(correlators: Path) -> Path:
    """Where a measurement keeps its sums until its correlators are saved."""
    return correlators.with_name(f"{correlators.name}{_SUMS}")


def _fit_checkpoint(directory: RunDirectory) -> Path:
    """Where NUTS keeps its state until the fit is saved."""
    return directory.fit.with_name(f"{directory.fit.name}.checkpoint")


def rebuild_report(path: str | Path, *, say: Say = _silent) -> StudyRun:
    """Draw the figures and write the page again from the results in `path`.

    Raises:
        SpecError: No study, or an unfinished one.
    """
    results = load_results(path)
    directory = RunDirectory(Path(path))
    say("figures and report")
    if isinstance(results, Approach):
        figures = draw_approach(results)
        text = render_approach(results, figures)
    else:
        figures = draw_figures(results)
        text = render_report(results, figures)
    for name, data in figures.items():
        directory.write(f"figures/{name}.png", data)
    page = directory.write(directory.report.name, text)
    return StudyRun(Path(path), page, results)
