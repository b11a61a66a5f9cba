"""Options that several commands share, and how results are printed."""

import json
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnft_ppl._errors import SpecError
from nnft_ppl.cli.units import DEVICES, MEMORY, NAMES

if TYPE_CHECKING:
    from nnft_ppl._network import Network
    from nnft_ppl._typing import Points

type Function = Callable[..., Any]

FAILED = 1
"""Exit code when a check failed."""

as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on stdout."
)
seed = click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Fixes every random number.",
)
memory = click.option(
    "--memory",
    type=MEMORY,
    help="What networks in flight may take, such as 500MB; it changes no number.",
)
devices = click.option(
    "--devices",
    type=DEVICES,
    help='How many devices to use, or which, such as "0,2". Default: all.',
)
scheduler = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Of a Dask cluster that does the work, such as tcp://host:8786.",
)


def network_options(
    *,
    width: int | None = None,
    bias_std: float = 0.0,
    hide_width: bool = False,
    without: str | None = None,
) -> Function:
    """Add NAME and the hyperparameters; the command gets `network`, built.

    With an option named `without` NAME may be left out, and `network` is then the
    width, or 1.
    """

    def decorate(function: Function) -> Function:
        @click.argument("name", required=without is None)
        @click.option(
            "--width",
            type=int,
            default=width,
            required=width is None and without is None,
            show_default=width is not None,
            hidden=hide_width,
            help="Asymptotic parameter N.",
        )
        @click.option(
            "--input-dim",
            metavar="NUMBER|SHAPE",
            help="Dimension of one input, or its shape, such as 8x8x1. "
            "Default: that of the inputs given, else 1.",
        )
        @click.option(
            "--output-dim",
            type=int,
            default=1,
            show_default=True,
            help="Number of outputs.",
        )
        @click.option(
            "--weight-std", type=float, default=1.0, show_default=True, help="σ_W."
        )
        @click.option(
            "--bias-std", type=float, default=bias_std, show_default=True, help="σ_b."
        )
        @click.option(
            "--option",
            "options",
            multiple=True,
            metavar="KEY=VALUE",
            help="An option of the architecture; may be repeated.",
        )
        @wraps(function)
        def command(
            name: str | None,
            width: int | None,
            input_dim: str | None,
            output_dim: int,
            weight_std: float,
            bias_std: float,
            options: tuple[str, ...],
            **rest: Any,
        ) -> Any:
            from nnft_ppl.registry import network

            if name is None:
                if without is None or rest.get(without) is None:
                    raise click.UsageError("Missing argument 'NAME'.")
                return function(network=1 if width is None else width, **rest)
            if width is None:
                raise click.UsageError("Missing option '--width'.")
            return function(
                network=network(
                    name,
                    width=width,
                    input_dim=_input_shape(
                        input_dim,
                        rest.get("inputs"),
                        rest.get("given"),
                        rest.get("input_columns") or (),
                    ),
                    output_dim=output_dim,
                    weight_std=weight_std,
                    bias_std=bias_std,
                    **_architecture_options(options),
                ),
                **rest,
            )

        return command

    return decorate


def _input_shape(
    given: str | None,
    inputs: Path | None,
    points: str | None,
    columns: tuple[str, ...] = (),
) -> int | tuple[int, ...]:
    """`8` or `8x8x1` as `nnft_ppl.network` takes it; by default that of the inputs."""
    if given is None:
        if inputs is not None and points is None:  # both are refused further on
            from nnft_ppl._columns import read_columns

            shape = read_columns(inputs, "--inputs", columns).values.shape[1:]
            return shape if len(shape) > 1 else shape[0] if shape else 1
        first, semicolon, _ = (points or "").partition(";")
        return len(first.split(",")) if semicolon else 1
    try:
        shape = tuple(int(size) for size in given.split("x"))
    except ValueError:
        raise SpecError(
            f"`--input-dim {given}` is neither a whole number nor a shape such as 8x8x1"
        ) from None
    return shape if len(shape) > 1 else shape[0]


