"""The study file: TOML in, a validated `Study` out, before any work starts.

Tables: [network], [inputs], [ensemble], [eft], [data], [training],
[output]. Unknown keys, wrong
types and impossible requests are refused with the path of the key in the file. What
depends on the installed plugins (architecture, options, operators, inputs) is checked
as well.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nnft_ppl._columns import read_points
from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._hyperparameters import check_option_names
from nnft_ppl._network import Network
from nnft_ppl._typing import Points
from nnft_ppl.correlators.sampled.estimators import (
    ESTIMATORS,
    PLAIN,
    choose_estimator,
)
from nnft_ppl.correlators.symmetric import num_entries
from nnft_ppl.eft.action import SCHEMES, Action
from nnft_ppl.eft.measures import MEASURES, Empirical, Measure, measure_named
from nnft_ppl.ensemble.measured_kernel import measured_kernel
from nnft_ppl.ensemble.model import MAX_DRAWS
from nnft_ppl.inference.couplings.fit import SAMPLERS
from nnft_ppl.inference.verdict import TOLERANCE
from nnft_ppl.registry import network
from nnft_ppl.study import _tables as kinds
from nnft_ppl.study._tables import Table, at
from nnft_ppl.study._toml import read_toml
from nnft_ppl.study.data_table import KEYS as DATA_KEYS
from nnft_ppl.study.data_table import DataTable, read_data
from nnft_ppl.study.directory import check_place
from nnft_ppl.study.draws_file import (
    check_fit_of_file,
    check_measure_of_file,
    ensemble_of_file,
    network_of_inputs,
)
from nnft_ppl.study.inputs import KEYS as INPUTS_KEYS
from nnft_ppl.study.inputs import read_inputs
from nnft_ppl.study.orders import check_actions, orders_of_networks
from nnft_ppl.study.spec import EftTable, EnsembleTable, Study, kernel_key
from nnft_ppl.study.training_table import KEYS as TRAINING_KEYS
from nnft_ppl.study.training_table import TrainingTable, read_training

_KEYS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "network": (
            "architecture",
            "width",
            "widths",
            "input_dim",
            "weight_std",
            "bias_std",
            "options",
        ),
        "inputs": INPUTS_KEYS,
        "ensemble": (
            "num_draws",
            "target_error",
            "seed",
            "orders",
            "estimator",
            "plain_draws",
            "kernel_draws",
            "file",
            "chains",
        ),
        "eft": (
            "width",
            *INPUTS_KEYS,
            "operators",
            "measure",
            "measure_file",
            "scheme",
            "cutoffs",
            "candidates",
            "comparison_cutoff",
            "tolerance",
            "num_draws",
            "data",
            "sampler",
            "num_warmup",
            "num_samples",
            "num_chains",
        ),
        "data": DATA_KEYS,
        "training": TRAINING_KEYS,
        "output": ("directory",),
    }
)
"""Every table of a study file and its keys."""


def read_study(path: str | Path, *, directory: str | Path | None = None) -> Study:
    """Read and validate a study file.

    Args:
        path: The TOML file.
        directory: Where the run goes, instead of `output.directory`.

    Raises:
        SpecError: The file cannot be read, a key is unknown or missing, or a value is
            unusable; the message gives the path of the key.
        PluginError: No such architecture or operator.
        UnavailableError: An effective action is asked for and there is no kernel, or
            exact correlators are and there is no neuron.
    """
    source = Path(path)
    text, raw = read_toml(source)
    return parse_study(
        raw, text=text, name=source.stem, folder=source.parent, directory=directory
    )


def parse_study(
    raw: dict[str, Any],
    *,
    text: str,
    name: str,
    folder: Path,
    directory: str | Path | None = None,
) -> Study:
    """Validate the parsed TOML; `folder` is where relative input files are looked for.

    Raises:
        SpecError: See `read_study`; PluginError and UnavailableError likewise.
    """
    root = Table("", raw, _KEYS)
    tables = {
        key: Table(key, root.take(key, kinds.ANYTHING, {}), keys)
        for key, keys in _KEYS.items()
    }
    from_file = "file" in tables["ensemble"]
    widths: tuple[int, ...] = (1,)
    if from_file and "network" not in raw:
        net = network_of_inputs(tables["inputs"], folder)
    else:
        net, widths = _network(tables["network"])
    # Data alone need no correlators: those of inputs are what else may be asked for.
    alone = bool({"data", "training"} & set(raw))
    measures = not alone or from_file or bool({"inputs", "eft"} & set(raw))
    points = _inputs(tables["inputs"], net, folder) if measures else None
    if from_file:
        assert points is not None
        ensemble = ensemble_of_file(tables["ensemble"], widths, points, folder)
    else:
        ensemble = _ensemble(tables["ensemble"], net, points)
    if ensemble.kernel_draws is not None:
        measured = partial(measured_kernel, net, ensemble.kernel_draws)
        key = kernel_key(ensemble.seed)
        net = at(tables["ensemble"].path("kernel_draws"), partial(measured, key=key))
    eft = None
    if "eft" in raw:
        assert points is not None
        eft = _eft(tables["eft"], net, widths, points, ensemble, folder)
    data: DataTable | None = None
    if "data" in raw:
        width = None if eft is None else eft.width
        data = read_data(
            tables["data"],
            net,
            widths,
            width,
            ensemble.num_draws,
            ensemble.seed,
            folder,
        )
    training: TrainingTable | None = None
    if "training" in raw:
        training = read_training(
            tables["training"],
            net,
            widths,
            ensemble.num_draws,
            ensemble.seed,
            folder,
        )
    studied = (eft and eft.width) or (data and data.width) or widths[-1]
    given = tables["output"].take("directory", kinds.TEXT, f"runs/{name}")
    if directory is None:
        check_place(tables["output"].path("directory"), given)
    return Study(
        name=name,
        text=text,
        network=net.with_width(studied),
        widths=widths,
        points=points,
        ensemble=ensemble,
        eft=eft,
        data=data,
        training=training,
        directory=Path(given if directory is None else directory),
    )


def _network(table: Table) -> tuple[Network, tuple[int, ...]]:
    """The network at its smallest width, and all the widths."""
    name = table.take("architecture", kinds.TEXT)
    width = table.take("width", kinds.WHOLE, None)
    widths = table.take("widths", kinds.Many(kinds.WHOLE), None)
    if (width is None) == (widths is None):
        raise SpecError(
            "[network] needs either `network.width`, one number, or "
            "`network.widths`, a list of them"
        )
    chosen = tuple(sorted([width] if widths is None else widths))
    input_dim = table.take("input_dim", kinds.ANYTHING, 1)
    weight_std = table.take("weight_std", kinds.NUMBER, 1.0)
    bias_std = table.take("bias_std", kinds.NUMBER, 0.0)
    options = table.take("options", kinds.ANYTHING, {})
    Table(table.path("options"), options, options)
    check_option_names(table.path("options"), options)
    net = at(
        "network",
        lambda: network(
            name,
            width=chosen[0],
            input_dim=input_dim,
            weight_std=weight_std,
            bias_std=bias_std,
            **options,
        ),
    )
    return net, chosen


def _inputs(table: Table, net: Network, folder: Path) -> Points:
    """Inputs from `points`, from `file`, or the architecture's suggestion."""
    values: Any
    where, values = read_inputs(table, folder) or (table.path("points"), None)
    if values is None:
        dim = net.hyperparameters.input_dim
        values = net.architecture.suggested_inputs.get(dim)
        if values is None:
            raise SpecError(
                f"`{table.path('points')}` is missing, and {net.name!r} suggests no "
                f"inputs of dimension {dim}; give points, or a file (.npy or .csv)"
            )
    return at(where, lambda: net.check_inputs(values, distinct=True))


