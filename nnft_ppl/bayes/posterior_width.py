"""How wide is wide enough for a posterior: the width at which it is the GP's.

In: a network, data, noise. Out: `PosteriorWidth`. Exact posteriors at a few widths,
which the law 1/N chooses, each of as many networks as it takes to tell.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import ArrayLike, Float
from scipy.stats import t as student

from nnft_ppl._arguments import check_kind, check_number, check_whole
from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._numbers import with_error
from nnft_ppl._typing import Key
from nnft_ppl.bayes.data import Data, check_memory, checked_data
from nnft_ppl.bayes.features import check_gaussian_readout, num_features
from nnft_ppl.bayes.first_order import gaussian_process
from nnft_ppl.bayes.predictive_distance import (
    NUM_BATCHES,
    Distances,
    PredictiveSums,
)
from nnft_ppl.bayes.scales import Scales
from nnft_ppl.bayes.stream import Goal, open_runner, stream
from nnft_ppl.bayes.weighting import Job
from nnft_ppl.bayes.weights import smoothed
from nnft_ppl.bayes.width_search import Trial, next_width, settled
from nnft_ppl.ensemble.generator_names import DEFAULT_GENERATOR
from nnft_ppl.ensemble.local import choose_devices
from nnft_ppl.ensemble.model import check_key, check_num_draws, check_prior
from nnft_ppl.ensemble.outputs import check_outputs
from nnft_ppl.ensemble.progress import Monitor, watching

MEAN, VARIATION = "distance of means", "total variation distance"
_COLUMNS = (
    *("mean", "mean_error", "mean_at"),
    *("variation", "variation_error", "variation_at"),
)
_UNDECIDED = {"enough": "undecided"}
_LEAST = 16 * NUM_BATCHES
"""Networks before anything is judged: 16 in a batch."""
_WRONG = 0.01
"""Probability that a width is judged wrongly, shared by all inputs and measures."""
_KNOWN = 1e-3
"""Error of a kernel, relative to √(K(x,x) K(y,y)) and to the smaller tolerance, up to
which it serves as limit."""


@dataclass(frozen=True, eq=False)
class PosteriorWidth:
    """The smallest width at which the posterior is that of the Gaussian process.

    Attributes:
        network: The prior; its own width plays no part.
        tolerance: Largest distance of means, in standard deviations of the Gaussian
            process's predictive law of f.
        total_variation: Largest total variation distance of these laws.
        table: One row per width tried, ascending. Columns: `mean`, the largest
            distance of means, with one standard error and the number of the new input;
            `variation`, the same of the total variation distance, its error with what
            the noise of networks may add to it; num_draws; `enough`: `yes`, `no`, or
            `undecided`. NaN where weights fail.
        num_data: Targets.
        num_new: New inputs.
    """

    network: Network
    tolerance: float
    total_variation: float
    table: pd.DataFrame
    num_data: int
    num_new: int

    @property
    def width(self) -> int:
        """The smallest width found to be enough."""
        return self.interval[1]

    @property
    def interval(self) -> tuple[int, int]:
        """The smallest width that may be enough, and the smallest found to be.

        They are equal where the one below was found not to be.
        """
        found = settled(dict(self.table["enough"]))
        assert found[1] is not None
        return found[0] + 1, found[1]

    @property
    def is_decided(self) -> bool:
        """Whether `width` is enough, and the one below it is not."""
        low, high = self.interval
        return low == high

    @property
    def binds(self) -> str | None:
        """Which measure is the last to come within its tolerance; `None` at width 1."""
        low, _ = self.interval
        if low == 1:
            return None
        row = self.table.loc[low - 1]
        mean = row["mean"] / self.tolerance
        return MEAN if mean > row["variation"] / self.total_variation else VARIATION

    @property
    def message(self) -> str:
        """The answer in a sentence."""
        low, high = self.interval
        said = (
            f"{self.network.name!r} given these {self.num_data} data is within "
            f"{self.tolerance:g} standard deviations (means) and "
            f"{self.total_variation:g} (total variation) of its Gaussian process at "
            f"{self.num_new} new inputs from width {high} on"
        )
        if low > 1:
            name = "mean" if self.binds == MEAN else "variation"
            value, error, at = (
                self.table[column].to_dict()[low - 1]
                for column in (name, f"{name}_error", f"{name}_at")
            )
            said += (
                f"; at {low - 1} it is not, with a {self.binds} of "
                f"{with_error(value, error)} at input {at:.0f}"
            )
        if low == high:
            return said
        return (
            f"{said}; undecided from {low} to {high - 1}, for want of networks: draw "
            "more"
        )

    def __repr__(self) -> str:
        """The table and what it says."""
        return f"{self.table.to_string()}\n{self.message}"


def posterior_width(
    network: Network,
    x: ArrayLike,
    y: ArrayLike,
    x_new: ArrayLike | None = None,
    *,
    noise_std: float,
    tolerance: float = 0.1,
    total_variation: float = 0.05,
    num_draws: int = 200_000,
    max_width: int = 10_000,
    key: Key,
    devices: Sequence[jax.Device] | int | None = None,
    progress: bool | Monitor = False,
) -> PosteriorWidth:
    """The smallest width at which the posterior is the Gaussian process's, on data.

    At every new input and for every output, of f without noise: the mean is within
    `tolerance` standard deviations of that of the Gaussian process, and the total
    variation distance of the two laws is within `total_variation`; that of noisy
    targets is then, too, as noise added to both brings laws together.

    A width is judged by the exact posterior there, by as many networks as it takes,
    `num_draws` at most; where these do not tell, or their weights fail, it is
    undecided, and the answer is the smallest width that was found to be enough. That
    one, the largest found not to be, and twice the answer have all been tried; for
    widths in between and beyond it rests on distances falling as 1/N.

    Args:
        network: With a linear readout of normal weights and a kernel; its own width
            plays no part.
        x: Inputs (point, input_dim).
        y: Targets (point,), or (point, output).
        x_new: New inputs (new, input_dim); those of the data when `None`.
        noise_std: σ of the targets, > 0.
        tolerance: > 0, in standard deviations.
        total_variation: Between 0 and 1.
        num_draws: Networks of a width, at most; 1000 or more.
        max_width: Where the search ends.
        key: A JAX random key; network j is a function of (key, j) and the width.
        devices: As in `posterior`.
        progress: Show a bar for each width, or in a log a line now and then, or
            a function that is told.

    Raises:
        SpecError: Data, a number, key or devices are unusable.
        UnavailableError: The network has no Gaussian readout, or its limit of infinite
            width is not known; or no width up to `max_width` is found to be enough.

    Source: theory.md §6, exact inference at finite width.
    """
    check_kind("network", network, Network)
    check_gaussian_readout(network)
    if x_new is None:
        inputs = network.check_inputs(x)
        x_new = inputs[np.sort(np.unique(inputs, axis=0, return_index=True)[1])]
    data = checked_data(network, x, y, x_new)
    noise = check_number(
        "noise_std", noise_std, lambda s: 0 < s < float("inf"), "a finite number > 0"
    )
    tolerance = check_number("tolerance", tolerance, lambda t: t > 0, "a number > 0")
    total_variation = check_number(
        "total_variation",
        total_variation,
        lambda t: 0 < t < 1,
        "a number between 0 and 1",
    )
    check_whole("max_width", max_width)
    job = Job(
        network,
        data,
        Scales.checked(noise),
        check_num_draws(num_draws, 1000),
        check_key(key),
        DEFAULT_GENERATOR,
        choose_devices(devices),
    )
    check_prior(network)
    check_outputs(network)
    limits = tolerance, total_variation
    mean, variance = _limit(network, data, noise, min(limits))
    empty = PredictiveSums.zero(mean, variance)
    trials: dict[int, Trial] = {}
    rows: dict[int, dict[str, object]] = {}
    while (width := next_width(trials, max_width)) is not None:
        at_width = replace(job, network=network.with_width(width))
        check_memory(data, num_features(at_width.network))
        rows[width] = _tried(at_width, empty, limits, progress)
        trials[width] = _trial(rows[width], limits, mean.size)
    table = pd.DataFrame.from_dict(rows, orient="index").sort_index()
    table.index.name = "width"
    if settled(dict(table["enough"]))[1] is None:
        raise UnavailableError(_none_enough(table, limits))
    return PosteriorWidth(network, *limits, table, len(data.x), len(data.x_new))


def _limit(
    network: Network, data: Data, noise: float, tolerance: float
) -> tuple[Float[np.ndarray, "new output"], Float[np.ndarray, "new output"]]:
    """Mean and variance of f at the new inputs, by the Gaussian process.

    Raises:
        UnavailableError: It is not known.
        SpecError: The field is certain at a new input.
    """
    why = network.no_gp_limit or network.unknown_kernel
    if why is None and network.measured is not None:
        why = "a measured kernel is that of the network's own width"
    points = data.points.astype(np.float64)
    if why is None:
        kernel = network.kernel(points)
        size = np.sqrt(np.diagonal(kernel))
        error = network.kernel_error(points)
        if (error > _KNOWN * tolerance * np.outer(size, size)).any():
            why = f"the kernel is known to {error.max():.1g} only"
    if why is not None:
        raise UnavailableError(
            f"{network.name!r} has no limit of infinite width to be near: {why}; "
            "compare posteriors at a width and at twice that width instead, by "
            "nnft_ppl.posterior"
        )
    with jax.enable_x64(True):
        found = gaussian_process(
            jnp.asarray(kernel), data.rows, data.new_rows, jnp.asarray(data.y), noise
        )
        mean, variance = np.asarray(found.mean), found.variance
    certain = np.flatnonzero((variance <= 0).any(axis=1))
    if certain.size:
        raise SpecError(
            f"the field of {network.name!r} is certain at `x_new`[{certain[0]}]: leave "
            "that input out, or give a `bias_std`"
        )
    return mean, variance


def _tried(
    job: Job,
    empty: PredictiveSums,
    limits: tuple[float, float],
    progress: bool | Monitor,
) -> dict[str, object]:
    """A row of the table: of a width, by as many networks as it takes.

    Args:
        job: Of that width.
        empty: Sums over no network.
        limits: Tolerances of means and of laws.
        progress: Show a bar, or a function that is told.
    """

    def doubt(sums: PredictiveSums) -> float:
        if sums.number < _LEAST:
            return np.inf
        away = sums.distances()
        return np.inf if away is None else min(_doubts(away, limits))

    with (
        open_runner(job.devices, None) as run,
        watching(progress, f"width {job.network.width}") as monitor,
    ):
        found = stream(
            job,
            empty,
            run,
            goal=Goal(doubt, 1.0),
            # The doubt is no error that means anything to who is told.
            monitor=monitor and (lambda at: monitor(replace(at, relative_error=None))),
        )
    number, away = len(found.log_evidence), found.sums.distances()
    if away is None or not smoothed(found.log_evidence).are_reliable:
        return {**dict.fromkeys(_COLUMNS, np.nan), "num_draws": number, **_UNDECIDED}
    enough, not_enough = _doubts(away, limits)
    row: dict[str, object] = {}
    for name in ("mean", "variation"):
        values: np.ndarray = getattr(away, name)
        at = np.unravel_index(np.argmax(values), values.shape)
        row[name] = float(values[at])
        row[f"{name}_error"] = float(getattr(away, f"{name}_error")[at])
        row[f"{name}_at"] = int(at[0])
    row["num_draws"] = number
    if min(enough, not_enough) > 1:
        return {**row, **_UNDECIDED}
    return {**row, "enough": "yes" if enough <= 1 else "no"}


def _doubts(away: Distances, limits: tuple[float, float]) -> tuple[float, float]:
    """Errors over what is left to the tolerances, for `yes` and for `no`.

    At most 1 where that is sure: for `yes` of all inputs, for `no` of one of them.
    """
    sure = _sure(away.mean.size)
    enough, not_enough = 0.0, np.inf
    for limit, most, most_error, least, least_error in (
        (limits[0], away.mean, away.mean_error, away.mean, away.mean_error),
        (limits[1], away.most, away.most_error, away.least, away.least_error),
    ):
        left, over = limit - most, least - limit
        if (left <= 0).any():
            enough = np.inf
        enough = max(enough, float(np.max(sure * most_error / np.abs(left))))
        beyond = over > 0
        not_enough = min(
            not_enough,
            float(np.min(sure * least_error[beyond] / over[beyond], initial=np.inf)),
        )
    return enough, not_enough


def _sure(num_laws: int) -> float:
    """Standard errors that make a verdict, two measures of so many laws judged."""
    return float(student.isf(_WRONG / (4 * num_laws), NUM_BATCHES - 1))


def _trial(row: dict[str, object], limits: tuple[float, float], num_laws: int) -> Trial:
    """What the search needs of a row."""
    ratio, reach = max(
        (float(row[name]) / limit, float(row[f"{name}_error"]) / limit)  # type: ignore[arg-type]
        for name, limit in zip(("mean", "variation"), limits, strict=True)
    )
    return Trial(str(row["enough"]), ratio, _sure(num_laws) * reach)


def _none_enough(table: pd.DataFrame, limits: tuple[float, float]) -> str:
    """Why there is no answer."""
    row = table.iloc[-1]
    if np.isnan(row["mean"]):
        return (
            f"at width {table.index[-1]} the weights of {row['num_draws']:,.0f} "
            "networks fail, so that no width is found to be enough; draw more, or "
            "compare posteriors by method='smc' instead"
        )
    said = (
        f"no width up to {table.index[-1]} is found to be enough: there means are off "
        f"by {with_error(row['mean'], row['mean_error'])} standard deviations, and "
        f"the total variation distance is "
        f"{with_error(row['variation'], row['variation_error'])}"
    )
    if row["enough"] == "undecided":
        return f"{said}, which does not tell; draw more networks"
    ratio = max(row["mean"] / limits[0], row["variation"] / limits[1])
    return (
        f"{said}; by the law 1/N about {ratio * table.index[-1]:.3g} would be: give "
        "larger tolerances, or `max_width`"
    )