def _architecture_options(pairs: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE pairs; a value that reads as JSON is taken as such, else as text."""
    from nnft_ppl._hyperparameters import check_option_names

    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise SpecError(f"`--option {pair}` has no value; write --option KEY=VALUE")
        if key in found:
            raise SpecError(f"`--option {key}` is given twice; give it once")
        try:
            found[key] = json.loads(value)
        except (ValueError, RecursionError):
            found[key] = value
    check_option_names("--option", found)
    return found


input_columns = click.option(
    "--input-columns",
    type=NAMES,
    help="Columns of the .csv files of inputs, by name. Default: all.",
)
target_columns = click.option(
    "--target-columns",
    type=NAMES,
    help="Columns of the .csv files of targets, by name. Default: all.",
)


def check_one_file(
    inputs: Path | None,
    targets: Path,
    input_columns: tuple[str, ...],
    target_columns: tuple[str, ...],
) -> None:
    """Refuse inputs and targets in one file of which no columns are chosen."""
    one = inputs is not None and inputs.resolve() == targets.resolve()
    if one and not (input_columns and target_columns):
        raise SpecError(
            "`--inputs` and `--targets` are one file; say which columns are which by "
            "--input-columns and --target-columns"
        )


def input_options(
    *, distinct: bool = True, columns_too: bool = False
) -> Callable[[Function], Function]:
    """Add --inputs, its columns, and --points; the command gets `points`.

    Args:
        distinct: Refuse two equal ones, as for correlators.
        columns_too: The command gets `inputs` and `input_columns`, too.
    """

    def add(function: Function) -> Function:
        @click.option(
            "--inputs",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Inputs from a file, .npy or .csv with one input a line.",
        )
        @input_columns
        @click.option(
            "--points",
            "given",
            metavar="LIST",
            help='Inputs, such as "0.2,0.4,0.6"; in more dimensions "1,0;0,1". '
            "Default: the architecture's suggestion.",
        )
        @wraps(function)
        def command(
            network: "Network | int",
            inputs: Path | None,
            given: str | None,
            input_columns: tuple[str, ...] | None,
            **rest: Any,
        ) -> Any:
            chosen = input_columns or ()
            points = _points(network, inputs, given, chosen, distinct=distinct)
            if columns_too:
                rest.update(inputs=inputs, input_columns=chosen)
            return function(network=network, points=points, **rest)

        return command

    return add


def _points(
    network: "Network | int",
    inputs: Path | None,
    given: str | None,
    columns: tuple[str, ...],
    *,
    distinct: bool,
) -> "Points":
    """Inputs from a file, from the command line, or the suggested ones.

    Without a network they are as they are written.
    """
    if inputs is not None and given is not None:
        raise SpecError("`--inputs` and `--points` are both given; expected one")
    if columns and inputs is None:
        raise SpecError("`--input-columns` is given without `--inputs`; give both")
    if inputs is not None:
        from nnft_ppl._columns import read_columns

        there = read_columns(inputs, "--inputs", columns).values
        if isinstance(network, int):
            return there
        return network.check_inputs(there, distinct=distinct)
    import numpy as np

    dim = 1 if isinstance(network, int) else network.hyperparameters.input_dim
    if given is not None:
        separator = ";" if ";" in given or dim > 1 else ","
        try:
            values = [
                [float(v) for v in point.split(",")] for point in given.split(separator)
            ]
            if len({len(point) for point in values}) > 1:
                raise ValueError("the points are of different dimension")
        except ValueError as error:
            if os.path.isfile(given):  # noqa: PTH113 - Path raises for long names
                raise SpecError(
                    f"`--points {given}` is a file; give it with --inputs"
                ) from error
            raise SpecError(
                f"`--points {given}`: {error}; write numbers such as "
                '"0.2,0.4,0.6", in more dimensions "1,0;0,1"'
            ) from error
        if isinstance(network, int):
            return np.array(values)
        return network.check_inputs(np.array(values), distinct=distinct)
    if isinstance(network, int):
        raise SpecError("draws need their inputs; give --inputs or --points")
    suggested = network.architecture.suggested_inputs.get(dim)
    if suggested is None:
        raise SpecError(
            f"architecture {network.name!r} suggests no inputs of dimension {dim}; "
            "give --inputs or --points"
        )
    return network.check_inputs(np.array(suggested), distinct=True)


output_file = click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="NetCDF file to write.",
)
force = click.option("--force", is_flag=True, help="Replace the file if it exists.")


def output_options(function: Function) -> Function:
    """Add --output and --force; the command gets `output`, its own to write."""

    @output_file
    @force
    @wraps(function)
    def command(output: Path, force: bool, **rest: Any) -> Any:
        from nnft_ppl._files import one_writer, remove_half_written

        # Now, not after an hour of sampling.
        check_folder(output)
        with one_writer(output):
            if output.exists() and not force:
                raise SpecError(f"`{output}` exists; give --force to replace it")
            remove_half_written(output)
            return function(output=output, **rest)

    return command


def check_folder(output: Path) -> None:
    """Raise SpecError where there is no folder to write `output` in."""
    if not output.name:
        raise SpecError(f"cannot write `{output}`: it is no name of a file")
    if not output.parent.is_dir():
        raise SpecError(f"cannot write `{output}`: `{output.parent}` is no folder")


def emit(document: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print the result on stdout: the JSON document, or the text for people."""
    if as_json:
        text = json.dumps(plain(document), sort_keys=True)
    click.echo(text)


def plain(value: Any) -> Any:
    """JSON values: NumPy numbers and arrays unpacked, inf as text, nan as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, (str, Path)):
        # Python keeps what an ASCII locale does not let it decode in surrogates.
        raw = str(value).encode("utf-8", "surrogateescape")
        return raw.decode("utf-8", "surrogateescape")
    return value


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, left-aligned."""
    if not rows:
        return ""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def say(message: str) -> None:
    """A line about progress, on stderr."""
    click.echo(message, err=True)


def on_terminal() -> bool:
    """Whether progress bars can be seen."""
    return sys.stderr.isatty()
