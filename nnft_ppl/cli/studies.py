"""`nnft study` and `nnft report`: the whole flow, and its page."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnft_ppl.cli.events import Events
from nnft_ppl.cli.interruption import INTERRUPTED, interruptible
from nnft_ppl.cli.options import FAILED, as_json, devices, memory, scheduler
from nnft_ppl.cli.pipeline import print_checks
from nnft_ppl.cli.units import chosen_devices

if TYPE_CHECKING:
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
    "directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False)
)
@as_json
def report(directory: Path, as_json: bool) -> None:
    """Make the figures and the page of a finished study again."""
    from nnft_ppl.study import rebuild_report

    say = partial(Events(as_json=as_json).tell, "step")
    _finish(rebuild_report(directory, say=say), as_json)


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
