"""`nnft posterior`: a network of finite width given data of the user's."""

from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl.cli.events import Events
from nnft_ppl.cli.interruption import INTERRUPTED, interruptible
from nnft_ppl.cli.options import (
    FAILED,
    Function,
    as_json,
    check_folder,
    check_one_file,
    devices,
    emit,
    force,
    input_columns,
    network_options,
    seed,
    target_columns,
)
from nnft_ppl.cli.predictions import (
    prediction_table,
    predictions,
    score_line,
    scores,
    standard_lines,
)
from nnft_ppl.cli.units import COUNT, WIDTHS, chosen_devices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nnft_ppl._network import Network
    from nnft_ppl.bayes.data_set import DataSet

_FILE = click.Path(path_type=Path, dir_okay=False)


def _data_options(function: Function) -> Function:
    """Add what the data are, and where the field is asked for."""
    for option in reversed(
        [
            click.option(
                "--inputs",
                type=_FILE,
                required=True,
                help="Inputs, .npy or .csv with one a line, and names in its first.",
            ),
            click.option(
                "--targets",
                type=_FILE,
                required=True,
                help="Targets, .npy or .csv, one row an input.",
            ),
            click.option(
                "--new",
                "new_inputs",
                type=_FILE,
                required=True,
                help="Inputs to predict at, as --inputs.",
            ),
            click.option(
                "--new-targets",
                type=_FILE,
                help="Targets there, held out: predictions are scored.",
            ),
            input_columns,
            target_columns,
            click.option(
                "--noise",
                "noise_std",
                type=float,
                required=True,
                help="Standard deviation of the noise of targets, > 0; of the "
                "standardised ones with --standardise.",
            ),
            click.option(
                "--standardise",
                is_flag=True,
                help="Take every column of inputs and targets to mean 0 and standard "
                "deviation 1 by those of the data; predictions are in your units.",
            ),
        ]
    ):
        function = option(function)
    return function


