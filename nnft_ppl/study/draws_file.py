"""A study of draws in a file: `ensemble.file` in the place of networks drawn here.

With [network] the draws are of such networks, whose kernel is the propagator; without,
they are of anything, and the measured 2-pt function serves.
"""

from pathlib import Path

import numpy as np

from nnft_ppl._drawn_network import drawn_network, is_drawn
from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Points
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.drawn.files import digest_of, open_draws
from nnft_ppl.correlators.drawn.from_draws import correlators_from_draws
from nnft_ppl.correlators.drawn.values import Values
from nnft_ppl.correlators.origin import DRAWS
from nnft_ppl.correlators.symmetric import num_entries
from nnft_ppl.eft.measures import Empirical, Measure
from nnft_ppl.study import _tables as kinds
from nnft_ppl.study._tables import Table
from nnft_ppl.study.inputs import KEYS as INPUTS_KEYS
from nnft_ppl.study.inputs import read_inputs
from nnft_ppl.study.orders import orders_of_draws
from nnft_ppl.study.spec import EnsembleTable

_OF_NETWORKS = (
    "num_draws",
    "target_error",
    "estimator",
    "plain_draws",
    "kernel_draws",
)
_OF_A_FIT = (*INPUTS_KEYS, "num_draws", "data")


def network_of_inputs(table: Table, folder: Path) -> Network:
    """In the place of a network, where a study names none: for the size of its inputs.

    Args:
        table: [inputs].
        folder: Where relative files are looked for.

    Raises:
        SpecError: There are no inputs.
    """
    found = read_inputs(table, folder)
    if found is None:
        raise SpecError(
            f"`{table.path('points')}` is missing; draws need the inputs they are at: "
            "give points, or a file (.npy or .csv)"
        )
    where, values = found
    try:
        shape = np.shape(values)
    except ValueError as error:  # of ragged lists
        raise SpecError(f"`{where}` are no array of inputs: {error}") from error
    dim = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    return drawn_network(width=1, input_dim=max(dim, 1), output_dim=1)


def ensemble_of_file(
    table: Table, widths: tuple[int, ...], points: Points, folder: Path
) -> EnsembleTable:
    """The [ensemble] table of draws in a file.

    Raises:
        SpecError: There are several widths, a key that samples networks, or draws that
            do not fit the inputs or are too few.
    """
    where = table.path("file")
    sampling = [key for key in _OF_NETWORKS if key in table]
    if sampling:
        raise SpecError(
            f"`{table.path(sampling[0])}` is of networks that are drawn, and `{where}` "
            "gives draws; leave one of them out"
        )
    if len(widths) > 1:
        raise SpecError(
            f"`network.widths` are {list(widths)}, and the draws of `{where}` are of "
            "one width; give `network.width`"
        )
    path = folder / table.take("file", kinds.TEXT)
    chains = table.take("chains", kinds.BOOLEAN, False)
    seed = table.take("seed", kinds.SEED, 0)
    orders = orders_of_draws(table, points)
    with open_draws(path, where) as values:
        try:
            drawn = Values.of(values, chains=chains, num_points=len(points))
        except SpecError as error:
            raise SpecError(f"`{where}`: {error}") from error
    entries = sum(num_entries(len(points), k) for k in orders)
    if drawn.num_outputs > 1 or drawn.num_draws <= entries:
        raise SpecError(
            f"`{where}` holds {drawn.num_draws} draws of {drawn.num_outputs} outputs; "
            f"expected more than {entries}, the number of correlator entries of "
            f"{len(points)} inputs, of one output"
        )
    return EnsembleTable(
        num_draws=drawn.num_draws,
        target_error=None,
        seed=seed,
        orders=orders,
        estimator=DRAWS,
        plain_draws=0,
        kernel_draws=None,
        file=path,
        chains=chains,
        digest=digest_of(path),
    )


def check_fit_of_file(table: Table) -> None:
    """Refuse keys of [eft] that are of networks drawn for the fit."""
    for key in _OF_A_FIT:
        if key in table:
            raise SpecError(
                f"`{table.path(key)}` is given, but with `ensemble.file` the draws at "
                "`inputs` are the data of the fit; leave it out"
            )


def check_measure_of_file(
    table: Table, network: Network, measure: Measure, points: Points
) -> None:
    """Refuse integrals over more than is known of draws without a kernel."""
    if not is_drawn(network):
        return
    inputs = {*map(tuple, points)}
    if isinstance(measure, Empirical) and {*map(tuple, measure.points)} <= inputs:
        return
    raise SpecError(
        f"`{table.path('measure')}` is {measure!r}; of draws without [network] the "
        "2-pt function is known at their inputs alone: expected 'empirical', over "
        "these inputs or some of them"
    )


def correlators_of_file(
    ensemble: EnsembleTable, network: Network, points: Points
) -> Correlators:
    """What the draws give, beside the network's kernel where there is one."""
    assert ensemble.file is not None  # the caller has seen to it
    known = network.has_kernel and not is_drawn(network)
    with open_draws(ensemble.file, "ensemble.file") as values:
        return correlators_from_draws(
            values,
            points,
            ensemble.orders,
            network if known else None,
            chains=bool(ensemble.chains),
            width=network.width,
        )