def _ensemble(table: Table, net: Network, points: Points | None) -> EnsembleTable:
    """The [ensemble] table; the number of draws must serve the full covariance."""
    if "chains" in table:
        raise SpecError(
            f"`{table.path('chains')}` is of draws of `{table.path('file')}`, which is "
            "not given; leave it out"
        )
    estimator = table.choice("estimator", ("auto", *ESTIMATORS))
    num_draws = table.take("num_draws", kinds.WHOLE)
    target_error = table.take("target_error", kinds.POSITIVE, None)
    plain = table.take("plain_draws", kinds.COUNT, 0)
    kernel_draws = table.take("kernel_draws", kinds.WHOLE, None)
    seed = table.take("seed", kinds.SEED, 0)
    orders = orders_of_networks(table, net, points)
    if points is not None:
        _check_draws(table.path("num_draws"), num_draws, points, orders)
    if plain and points is not None:
        _check_draws(table.path("plain_draws"), plain, points, orders)
    route = at(
        table.path("estimator"), lambda: choose_estimator(net, estimator, orders)
    )
    if plain and route == PLAIN:
        raise SpecError(
            f"`{table.path('plain_draws')}` is {plain}, but the estimator is 'moments' "
            "already; expected 0, or another estimator"
        )
    return EnsembleTable(
        num_draws, target_error, seed, orders, route.name, plain, kernel_draws
    )


