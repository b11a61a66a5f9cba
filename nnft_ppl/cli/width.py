"""`nnft width`: how wide is wide enough for the Gaussian process on given inputs."""

from typing import TYPE_CHECKING

import click

from nnft_ppl.cli.events import Events
from nnft_ppl.cli.options import (
    as_json,
    emit,
    input_options,
    network_options,
    seed,
    table,
)

if TYPE_CHECKING:
    from nnft_ppl._network import Network
    from nnft_ppl._typing import Points


@click.command()
@network_options(width=1, hide_width=True)
@input_options
@click.option(
    "--tolerance",
    type=float,
    default=0.01,
    show_default=True,
    help="Largest distance from the Gaussian process, between 0 and 1.",
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
    default=20_000,
    show_default=True,
    help="Networks sampled at each width, where nothing is known exactly.",
)
@seed
@as_json
def width(
    network: "Network",
    points: "Points",
    tolerance: float,
    group_size: int,
    num_groups: int,
    num_draws: int,
    seed: int,
    as_json: bool,
) -> None:
    """Say how wide NAME must be to be its Gaussian process on these inputs.

    Judged by the relative connected 4-pt function and by the total variation distance
    of the outputs, on groups of a few inputs.
    """
    from nnft_ppl._seed import seed_key
    from nnft_ppl.diagnostics.width.required_width import required_width

    with Events(as_json=as_json).watching("inputs") as monitor:
        result = required_width(
            network,
            points,
            tolerance,
            key=seed_key(seed),
            group_size=group_size,
            num_groups=num_groups,
            num_draws=num_draws,
            progress=monitor or False,
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
