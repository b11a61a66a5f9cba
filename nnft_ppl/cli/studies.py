"""`nnft study` and `nnft report`: the whole flow, and its page."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnft_ppl.cli.interruption import INTERRUPTED, interruptible
from nnft_ppl.cli.options import FAILED, as_json, on_terminal, say
from nnft_ppl.cli.pipeline import print_checks

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
@as_json
def study(study_file: Path, output: Path | None, rerun: bool, as_json: bool) -> None:
    """Run a whole study: correlators, couplings, checks, report.

    Results already in the run directory are reused, and a measurement or a fit that
    was interrupted, by Ctrl-C, SIGTERM or a crash, goes on where it stopped. Exit code
    1 when a check fails, among them whether the action describes the network.
    """
    from nnft_ppl.study import read_study, run_study

    read = read_study(study_file, directory=output)
    try:
        with interruptible():
            run = run_study(read, say=say, progress=on_terminal(), rerun=rerun)
    except KeyboardInterrupt:
        command = "the same command without --rerun" if rerun else "the same command"
        say(f"nnft: interrupted; {command} goes on in {read.directory}")
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

    _finish(rebuild_report(directory, say=say), as_json)


def _finish(run: "StudyRun", as_json: bool) -> None:
    """Print the checks, the verdict and where the page is."""
    document = {
        "directory": run.directory,
        "report": run.report,
        "passed": run.passed,
        "headline": run.headline,
        "summary": run.results.summary.to_dict("records"),
        "adequacy": run.results.adequacy.to_dict("records"),
    }
    print_checks(
        document,
        run.results.checks,
        as_json=as_json,
        text=f"\n{run.headline}.\nReport: {run.report}",
    )
    if not run.passed:
        raise SystemExit(FAILED)
