"""`nnft export`: the numbers of a fit or of correlators, for other programs."""

from pathlib import Path

import click

from nnft_ppl._errors import SpecError
from nnft_ppl.cli.options import as_json, check_folder, emit, force


@click.command()
@click.argument("source", metavar="FILE.nc|DIR", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json", "latex"]),
    default="csv",
    show_default=True,
    help="Comma-separated values, JSON, or a table of LaTeX.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; by default stdout.",
)
@force
@as_json
def export(
    source: Path, form: str, output: Path | None, force: bool, as_json: bool
) -> None:
    """Write couplings or correlators with their covariance, for other programs.

    FILE.nc holds a fit or correlators; DIR is a run directory, whose couplings are
    meant. The numbers as JSON are `--format json`; `--json` wraps whatever is written.
    """
    from nnft_ppl._files import replace
    from nnft_ppl._load import load
    from nnft_ppl.correlators.correlators import Correlators
    from nnft_ppl.export.as_csv import to_csv
    from nnft_ppl.export.as_json import to_json
    from nnft_ppl.export.as_latex import to_latex
    from nnft_ppl.inference.couplings.result import CouplingFit
    from nnft_ppl.study import load_fit

    if output is not None:
        check_folder(output)
        if output.exists() and not force:
            raise SpecError(f"`{output}` exists; give --force to replace it")
    found = load_fit(source) if source.is_dir() else load(source)
    if not isinstance(found, (CouplingFit, Correlators)):
        raise SpecError(
            f"`{source}` holds {type(found).__name__}; expected couplings, of "
            "`nnft fit` or a run directory, or correlators, of `nnft correlators`"
        )
    writers = {"csv": to_csv, "json": to_json, "latex": to_latex}
    text = writers[form](found)
    if output is not None:
        replace(output, text.encode())
        emit({"format": form, "output": output}, f"{form} in {output}", as_json=as_json)
    elif as_json:
        emit({"format": form, "text": text}, "", as_json=True)
    else:
        click.echo(text, nl=False)
