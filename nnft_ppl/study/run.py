"""Running a study: measure, fit, condition, train, report; each result is saved.

In: a `Study`. Out: a run directory and a `StudyRun`. An interrupted run goes on where
it stopped; the page is made from the files alone.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import numpy as np

from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl.correlators.sampled.measure import measure_correlators
from nnft_ppl.eft.expansion import design_matrix
from nnft_ppl.ensemble.blocks import check_memory
from nnft_ppl.ensemble.cluster import connected
from nnft_ppl.ensemble.local import choose_devices
from nnft_ppl.ensemble.progress import Monitor
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.report import (
    Approach,
    DataAlone,
    Results,
    draw_approach,
    draw_data_alone,
    draw_figures,
    render_approach,
    render_data_alone,
    render_report,
    write_approach,
    write_data_alone,
    write_opening,
)
from nnft_ppl.study.data_steps import condition
from nnft_ppl.study.directory import (
    REPORT,
    RunDirectory,
    Say,
    figure,
    opened,
    silent,
)
from nnft_ppl.study.finished import load_results, read_fit
from nnft_ppl.study.spec import EftTable, Study
from nnft_ppl.study.steps import Steps
from nnft_ppl.study.training_steps import train


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
    results: Results | Approach | DataAlone

    @property
    def headline(self) -> str:
        """The verdict in one line."""
        if isinstance(self.results, DataAlone):
            return write_data_alone(self.results).headline
        if isinstance(self.results, Approach):
            return write_approach(self.results).headline
        return write_opening(self.results).headline

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.results.checks)


def run_study(
    study: Study,
    *,
    say: Say = silent,
    progress: bool | Monitor = False,
    rerun: bool = False,
    devices: Sequence[jax.Device] | int | None = None,
    scheduler: str | None = None,
    memory: int | None = None,
) -> StudyRun:
    """Run a study, or finish it: results already in its directory are reused.

    Reused is what this very study wrote there, with these versions and from these data;
    files of others are kept under other names where they are in the way. Where it runs
    changes no draw, and sums at most by their rounding.

    Args:
        study: From `read_study`.
        say: Gets one line for each step, naming what is reused.
        progress: Show bars, or in a log a line now and then, or a function that
            is told of every measurement and of the fit.
        rerun: Do not reuse anything.
        devices: Devices of this process to measure on, or how many; all when `None`.
        scheduler: Address of a Dask scheduler whose workers measure instead.
        memory: Bytes that networks in flight may take.

    Raises:
        SpecError: The directory holds another study, or another process is at work in
            it; a cutoff integral diverges; or devices, scheduler or memory are
            unusable.
        StorageError: A file cannot be written or read.
        UnavailableError: Dask is not installed.
        FitError: Inference ran and its numbers cannot be used.
    """
    with opened(study.directory, say) as directory:
        keep = directory.check(study.record(), study.versions()) and not rerun
        if study.eft is not None and study.network.has_kernel:
            _check_integrals(study.network, study.eft)
        check_memory(memory, None)
        choose_devices(devices)
        with nullcontext() if scheduler is None else connected(scheduler):
            pass  # it answers
        directory.claim(study.text, keep=keep)
        measure = partial(
            measure_correlators,
            devices=devices,
            scheduler=scheduler,
            memory=memory,
            progress=progress,
        )
        steps = Steps(study, directory, say, measure, progress=progress)
        steps.measure_widths()
        if study.eft is not None:
            steps.measure_fit_data(study.eft)
            steps.fit(study.eft)
            steps.compare(study.eft)
        if study.data is not None:
            condition(steps, study, study.data, devices)
        if study.training is not None:
            train(steps, study, study.training, devices)
        return write_page(directory, say)


def _check_integrals(network: Network, eft: EftTable) -> None:
    """Cheap, and refuses a divergent integral before anything is sampled."""
    for action in (eft.action, *eft.candidates):
        for order in action.orders:
            design_matrix(action, network, eft.points, np.array(eft.cutoffs), order)


def rebuild_report(path: str | Path, *, say: Say = silent) -> StudyRun:
    """Draw the figures and write the page again from the results in `path`.

    Raises:
        SpecError: No study, an unfinished one, or a file that is not what the study
            wrote; or another process is at work there.
        StorageError: A file cannot be written or read.
    """
    if not Path(path).is_dir():
        raise SpecError(f"{str(path)!r} holds no study: it is no folder")
    with opened(Path(path), say) as directory:
        return write_page(directory, say)


def load_fit(path: str | Path, *, say: Say = silent) -> CouplingFit:
    """The couplings of the study in `path`.

    Raises:
        SpecError: No study, an unfinished one, or one that fits none; or a file that is
            not what the study wrote.
        StorageError: A file cannot be read.
    """
    with opened(Path(path), say) as directory:
        return read_fit(directory)


def write_page(directory: RunDirectory, say: Say) -> StudyRun:
    """Draw the figures and write the page from the results in an opened directory."""
    results = load_results(directory)
    say("figures and report")
    if isinstance(results, DataAlone):
        figures = draw_data_alone(results)
        text = render_data_alone(results, figures)
    elif isinstance(results, Approach):
        figures = draw_approach(results)
        text = render_approach(results, figures)
    else:
        figures = draw_figures(results)
        text = render_report(results, figures)
    for name, data in figures.items():
        directory.put(figure(name), data)
    page = directory.put(REPORT, text)
    return StudyRun(directory.path, page, results)
