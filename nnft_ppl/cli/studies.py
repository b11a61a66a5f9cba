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
    table,
)
from nnft_ppl.cli.pipeline import print_checks
from nnft_ppl.cli.units import chosen_devices

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import jax

    from nnft_ppl.study.run import StudyRun
    from nnft_ppl.study.spec import Study


@click.command()
@click.argument(
    "study_file",
    metavar="FILE.toml",
    required=False,
    type=click.Path(path_type=Path, dir_okay=False),
)
@click.option(
    "--init",
    "architecture",
    metavar="NAME",
    help="Write a study file of this architecture, with every key explained, and stop.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say what the study will cost in networks, seconds and memory, and stop.",
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
    study_file: Path | None,
    architecture: str | None,
    dry_run: bool,
    output: Path | None,
    rerun: bool,
    memory: int | None,
    devices: int | tuple[int, ...] | None,
    scheduler: str | None,
    as_json: bool,
) -> None:
    """Run a whole study: correlators, couplings, checks, report.

    Results already in the run directory are reused, and a measurement, a fit, a
    posterior or training that was interrupted, by Ctrl-C, SIGTERM or a crash, goes on
    where it stopped. Exit code 1 when a check fails, among them whether the action
    describes the network.
    """
    if architecture is not None:
        _write_first(architecture, study_file, as_json)
        return
    if study_file is None:
        raise click.UsageError("Missing argument 'FILE.toml'.")
    from nnft_ppl.study import read_study, run_study

    read, events = read_study(study_file, directory=output), Events(as_json=as_json)
    if dry_run:
        if scheduler is not None:
            raise SpecError(
                "`--dry-run` tries this machine; leave out `--scheduler`, whose "
                "workers have a pace of their own"
            )
        _tell_cost(read, chosen_devices(devices), memory, as_json)
        return
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


def _write_first(architecture: str, study_file: Path | None, as_json: bool) -> None:
    """A study file to begin with."""
    from nnft_ppl.study.first_file import write_first_study

    path = write_first_study(architecture, study_file)
    emit(
        {"file": path},
        f"wrote {path}\nwhat it will cost: nnft study {path} --dry-run\n"
        f"run it:            nnft study {path}",
        as_json=as_json,
    )


def _tell_cost(
    read: "Study",
    devices: "Sequence[jax.Device] | int | None",
    memory: int | None,
    as_json: bool,
) -> None:
    """What a study will take, step by step."""
    from nnft_ppl.study.forecast import forecast

    with Events(as_json=as_json).telling_warnings():
        found = forecast(read, devices=devices, memory=memory)
    rows = [
        [
            step.what,
            f"{step.num_draws:,}" if step.num_draws else "-",
            "finished" if step.is_finished else _time(step.seconds),
        ]
        for step in found.steps
    ]
    unknown = any(step.seconds is None for step in found.steps)
    whole = (
        f"{'at least ' if unknown else 'about '}{_time(found.seconds)} on this machine,"
        f" {found.num_draws:,} networks, {found.memory / 1e6:.0f} MB; nothing was run"
    )
    emit(
        {
            "steps": [vars(step) for step in found.steps],
            "seconds": found.seconds,
            "num_draws": found.num_draws,
            "memory_bytes": found.memory,
        },
        f"{table([['STEP', 'NETWORKS', 'TIME'], *rows])}\n{whole}",
        as_json=as_json,
    )


def _time(seconds: float | None) -> str:
    """For people, as exact as a forecast is."""
    if seconds is None:
        return "unknown"
    if seconds < 1:
        return "< 1 s"
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 99.5 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


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