@click.command()
@network_options()
@_data_options
@click.option(
    "--compare",
    is_flag=True,
    help="Beside the exact posterior the Gaussian process and first order in 1/N.",
)
@click.option(
    "--widths",
    type=WIDTHS,
    help="Log evidence at these widths too, such as 5,20,100.",
)
@click.option(
    "--method", default="auto", show_default=True, help="auto, weights, smc or nuts."
)
@click.option(
    "--num-draws",
    type=COUNT,
    default=100_000,
    show_default=True,
    help="Networks of the prior.",
)
@seed
@devices
@click.option(
    "--output",
    "-o",
    type=_FILE,
    help="NetCDF file for the posterior, with --compare for all methods.",
)
@click.option("--figure", type=_FILE, help="PNG file for the predictive bands.")
@force
@as_json
def posterior(
    network: "Network",
    inputs: Path,
    targets: Path,
    new_inputs: Path,
    new_targets: Path | None,
    input_columns: tuple[str, ...] | None,
    target_columns: tuple[str, ...] | None,
    noise_std: float,
    standardise: bool,
    compare: bool,
    widths: tuple[int, ...] | None,
    method: str,
    num_draws: int,
    seed: int,
    devices: int | tuple[int, ...] | None,
    output: Path | None,
    figure: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Condition networks of architecture NAME on data, exactly at their width.

    Networks of the prior are weighted by the evidence that each gives the data, the
    readout integrated out; where the weights fail, the hidden parameters are sampled.
    With --output the state is kept in OUTPUT.checkpoint: after Ctrl-C, SIGTERM or a
    crash the same command goes on from there. Exit code 1 when the posterior cannot be
    trusted.
    """
    from nnft_ppl._files import one_writer

    for file in (output, figure):
        if file is not None:
            check_folder(file)
            if file.exists() and not force:
                raise SpecError(f"`{file}` exists; give --force to replace it")
    data = _data(
        network,
        {"--inputs": inputs, "--targets": targets},
        {"--new": new_inputs, "--new-targets": new_targets},
        input_columns or (),
        target_columns or (),
        standardise=standardise,
    )
    _check(network, data, noise_std, method, compare=compare, widths=widths)
    with nullcontext() if output is None else one_writer(output):
        _condition(
            network,
            data,
            noise_std,
            {"method": method, "num_draws": num_draws},
            seed,
            chosen_devices(devices),
            Events(as_json=as_json),
            compare=compare,
            widths=widths,
            output=output,
            figure=figure,
        )


def _data(
    network: "Network",
    given: dict[str, Path],
    new: dict[str, Path | None],
    input_columns: tuple[str, ...],
    target_columns: tuple[str, ...],
    *,
    standardise: bool,
) -> "DataSet":
    """What the files hold, checked."""
    from nnft_ppl._columns import read_columns
    from nnft_ppl.bayes.data_set import DataSet

    check_one_file(given["--inputs"], given["--targets"], input_columns, target_columns)
    columns = {"--inputs": input_columns, "--new": input_columns}
    x, y, x_new, y_new = (
        None
        if path is None
        else read_columns(path, option, columns.get(option, target_columns)).values
        for option, path in {**given, **new}.items()
    )
    assert x is not None
    assert y is not None
    assert x_new is not None
    return DataSet.checked(network, x, y, x_new, y_new, standardise=standardise)


def _check(
    network: "Network",
    data: "DataSet",
    noise_std: float,
    method: str,
    *,
    compare: bool,
    widths: tuple[int, ...] | None,
) -> None:
    """Refuse now what would be refused after the posterior is there."""
    from nnft_ppl.bayes.data import checked_data
    from nnft_ppl.bayes.four_methods import check_variance

    if not 0 < noise_std < float("inf"):
        raise SpecError(f"`--noise` is {noise_std:g}; expected a finite number > 0")
    if (compare or widths) and not network.has_kernel:
        raise UnavailableError(
            f"{network.unknown_kernel}, which `--compare` and `--widths` need for the "
            "Gaussian process; leave them out"
        )
    if widths and method == "nuts":
        raise SpecError("`--method nuts` gives no evidence, which `--widths` asks for")
    if compare:
        check_variance(network, checked_data(network, data.x, data.y, data.x_new))


@contextmanager
def _told_where_it_is(checkpoint: Path | None, events: Events) -> "Iterator[None]":
    """An interruption says how far it came, and where that is."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        if checkpoint is None or not checkpoint.exists():
            raise
        told, _, _ = str(interruption).partition("; the same call")
        where = "there" if "kept in" in told else f"`{checkpoint}`"
        events.tell(
            "interrupted",
            f"{told or 'interrupted'}; the same command goes on from {where}",
            checkpoint=checkpoint,
        )
        raise SystemExit(INTERRUPTED) from None


def _condition(
    network: "Network",
    data: "DataSet",
    noise_std: float,
    how: dict[str, Any],
    seed: int,
    devices: Any,
    events: Events,
    *,
    compare: bool,
    widths: tuple[int, ...] | None,
    output: Path | None,
    figure: Path | None,
) -> None:
    """Condition, write the files and print."""
    from nnft_ppl._checkpoint import remove_checkpoint
    from nnft_ppl._files import replace
    from nnft_ppl._seed import seed_key
    from nnft_ppl.bayes.evidence import evidence_by_width
    from nnft_ppl.bayes.four_methods import compare_with
    from nnft_ppl.bayes.posterior import posterior
    from nnft_ppl.diagnostics.posteriors import check_posteriors
    from nnft_ppl.plots import plot_predictive, png

    given = {"noise_std": noise_std, "num_draws": how["num_draws"]}
    key, compared, curve = seed_key(seed), None, None
    checkpoint = output and output.with_name(f"{output.name}.checkpoint")
    with (
        _told_where_it_is(checkpoint, events),
        interruptible(),
        events.watching("posterior") as monitor,
    ):
        found = posterior(
            network,
            data.x,
            data.y,
            data.x_new,
            noise_std=noise_std,
            key=key,
            checkpoint=checkpoint,
            devices=devices,
            progress=monitor,
            **how,
        )
        if compare:
            compared = compare_with(
                found, **given, key=key, fit=None, y_new=data.y_new, tolerance=0.1
            )
        if widths:
            curve = evidence_by_width(
                network,
                widths,
                data.x,
                data.y,
                **given,
                key=key,
                method=how["method"],
                devices=devices,
                progress=monitor,
            )
    if output is not None and checkpoint is not None:
        (compared or found).save(output)
        remove_checkpoint(checkpoint)
    if figure is not None:
        drawn = plot_predictive(compared or found, standard=data.standard)
        replace(figure, png(drawn))
    check = check_posteriors([found], how["num_draws"])
    document: dict[str, Any] = {
        "network": repr(network),
        "method": found.method,
        "effective_draws": found.effective_draws,
        "pareto_k": found.pareto_k,
        "log_evidence": found.log_evidence,
        "log_evidence_error": found.log_evidence_error,
        "noise_std": noise_std,
        "standardised_by": data.standard and data.standard.record(),
        "predictions": predictions(found, compared, data),
        "scores": scores(found, noise_std, data),
        "checks": [vars(check)],
        "output": output,
        "figure": figure,
    }
    parts = [
        *standard_lines(noise_std, data),
        prediction_table(document["predictions"]),
        f"{found!r}",
    ]
    if document["scores"] and compared is None:
        parts.append(score_line(document["scores"]))
    if compared is not None:
        rows = compared.table().reset_index()
        document["methods"] = rows.to_dict("records")
        document["message"] = compared.message
        parts += ["", rows.to_string(index=False, float_format="{:.4g}".format)]
        parts.append(compared.message)
    if curve is not None:
        rows = curve.table.reset_index()
        document["evidence"] = rows.to_dict("records")
        document["infinite"] = curve.infinite
        document["preference"] = curve.message
        parts += ["", rows.to_string(index=False, float_format="{:.5g}".format)]
        parts += [f"Gaussian process: {curve.infinite:.5g}", curve.message]
    for what, path in (("posterior", output), ("figure", figure)):
        if path is not None:
            parts.append(f"{what} in {path}")
    if not check.passed:
        parts.append(f"not to be trusted: {check.message}")
    emit(document, "\n".join(parts), as_json=events.as_json)
    if not check.passed:
        raise SystemExit(FAILED)
