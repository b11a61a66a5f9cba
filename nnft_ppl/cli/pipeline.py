"""From saved correlators to checked couplings: `nnft fit`, `nnft diagnose`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnft_ppl._errors import SpecError
from nnft_ppl.cli.events import Events
from nnft_ppl.cli.interruption import INTERRUPTED, interruptible
from nnft_ppl.cli.options import (
    FAILED,
    as_json,
    emit,
    output_options,
    seed,
    table,
)

if TYPE_CHECKING:
    from nnft_ppl.diagnostics.answers import Answers
    from nnft_ppl.diagnostics.checks import Check

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("correlators_file", metavar="CORRELATORS.nc", type=_FILE)
@click.option(
    "--operator",
    "operators",
    multiple=True,
    required=True,
    help="lambda_0, lambda_2, lambda_4, lambda_nl, lambda_nl2, quadratic_squared, "
    "gradient, kappa, source, cubic, or a plugin's; may be repeated.",
)
@click.option(
    "--cutoff",
    "cutoffs",
    type=float,
    multiple=True,
    required=True,
    help="Cutoff of the measure, or inf; may be repeated.",
)
@click.option(
    "--measure",
    default="box",
    show_default=True,
    help="What is integrated over: box, ball, gaussian, empirical.",
)
@click.option(
    "--measure-file",
    type=_FILE,
    default=None,
    help="Data points of the empirical measure, .npy or .csv.  [default: the inputs of "
    "the correlators]",
)
@click.option(
    "--scheme", default="renormalised", show_default=True, help="renormalised, bare."
)
@click.option("--sampler", default="nuts", show_default=True, help="nuts, conjugate.")
@click.option("--num-warmup", type=int, default=500, show_default=True)
@click.option("--num-samples", type=int, default=1000, show_default=True)
@click.option("--num-chains", type=int, default=4, show_default=True)
@click.option(
    "--no-discrepancy",
    is_flag=True,
    help="Take the action to be exact.",
)
@seed
@output_options
@as_json
def fit(
    correlators_file: Path,
    operators: tuple[str, ...],
    cutoffs: tuple[float, ...],
    measure: str,
    measure_file: Path | None,
    scheme: str,
    sampler: str,
    num_warmup: int,
    num_samples: int,
    num_chains: int,
    no_discrepancy: bool,
    seed: int,
    output: Path,
    as_json: bool,
) -> None:
    """Infer the couplings of an action from saved correlators.

    NUTS keeps its state in OUTPUT.checkpoint until the fit is saved: after Ctrl-C,
    SIGTERM or a crash the same command goes on from there.
    """
    from nnft_ppl._checkpoint import remove_checkpoint
    from nnft_ppl._columns import read_points
    from nnft_ppl._load import load
    from nnft_ppl._seed import seed_key
    from nnft_ppl.correlators.correlators import Correlators
    from nnft_ppl.eft.action import Action
    from nnft_ppl.eft.measures import Empirical, measure_named
    from nnft_ppl.inference.couplings.fit import fit_couplings

    data = load(correlators_file)
    if not isinstance(data, Correlators):
        raise SpecError(
            f"`{correlators_file}` holds no correlators; make such a file with "
            "`nnft correlators`"
        )
    points = data.x if measure == Empirical.name else None
    if measure_file is not None:
        points = read_points(measure_file, "--measure-file")
    checkpoint = output.with_name(f"{output.name}.checkpoint")
    events = Events(as_json=as_json)
    try:
        with interruptible(), events.watching("NUTS") as monitor:
            found = fit_couplings(
                data,
                Action(
                    operators,
                    measure=measure_named(measure, points),
                    scheme=scheme,
                ),
                cutoffs,
                key=seed_key(seed),
                num_warmup=num_warmup,
                num_samples=num_samples,
                num_chains=num_chains,
                discrepancy=not no_discrepancy,
                sampler=sampler,
                checkpoint=checkpoint if sampler == "nuts" else None,
                progress=monitor,
            )
            found.save(output)
    except KeyboardInterrupt as interruption:
        if not str(interruption):  # before or after NUTS
            raise
        events.tell(
            "interrupted",
            f"interrupted; {interruption}; the same command goes on from there",
            checkpoint=checkpoint,
        )
        raise SystemExit(INTERRUPTED) from None
    if sampler == "nuts":
        remove_checkpoint(checkpoint)
    summary, adequacy = found.summary(), found.adequacy()
    text = "\n\n".join(
        [
            summary.to_string(index=False, float_format="{:.5g}".format),
            adequacy.to_string(index=False, float_format="{:.3g}".format),
            f"fit of {', '.join(operators)} in {output}",
        ]
    )
    emit(
        {
            "output": output,
            "summary": summary.to_dict("records"),
            "adequacy": adequacy.to_dict("records"),
        },
        text,
        as_json=as_json,
    )


@click.command()
@click.argument("fit_file", metavar="FIT.nc", type=_FILE)
@click.option(
    "--tolerance",
    type=float,
    help="Relative misfit that is tolerated; 0.1 unless given.",
)
@as_json
def diagnose(fit_file: Path, tolerance: float | None, as_json: bool) -> None:
    """Check a saved fit.

    Exit code 1 when a check fails.
    """
    from nnft_ppl._load import load
    from nnft_ppl.diagnostics.answers import answer
    from nnft_ppl.diagnostics.checks import diagnose as run_checks
    from nnft_ppl.inference.couplings.result import CouplingFit
    from nnft_ppl.inference.verdict import TOLERANCE

    saved = load(fit_file)
    if not isinstance(saved, CouplingFit):
        raise SpecError(f"`{fit_file}` holds no fit; make such a file with `nnft fit`")
    tolerated = TOLERANCE if tolerance is None else tolerance
    checks = run_checks(saved, tolerance=tolerated)
    print_checks({}, checks, answer(saved, tolerance=tolerated), as_json=as_json)
    if not all(c.passed for c in checks):
        raise SystemExit(FAILED)


def print_checks(
    document: dict[str, Any],
    checks: Sequence["Check"],
    answers: "Answers | None",
    *,
    as_json: bool,
    text: Sequence[str] = (),
) -> None:
    """The checks of a fit and the answers about its action, then what else there is."""
    from nnft_ppl.diagnostics.answers import QUESTIONS

    sentences = [] if answers is None else answers.sentences
    answered = dict(zip(QUESTIONS, sentences, strict=answers is not None))
    rows = [["CHECK", "RESULT", "VALUE", "MEANING"]]
    rows += [
        [
            c.name,
            "passed" if c.passed else "FAILED",
            "-" if math.isnan(c.value) else f"{c.value:.4g}",
            c.message,
        ]
        for c in checks
    ]
    emit(
        {**document, "checks": [vars(c) for c in checks], "answers": answered},
        "\n".join([table(rows), "", *(f"{q} {a}" for q, a in answered.items()), *text]),
        as_json=as_json,
    )
