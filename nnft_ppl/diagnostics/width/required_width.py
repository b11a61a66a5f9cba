"""How wide is wide enough: the width at which a network is its GP, to a tolerance.

In: a network and the user's inputs. Out: `RequiredWidth`. Exact cumulants where the
neurons are independent, the expansion in 1/width where the hidden layers are known,
else networks sampled at a few widths and extrapolated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd
from jaxtyping import ArrayLike

from nnft_ppl._arguments import check_number, check_whole
from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._html import card, table
from nnft_ppl._network import Network
from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Key, Matrix, Packed, Points
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.deep.recursion import recursion_correlators, recursion_error
from nnft_ppl.correlators.neuron.exact import exact_correlators
from nnft_ppl.correlators.orders import odd_orders_vanish
from nnft_ppl.correlators.readout_weights import weight_moments
from nnft_ppl.correlators.sampled.measure import measure_correlators
from nnft_ppl.correlators.wick import pack_kernel
from nnft_ppl.diagnostics.width.gp_distance import GPDistance
from nnft_ppl.diagnostics.width.law import WidthLaw
from nnft_ppl.ensemble.model import check_key, check_num_draws
from nnft_ppl.ensemble.progress import Monitor, Pace, watching

_MAX_GROUP = 8
_SURE = 2.0
"""Standard errors of an average that count as a bound on it."""
MEASURES = ("relative 4-pt function", "total variation distance")

_KNOWN = 0.01
"""Error of a kernel, relative to √(K(x,x) K(y,y)), up to which it serves as limit."""
_WIDE = 10_000
"""Where leading orders in 1/width are read off: rounding of layer widths is small."""

_MODE_TOLERANCE = 1e-4
"""Eigenmodes of the kernel below this share of the largest, 1 % in the size of the
field, do not count: a distance without such a floor is that of the smallest mode."""


@dataclass(frozen=True, eq=False)
class RequiredWidth:
    """The smallest width at which a network is within a tolerance of its GP.

    Attributes:
        network: The network; its own width plays no part.
        tolerance: The largest distance allowed, dimensionless.
        method: `exact`, `recursion` (first order in 1/width) or `sampled`.
        table: One row per measure: width, low, high (a 90 % interval where sampled,
            else bounds) and the worst group of inputs. They are those of the groups
            judged: other groups of a large data set, by another key, scatter more.
        groups: (group, point) numbers of the inputs that were judged together.
    """

    network: Network
    tolerance: float
    method: str
    table: pd.DataFrame
    groups: list[list[int]]

    def _repr_html_(self) -> str:
        """The answer and the table for notebooks."""
        return card("RequiredWidth", [("", table(self.table))], self.message)

    @property
    def width(self) -> int:
        """Wide enough by both measures."""
        return int(self.table["width"].max())

    @property
    def interval(self) -> tuple[int, int]:
        """Low and high of `width`."""
        return int(self.table["low"].max()), int(self.table["high"].max())

    @property
    def message(self) -> str:
        """The answer in a sentence."""
        low, high = self.interval
        sizes = {len(group) for group in self.groups}
        where = (
            f"on these {max(sizes)} inputs"
            if len(self.groups) == 1
            else f"on the worst of {len(self.groups)} groups of {max(sizes)} inputs"
        )
        return (
            f"{self.network.name!r} is within {self.tolerance:g} of its Gaussian "
            f"process {where} from width {self.width} on ({low} to {high}, "
            f"{self.method})"
        )


def required_width(
    network: Network,
    x: ArrayLike,
    tolerance: float,
    *,
    key: Key | None = None,
    group_size: int = 4,
    num_groups: int = 20,
    widths: Sequence[int] = (32, 64, 128),
    num_draws: int = 20_000,
    progress: bool | Monitor = False,
) -> RequiredWidth:
    """The smallest width at which the ensemble is within `tolerance` of its GP.

    Two measures of `GPDistance` at once: the relative connected 4-pt function, and the
    total variation distance of the outputs by the first terms of the Edgeworth series.
    The distance of a set of inputs grows with their number without limit, so that a
    data set is judged by groups of a few inputs, drawn at random, and the worst counts.

    Args:
        network: Its width plays no part.
        x: Inputs (point, input_dim); repeated ones count once.
        tolerance: Between 0 and 1, such as 0.01.
        key: Draws the groups, and networks where they must be sampled.
        group_size: Inputs judged together; all of them when there are no more.
        num_groups: Groups drawn.
        widths: Widths sampled where nothing is known exactly, at least three.
        num_draws: Networks sampled at each width and group.
        progress: Show a bar, or in a log a line now and then, or a function
            that is told.

    Raises:
        SpecError: An argument is unusable.
        UnavailableError: The ensemble does not become Gaussian, its odd orders may not
            vanish, or its 4-pt function is infinite or not determined by so many
            networks.

    Source: theory.md §2, §6.
    """
    if network.hyperparameters.output_dim != 1:
        raise SpecError(
            f"`output_dim` is {network.hyperparameters.output_dim}; outputs are alike, "
            "so the width is judged by one: build the network with output_dim=1"
        )
    points = np.unique(network.check_inputs(x), axis=0)
    key = seed_key(0) if key is None else check_key(key)
    _check_arguments(tolerance, group_size, num_groups, widths)
    num_draws = check_num_draws(num_draws, 1000)
    if network.no_gp_limit is not None:
        raise UnavailableError(f"no width is enough: {network.no_gp_limit}")
    if not odd_orders_vanish(network):
        raise UnavailableError(
            f"f and −f of {network.name!r} may not be alike, and the distance here is "
            "that of even orders; see how connected functions of all orders fall with "
            "the width by nnft_ppl.falloff"
        )
    try:
        weight_moments(network, 4)
    except UnavailableError as error:
        raise UnavailableError(
            f"no width is enough: the output weights of {network!r} have no 4th "
            "moment, so that the 4-pt function is infinite at every width"
        ) from error
    groups = _groups(len(points), group_size, num_groups, key)
    method = _method(network, points[groups[0]])
    laws: dict[str, list[WidthLaw]] = {measure: [] for measure in MEASURES}
    pace = Pace(0, "groups")
    with watching(progress, "inputs") as monitor:
        for done, group in enumerate(groups, 1):
            if method == "sampled":
                found = _sampled(network, points[group], widths, num_draws, key)
            else:
                found = _known(network, points[group], method)
            for measure, law in zip(MEASURES, found, strict=True):
                laws[measure].append(law)
            if monitor is not None:
                monitor(pace.at(done, len(groups)))
    rows = []
    for measure, of_groups in laws.items():
        solved = [law.solve(tolerance) for law in of_groups]
        width, low, high = np.max(solved, axis=0)
        worst = int(np.argmax([s[0] for s in solved]))
        rows.append([measure, *(_whole(w) for w in (width, low, high)), worst])
    table = pd.DataFrame(rows, columns=["measure", "width", "low", "high", "group"])
    return RequiredWidth(
        network, float(tolerance), method, table.set_index("measure"), groups
    )


def _whole(width: float) -> int:
    """Rounded up, but for the last digits of a quadrature."""
    return max(1, ceil(width * (1 - 1e-9)))


def _check_arguments(
    tolerance: float, group_size: int, num_groups: int, widths: Sequence[int]
) -> None:
    """Refuse numbers that make no sense, before any work."""
    check_number(
        "tolerance", tolerance, lambda t: 0 < t < 1, "a number between 0 and 1"
    )
    check_whole("group_size", group_size)
    check_whole("num_groups", num_groups)
    if group_size > _MAX_GROUP:
        raise SpecError(
            f"`group_size` is {group_size}; expected at most {_MAX_GROUP}, because the "
            "4-pt function grows with its fourth power"
        )
    if len(set(widths)) < 3:
        raise SpecError(
            f"`widths` is {tuple(widths)}; expected at least three different ones"
        )


def _groups(
    num_points: int, group_size: int, num_groups: int, key: Key
) -> list[list[int]]:
    """All inputs, or random groups of them."""
    if num_points <= group_size:
        return [list(range(num_points))]
    generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    return [
        sorted(generator.choice(num_points, group_size, replace=False).tolist())
        for _ in range(num_groups)
    ]


def _method(network: Network, points: Points) -> str:
    """The best that is known of the network at such inputs."""
    if network.neuron() is not None:
        return "exact"
    if network.hidden_layers() is None or not network.has_kernel:
        return "sampled"
    try:
        recursion_correlators(network, points, (2,))
    except UnavailableError:  # its activation is beyond the quadrature
        return "sampled"
    return "recursion"


def _known(network: Network, points: Points, method: str) -> list[WidthLaw]:
    """The laws of both measures from exact cumulants or the expansion in 1/width."""
    if method == "exact":
        correlators = exact_correlators(network.with_width(_WIDE), points, (2, 4))
    else:
        correlators = recursion_correlators(network.with_width(_WIDE), points)
    # Of independent neurons the 2-pt function is the kernel at every width.
    limit = None if method == "exact" else _kernel(network, points)
    kernel = _two_point(correlators) if limit is None else limit.values
    measures = GPDistance.at(kernel, _MODE_TOLERANCE)
    arguments = _deviation(correlators, limit)
    errors, remainder = dict(correlators.numerical_error), 0.0
    if limit is not None:
        errors[2] = errors[2] + limit.error
    if method == "recursion":  # what falls as 1/width² is bounded as a law of its own
        left_out = recursion_error(correlators)
        errors = {k: errors[k] - left_out[k] for k in (2, 4)}
        remainder = _remainder(correlators, left_out[4])
    laws = []
    for measure in (measures.relative_four_point, measures.total_variation):
        distance = measure(*arguments)
        bound = np.concatenate([errors[k] for k in (2, 4)])
        error = float(np.abs(distance.weight) @ bound) + _SURE * distance.error
        laws.append(WidthLaw.leading(distance.value, error, _WIDE, remainder))
    return laws


def _remainder(correlators: Correlators, left_out: Packed) -> float:
    """The next order in 1/width relative to the first, times the width."""
    same = np.ptp(correlators.entries(4), axis=1) == 0
    return _WIDE * float(
        np.max(left_out[same] / np.abs(correlators.connected(4)[same]))
    )


def _sampled(
    network: Network, points: Points, widths: Sequence[int], num_draws: int, key: Key
) -> list[WidthLaw]:
    """The laws of both measures from networks sampled at several widths."""
    measured = [
        measure_correlators(
            network.with_width(width),
            points,
            (2, 4),
            num_draws=num_draws,
            key=jax.random.fold_in(key, number),
        )
        for number, width in enumerate(sorted(widths))
    ]
    for correlators in measured:
        if correlators.heavy_tailed(4).any():
            raise UnavailableError(
                f"at width {correlators.network.width} a few networks dominate the "
                "4-pt function, so that its error cannot be trusted; give more "
                "`num_draws` or larger `widths`"
            )
    limit = _kernel(network, points)
    kernel = _two_point(measured[-1]) if limit is None else limit.values
    measures = GPDistance.at(kernel, _MODE_TOLERANCE)
    doubt = np.zeros_like(measured[-1].connected(2)) if limit is None else limit.error
    laws = []
    for measure in (measures.relative_four_point, measures.total_variation):
        values, errors = [], []
        for correlators in measured:
            distance = measure(*_deviation(correlators, limit))
            variance = distance.weight @ correlators.joint_covariance @ distance.weight
            variance += (np.abs(distance.weight[: len(doubt)]) @ doubt) ** 2
            values.append(distance.value)
            errors.append(np.sqrt(max(variance, 1e-300) + distance.error**2))
        ascending = np.array(sorted(widths), dtype=np.float64)
        laws.append(WidthLaw.sampled(ascending, np.array(values), np.array(errors)))
    return laws


class _Limit(NamedTuple):
    """The kernel of the limit of infinite width and its error.

    Args:
        values: (point, point).
        error: (entry,) of the packed kernel.
    """

    values: Matrix
    error: Packed


def _kernel(network: Network, points: Points) -> _Limit | None:
    """The kernel, where it is known well enough to be compared with."""
    if not network.has_kernel:
        return None
    values, error = network.kernel(points), network.kernel_error(points)
    size = np.sqrt(np.diag(values))
    if not (error <= _KNOWN * np.outer(size, size)).all():
        return None
    return _Limit(values, pack_kernel(error))


def _two_point(correlators: Correlators) -> Matrix:
    """The 2-pt function at its own width, (point, point)."""
    kernel = np.zeros((len(correlators.x),) * 2)
    rows, columns = correlators.entries(2).T
    kernel[rows, columns] = kernel[columns, rows] = correlators.connected(2)
    return kernel


def _deviation(
    correlators: Correlators, limit: _Limit | None
) -> tuple[np.ndarray, np.ndarray]:
    """Excess of the 2-pt function, connected 4-pt function.

    An excess within the error of the kernel is none. Where the kernel is not known the
    2-pt function stands for it, at every width: what remains is not a distance.
    """
    two = correlators.connected(2)
    if limit is None:
        return np.zeros_like(two), correlators.connected(4)
    excess = two - pack_kernel(limit.values)
    beyond = np.abs(excess) > limit.error
    return np.where(beyond, excess, 0.0), correlators.connected(4)
