"""What draws networks: `nnft sample` and `nnft correlators`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nnft_ppl._errors import SpecError
from nnft_ppl.cli.events import Events
from nnft_ppl.cli.interruption import interruptible
from nnft_ppl.cli.measuring import (
    MANY_DRAWS,
    NUM_DRAWS,
    correlators_of_file,
    measure,
    print_correlators,
)
from nnft_ppl.cli.options import (
    Function,
    as_json,
    devices,
    emit,
    force,
    input_options,
    memory,
    network_options,
    output_file,
    output_options,
    scheduler,
    seed,
)
from nnft_ppl.cli.resumption import Files
from nnft_ppl.cli.units import COUNT, EXTENSION, chosen_devices
from nnft_ppl.ensemble.generator_names import DEFAULT_GENERATOR

if TYPE_CHECKING:
    from nnft_ppl._network import Network
    from nnft_ppl._typing import Points
    from nnft_ppl.cli.units import Extension

_OF_SAMPLING = (
    "num_draws",
    "target_error",
    "couplings",
    "cutoff",
    "extension",
    "estimator",
    "generator",
    "memory",
    "devices",
    "scheduler",
)
"""What `--exact` and `--from-draws` have no use for."""

_ANY_GENERATOR = (
    "Of random numbers: fused13, fused, of more rounds, or jax, several times slower."
)


@click.command()
@network_options()
@input_options()
@click.option("--num-draws", type=COUNT, default=10_000, show_default=True)
@seed
@click.option(
    "--generator", default=DEFAULT_GENERATOR, show_default=True, help=_ANY_GENERATOR
)
@devices
@output_options
@as_json
def sample(
    network: "Network",
    points: "Points",
    num_draws: int,
    seed: int,
    generator: str,
    devices: int | tuple[int, ...] | None,
    output: Path,
    as_json: bool,
) -> None:
    """Draw random networks of architecture NAME and save their outputs."""
    from nnft_ppl._seed import seed_key
    from nnft_ppl.ensemble.sample import sample_ensemble

    events = Events(as_json=as_json)
    with interruptible(), events.watching("sample") as monitor:
        ensemble = sample_ensemble(
            network,
            points,
            num_draws,
            key=seed_key(seed),
            generator=generator,
            devices=chosen_devices(devices),
            progress=monitor,
        )
        ensemble.save(output)
    emit(
        {"output": output, "num_draws": num_draws, "shape": ensemble.values.shape},
        f"{num_draws} draws of {network!r} at {len(points)} inputs in {output}",
        as_json=as_json,
    )


def _measurement_options(function: Function) -> Function:
    """Add what only a measurement takes, as against `--exact`."""
    for option in reversed(
        [
            click.option(
                "--num-draws",
                type=COUNT,
                help="Networks, such as 1e7; with --target-error the most.  [default: "
                f"{NUM_DRAWS}; with --target-error {MANY_DRAWS:,}]",
            ),
            click.option(
                "--target-error",
                type=float,
                metavar="ERROR",
                help="Stop when the relative error of G4c is no more, such as 0.01.",
            ),
            click.option(
                "--coupling",
                "couplings",
                multiple=True,
                metavar="OPERATOR",
                help="The target error is of the coupling of this operator, at --cutoff"
                ", instead of G4c; may be repeated.",
            ),
            click.option("--cutoff", type=float, help="Λ for --coupling; inf allowed."),
            click.option(
                "--extend",
                "extension",
                type=EXTENSION,
                help="Add networks to the finished OUTPUT: to so many times as many, "
                "10x, or so many more, 5e6.",
            ),
            click.option(
                "--estimator",
                default="auto",
                show_default=True,
                help="auto, conditional, wick or moments.",
            ),
            click.option(
                "--generator",
                help=f"{_ANY_GENERATOR}  [default: {DEFAULT_GENERATOR}; where sums are "
                "gone on with, theirs]",
            ),
            memory,
            devices,
            scheduler,
        ]
    ):
        function = option(function)
    return function


@click.command()
@network_options(without="from_draws")
@input_options()
@click.option(
    "--order",
    "orders",
    type=int,
    multiple=True,
    help="Order of a correlator, 1 to 8; may be repeated.  [default: 2 and 4; 1 to "
    "4 with --from-draws, and of networks where f and −f may not be alike]",
)
@click.option("--exact", is_flag=True, help="Exact correlators, nothing sampled.")
@click.option(
    "--from-draws",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Of draws in a file, .npy, .nc or .zarr with axes (draw, point[, output]), "
    "wherever they are from. NAME may be left out; it gives the kernel.",
)
@click.option(
    "--chains",
    is_flag=True,
    help="The first axis of the draws counts Markov chains: errors by the Γ-method.",
)
@_measurement_options
@seed
@output_file
@force
@as_json
def correlators(
    network: "Network",
    points: "Points",
    orders: tuple[int, ...],
    exact: bool,
    from_draws: Path | None,
    chains: bool,
    extension: "Extension | None",
    output: Path,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure the correlators of architecture NAME, or compute them exactly.

    Or those of your own draws, --from-draws.

    Sums over the networks are kept in OUTPUT.sums as they grow. After Ctrl-C, SIGTERM
    or a crash the same command goes on from there (without --force, which begins anew),
    and --extend adds networks to a finished run. Ctrl-C and SIGTERM leave what there is
    in OUTPUT.partial.nc.
    """
    from nnft_ppl.correlators.neuron.exact import exact_correlators
    from nnft_ppl.correlators.orders import usual_orders

    files, events = Files(output), Events(as_json=as_json)
    with files.held():
        files.check(force=force, extension=extension)
        if chains and from_draws is None:
            raise SpecError("`--chains` is of draws; give them with --from-draws FILE")
        if from_draws is not None:
            _refuse_options_of_sampling("--from-draws")
            if exact:
                raise SpecError(
                    "`--exact` and `--from-draws` are both given; expected one"
                )
            found = correlators_of_file(
                from_draws, network, points, orders or (1, 2, 3, 4), chains=chains
            )
            found.save(output)
        elif exact:
            _refuse_options_of_sampling("--exact")
            orders = orders or usual_orders(network)
            found = exact_correlators(network, points, orders)
            found.save(output)
        else:
            found = measure(
                network,
                points,
                orders or usual_orders(network),
                files,
                events,
                extension=extension,
                force=force,
                **options,
            )
    print_correlators(found, output, events)


def _refuse_options_of_sampling(flag: str) -> None:
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name
        if (
            name in _OF_SAMPLING
            and context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        ):
            raise SpecError(
                f"`{flag}` samples nothing, but `{parameter.opts[0]}` is given; leave "
                "one of them out"
            )
