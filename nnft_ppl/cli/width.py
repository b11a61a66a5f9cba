"""`nnft width`: how wide is wide enough, for the Gaussian process or a posterior."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnft_ppl._errors import SpecError
from nnft_ppl.cli.events import Events
from nnft_ppl.cli.options import (
    as_json,
    check_one_file,
    emit,
    input_options,
    network_options,
    seed,
    table,
    target_columns,
)

if TYPE_CHECKING:
    import numpy as np

    from nnft_ppl._network import Network
    from nnft_ppl._typing import Points


@click.command()
@network_options(width=1, hide_width=True)
@input_options(distinct=False, columns_too=True)
@click.option(
    "--tolerance",
    type=float,
    help="Largest distance from the Gaussian process, between 0 and 1; with targets of "
    "means, in standard deviations. Default: 0.01, with targets 0.1.",
)
@click.option(
    "--group-size",
    type=int,
    default=4,
    show_default=True,
    help="Inputs judged together.",
)
@click.option(
    "--groups",
    "num_groups",
    type=int,
    default=20,
    show_default=True,
    help="Groups drawn from the inputs; the worst counts.",
)
@click.option(
    "--num-draws",
    type=int,
    help="Networks sampled at each width, where nothing is known exactly; with targets "
    "at most. Default: 20000, with targets 200000.",
)
@click.option(
    "--targets",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Targets at the inputs, .npy or .csv: judge the posterior given these.",
)
@target_columns
@click.option("--noise", type=float, help="Standard deviation of the targets.")
@click.option(
    "--new",
    type=click.Path(path_type=Path, dir_okay=False),
    help="New inputs where the posterior is judged. Default: those of the data.",
)
@click.option(
    "--total-variation",
    type=float,
    help="Largest total variation distance of predictive laws. Default: 0.05.",
)
@seed
@as_json
def width(
    network: "Network",
    points: "Points",
    inputs: Path | None,
    input_columns: tuple[str, ...],
    tolerance: float | None,
    group_size: int,
    num_groups: int,
    num_draws: int | None,
    targets: Path | None,
    target_columns: tuple[str, ...] | None,
    noise: float | None,
    new: Path | None,
    total_variation: float | None,
    seed: int,
    as_json: bool,
) -> None:
    """Say how wide NAME must be to be its Gaussian process on these inputs.

    Judged by the relative connected 4-pt function and by the total variation distance
    of the outputs, on groups of a few inputs.

    With --targets it is the posterior that must be the Gaussian process's: its means
    at the new inputs, and the total variation distance of its predictive laws.
    """
    if targets is not None:
        chosen = target_columns or ()
        check_one_file(inputs, targets, input_columns, chosen)
        _of_posterior(
            network,
            points,
            _targets(targets, chosen, network),
            noise,
            None if new is None else _new(new, input_columns),
            total_variation=0.05 if total_variation is None else total_variation,
            tolerance=0.1 if tolerance is None else tolerance,
            num_draws=200_000 if num_draws is None else num_draws,
            seed=seed,
            as_json=as_json,
        )
        return
    given = {
        "--target-columns": target_columns,
        "--noise": noise,
        "--new": new,
        "--total-variation": total_variation,
    }
    for option, value in given.items():
        if value is not None:
            raise SpecError(f"`{option}` is given without `--targets`; give both")
    from nnft_ppl._seed import seed_key
    from nnft_ppl.diagnostics.width.required_width import required_width

    with Events(as_json=as_json).watching("inputs") as monitor:
        result = required_width(
            network,
            points,
            0.01 if tolerance is None else tolerance,
            key=seed_key(seed),
            group_size=group_size,
            num_groups=num_groups,
            num_draws=20_000 if num_draws is None else num_draws,
            progress=monitor,
        )
    rows = [
        [str(measure), *map(str, row)]
        for measure, row in zip(
            result.table.index, result.table.to_numpy().tolist(), strict=True
        )
    ]
    low, high = result.interval
    emit(
        {
            "architecture": network.name,
            "tolerance": result.tolerance,
            "width": result.width,
            "low": low,
            "high": high,
            "method": result.method,
            "measures": result.table.reset_index().to_dict("records"),
            "message": result.message,
        },
        table([["MEASURE", "WIDTH", "LOW", "HIGH", "GROUP"], *rows])
        + f"\n{result.message}",
        as_json=as_json,
    )


def _of_posterior(
    network: "Network",
    points: "Points",
    targets: "np.ndarray",
    noise: float | None,
    new: "np.ndarray | None",
    *,
    tolerance: float,
    total_variation: float,
    num_draws: int,
    seed: int,
    as_json: bool,
) -> None:
    """The same of the posterior given targets."""
    from nnft_ppl._numbers import with_error
    from nnft_ppl._seed import seed_key
    from nnft_ppl.bayes.posterior_width import posterior_width

    if noise is None:
        raise SpecError("`--targets` is given without `--noise`; give both")
    asked = click.get_current_context().get_parameter_source
    for option in ("--group-size", "--groups"):
        name = "num_groups" if option == "--groups" else "group_size"
        if asked(name) is click.core.ParameterSource.COMMANDLINE:
            raise SpecError(
                f"`{option}` is given with `--targets`, where each input is judged by "
                "itself; leave it out"
            )
    with Events(as_json=as_json).watching_each() as progress:
        result = posterior_width(
            network,
            points,
            targets,
            new,
            noise_std=noise,
            tolerance=tolerance,
            total_variation=total_variation,
            num_draws=num_draws,
            key=seed_key(seed),
            progress=progress,
        )
    low, high = result.interval
    records = result.table.reset_index().to_dict("records")
    rows = [
        [
            str(row["width"]),
            with_error(row["mean"], row["mean_error"]),
            with_error(row["variation"], row["variation_error"]),
            str(row["num_draws"]),
            row["enough"],
        ]
        for row in records
    ]
    emit(
        {
            "architecture": network.name,
            "tolerance": result.tolerance,
            "total_variation": result.total_variation,
            "width": result.width,
            "low": low,
            "high": high,
            "binds": result.binds,
            "widths": records,
            "message": result.message,
        },
        table([["WIDTH", "MEAN", "TOTAL VARIATION", "NETWORKS", "ENOUGH"], *rows])
        + f"\n{result.message}",
        as_json=as_json,
    )


def _targets(path: Path, columns: tuple[str, ...], network: "Network") -> "np.ndarray":
    """A .csv with one target a line is a column."""
    from nnft_ppl._columns import read_columns

    read = read_columns(path, "--targets", columns).values
    outputs = network.hyperparameters.output_dim
    if read.ndim == 2 and read.shape[1] not in (1, outputs):
        raise SpecError(
            f"`--targets` has {read.shape[1]} columns; expected {outputs}, one an "
            "output: choose by --target-columns"
        )
    return read[:, 0] if read.ndim == 2 and read.shape[1] == 1 else read


def _new(path: Path, columns: tuple[str, ...]) -> "np.ndarray":
    """New inputs, of the columns that inputs are of."""
    from nnft_ppl._columns import read_columns

    return read_columns(path, "--new", columns).values
