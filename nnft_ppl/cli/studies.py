"""`nnft study` and `nnft report`: the whole flow, and its page."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnft_ppl._errors import SpecError
from nnft_ppl.cli.events import Events
from nnft_ppl.cli.interruption import INTERRUPTED, interruptible
from nnft_ppl.cli.options import (
    FAILED,
    as_json,
    check_folder,
    devices,
    emit,
    force,
    memory,
    scheduler,
)
from nnft_ppl.cli.pipeline import print_checks
from nnft_ppl.cli.units import chosen_devices

if TYPE_CHECKING:
    from collections.abc import Callable

    from nnft_ppl.study.run import StudyRun


@click.command()
@click.argument(
    "study_file", metavar="FILE.toml", type=click.Path(path_type=Path, dir_okay=False)
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    help="Run directory, instead of the file's output.directory.",
)
@click.option("--rerun", is_flag=True, help="Reuse no result of an earlier run.")
@memory
@devices
@scheduler
@as_json
def study(
    study_file: Path,
    output: Path | None,
    rerun: bool,
    memory: int | None,
    devices: int | tuple[int, ...] | None,
    scheduler: str | None,
    as_json: bool,
) -> None:
    """Run a whole study: correlators, couplings, checks, report.

    Results already in the run directory are reused, and a measurement or a fit that
    was interrupted, by Ctrl-C, SIGTERM or a crash, goes on where it stopped. Exit code
    1 when a check fails, among them whether the action describes the network.
    """
    from nnft_ppl.study import read_study, run_study

    read, events = read_study(study_file, directory=output), Events(as_json=as_json)
    try:
        with interruptible(), events.watching_each() as progress:
            run = run_study(
                read,
                say=partial(events.tell, "step"),
                progress=progress,
                rerun=rerun,
                devices=chosen_devices(devices),
                scheduler=scheduler,
                memory=memory,
            )
    except KeyboardInterrupt:
        command = "the same command without --rerun" if rerun else "the same command"
        events.tell(
            "interrupted",
            f"interrupted; {command} goes on in {read.directory}",
            directory=read.directory,
        )
        raise SystemExit(INTERRUPTED) from None
    _finish(run, as_json)


@click.command()
@click.argument(
    "directories",
    metavar="DIR...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Page of several runs side by side; comparison.html by default.",
)
@force
@as_json
def report(
    directories: tuple[Path, ...], output: Path | None, force: bool, as_json: bool
) -> None:
    """Make the figures and the page of a finished study again.

    Several run directories are put side by side on one page: networks, deviations,
    couplings and their differences, verdicts, evidence. The directories stay as they
    are.
    """
    from nnft_ppl.study import rebuild_report

    say = partial(Events(as_json=as_json).tell, "step")
    if len(directories) == 1:
        if output is not None:
            raise SpecError(
                "`--output` is for several run directories; the page of one is in it"
            )
        return _finish(rebuild_report(directories[0], say=say), as_json)
    page = Path("comparison.html") if output is None else output
    check_folder(page)
    if page.exists() and not force:
        raise SpecError(f"`{page}` exists; give --force to replace it")
    return _side_by_side(directories, page, say, as_json)


def _side_by_side(
    directories: tuple[Path, ...],
    page: Path,
    say: "Callable[[str], None]",
    as_json: bool,
) -> None:
    """Print the verdicts and the differences of several runs, and where the page is."""
    from nnft_ppl.report import records
    from nnft_ppl.study import compare_runs

    found = compare_runs(directories, page, say=say)
    tables = [found.compared.verdicts, found.compared.couplings]
    shown = [
        one.to_string(index=False, float_format="{:.5g}".format)
        for one in tables
        if not one.empty
    ]
    emit(
        {
            "report": found.report,
            "headline": found.headline,
            **records(found.compared),
        },
        "\n\n".join([*shown, f"{found.headline}.\nReport: {found.report}"]),
        as_json=as_json,
    )


def _finish(run: "StudyRun", as_json: bool) -> None:
    """Print the checks, the verdict and where the page is."""
    from nnft_ppl.report import Results

    document: dict[str, Any] = {
        "directory": run.directory,
        "report": run.report,
        "passed": run.passed,
        "headline": run.headline,
    }
    answers = None
    if isinstance(run.results, Results):
        answers = run.results.answers
        document["summary"] = run.results.summary.to_dict("records")
        document["adequacy"] = run.results.adequacy.to_dict("records")
    print_checks(
        document,
        run.results.checks,
        answers,
        as_json=as_json,
        text=("", f"{run.headline}.", f"Report: {run.report}"),
    )
    if not run.passed:
        raise SystemExit(FAILED)