def _check_draws(
    path: str, num_draws: int, points: Points, orders: tuple[int, ...]
) -> None:
    entries = sum(num_entries(len(points), k) for k in orders)
    if not entries < num_draws <= MAX_DRAWS:
        raise SpecError(
            f"`{path}` is {num_draws}; expected more than {entries}, the number of "
            f"correlator entries of {len(points)} inputs, and at most {MAX_DRAWS}"
        )


def _eft(
    table: Table,
    net: Network,
    widths: tuple[int, ...],
    points: Points,
    ensemble: EnsembleTable,
    folder: Path,
) -> EftTable:
    """The [eft] table; inputs, cutoffs and operators checked against each other."""
    if ensemble.file is not None:
        check_fit_of_file(table)
    elif not net.has_kernel:
        raise UnavailableError(
            f"`network.architecture`: {net.unknown_kernel}, which the effective theory "
            "needs for its propagator; have one measured with `ensemble.kernel_draws`, "
            "a number of networks, or leave out [eft] to study the approach to the "
            "Gaussian process alone"
        )
    only_width = widths[:1] if len(widths) == 1 else ()
    width = table.take("width", kinds.WHOLE, *only_width)
    operators = table.take("operators", kinds.Many(kinds.TEXT))
    cutoffs = table.take("cutoffs", kinds.Many(kinds.CUTOFF))
    candidates = table.take("candidates", kinds.Many(kinds.Many(kinds.TEXT)), ())
    comparison = table.take("comparison_cutoff", kinds.CUTOFF, None)
    tolerance = table.take("tolerance", kinds.POSITIVE, TOLERANCE)
    own_points = any(key in table for key in INPUTS_KEYS)
    fit_points = _inputs(table, net, folder) if own_points else points
    num_draws = table.take("num_draws", kinds.WHOLE, ensemble.num_draws)
    data = table.choice("data", ("measured", "exact"))
    sampler = table.choice("sampler", SAMPLERS)
    num_warmup = table.take("num_warmup", kinds.WHOLE, 500)
    num_samples = table.take("num_samples", kinds.WHOLE, 1000)
    num_chains = table.take("num_chains", kinds.WHOLE, 4)
    _check_draws(table.path("num_draws"), num_draws, fit_points, ensemble.orders)
    cutoffs = tuple(sorted(cutoffs))
    if comparison is None:
        comparison = cutoffs[len(cutoffs) // 2]
    if comparison not in cutoffs:
        raise SpecError(
            f"`{table.path('comparison_cutoff')}` is {comparison}; expected one of "
            f"`{table.path('cutoffs')}`, {list(cutoffs)}"
        )
    make = partial(
        Action,
        measure=_measure(table, folder, fit_points),
        scheme=table.choice("scheme", SCHEMES),
    )
    actions = tuple(
        at(f"{table.path('candidates')}[{i}]", partial(make, names))
        for i, names in enumerate(candidates)
    )
    if len(actions) == 1 or len({action.orders for action in actions}) > 1:
        raise SpecError(
            f"`{table.path('candidates')}` is {[list(a.names) for a in actions]}; "
            "expected at least two actions whose operators have the same numbers of "
            "fields, so that they predict the same data"
        )
    if data == "exact" and net.neuron() is None:
        raise UnavailableError(
            f"`{table.path('data')}` is 'exact', but architecture {net.name!r} gives "
            "no i.i.d. neuron; expected 'measured'"
        )
    action = at(table.path("operators"), lambda: make(operators))
    check_measure_of_file(table, net, action.measure, points)
    drawn = net if ensemble.file is None else None
    how = data if data == "exact" else ensemble.estimator
    check_actions(table, action, actions, drawn, ensemble.orders, how)
    return EftTable(
        width=width,
        points=fit_points,
        action=action,
        cutoffs=cutoffs,
        candidates=actions,
        comparison_cutoff=comparison,
        tolerance=tolerance,
        num_draws=num_draws,
        data=data,
        sampler=sampler,
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=num_chains,
    )


def _measure(table: Table, folder: Path, inputs: Points) -> Measure:
    """What the integration points of the action run over: of data those of the fit."""
    name = table.choice("measure", MEASURES)
    file = table.take("measure_file", kinds.TEXT, None)
    where = table.path("measure_file")
    points = inputs if name == Empirical.name else None
    if file is not None:
        points = read_points(folder / file, where)
    return at(where, lambda: measure_named(name, points))
