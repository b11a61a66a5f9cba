"""What is measured of a trained ensemble: connected parts, distance from its limit.

In: a `TrainedEnsemble`. Out: a row for every quantity and time, squared sizes with
errors.
"""

import jax
import numpy as np

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._typing import Key, Matrix, Packed
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.noise_free_square import noise_free_square
from nnft_ppl.correlators.sampled.measure import measure_correlators
from nnft_ppl.correlators.symmetric import entry_size
from nnft_ppl.correlators.wick import moment_from_connected, pack_kernel
from nnft_ppl.training.result import TrainedEnsemble

CONNECTED = {"three_point": 3, "four_point": 4}
"""Connected functions over Gaussian ones, and their orders."""
FROM_LIMIT = {"mean": 1, "covariance": 2}
"""Distances from infinite width, `TrainedEnsemble.limit`."""
QUANTITIES = (*CONNECTED, *FROM_LIMIT)
COLUMNS = ("quantity", "time", "width", "square", "square_error", "is_heavy_tailed")

_CERTAIN = 1e-9
"""Variance at infinite width over that before training, below which there is none."""

type Row = tuple[str, float, int, float, float, bool]


def measured_sizes(trained: TrainedEnsemble, key: Key) -> list[Row]:
    """A row of `COLUMNS` for every quantity and time.

    Before training, at time 0, networks of the prior are measured, as many of them, by
    the estimator that `measure_correlators` takes for them: where the last layer is
    linear its noise is far below that of draws.

    Connected functions are root mean squares over entries. Every point is in units of
    its own standard deviation, at that time, as in `mean_deviation` for odd orders; the
    4-pt function is relative to the Gaussian one of the measured covariance. A ratio of
    norms, where `mean_deviation` has the norm of ratios: after training covariances of
    some inputs vanish, and Gaussian moments with them.

    Distances from the limit: of means in units of the root mean square of its standard
    deviations; of covariances, |C − C∞|/|C∞| over the distinct entries. NaN where it is
    not known.

    Raises:
        SpecError: The field is certain at a new input.
    """
    _check_uncertain(trained)
    rows: list[Row] = []
    for index, time in enumerate(trained.times):
        found = trained[time] if time else _before(trained, key)
        for name, order in CONNECTED.items():
            rows.append(
                _row(trained, name, time, _connected(found, order), found, order)
            )
        limit = trained.limit
        for name, order in FROM_LIMIT.items():
            size = (np.nan, np.nan)
            if limit is not None:
                size = _from_limit(
                    found, order, limit.mean[index].ravel(), limit.covariance[index]
                )
            rows.append(_row(trained, name, time, size, found, order))
    return rows


def _check_uncertain(trained: TrainedEnsemble) -> None:
    """Refuse a new input at which training leaves no fluctuations to be looked at."""
    if trained.limit is None:
        return
    before = np.diagonal(trained.network.kernel(trained.x_new))
    after = np.diagonal(trained.limit.covariance, axis1=1, axis2=2)
    certain = np.argwhere(after <= _CERTAIN * before)
    if len(certain):
        time, point = certain[0]
        raise SpecError(
            f"the field of {trained.network.name!r} is certain at `x_new`[{point}] "
            f"after training to {trained.times[time]:g}, as at an input of the data: "
            "leave that input out, or train less long"
        )


def _before(trained: TrainedEnsemble, key: Key) -> Correlators:
    """Of the prior; orders that vanish by symmetry are zero, without an error."""
    try:
        return measure_correlators(
            trained.network,
            trained.x_new,
            trained.orders,
            num_draws=trained.num_draws,
            key=jax.random.fold_in(key, trained.network.width),
        )
    except UnavailableError:  # of networks without a variance, for one
        return trained[trained.times[0]]


def _row(
    trained: TrainedEnsemble,
    name: str,
    time: float,
    size: tuple[float, float],
    found: Correlators,
    order: int,
) -> Row:
    # One entry of many, as a fourth power at one input, carries little of the norm.
    heavy = bool(found.heavy_tailed(order).mean() > 0.5)
    return (name, float(time), trained.network.width, *size, heavy)


def _connected(found: Correlators, order: int) -> tuple[float, float]:
    """Of a connected function over the Gaussian one, squared."""
    first, second = found.entries(2).T
    variance = found.connected(2)[first == second]
    unit = entry_size(variance, order)
    gaussian = np.ones(len(unit))
    if order % 2 == 0:
        parts = {k: values * (k == 2) for k, values in found.connected_values.items()}
        gaussian = moment_from_connected(parts, found.num_legs, order)[0] / unit
    return _relative(
        found.connected(order) / unit,
        found.covariance(order) / np.outer(unit, unit),
        float(np.linalg.norm(gaussian)),
    )


def _from_limit(
    found: Correlators, order: int, mean: np.ndarray, covariance: np.ndarray
) -> tuple[float, float]:
    """Squared distance of mean or covariance from the limit."""
    if order == 1:
        limit, reference = mean, float(np.trace(covariance)) ** 0.5
    else:
        limit = pack_kernel(covariance)
        reference = float(np.linalg.norm(limit))
    return _relative(found.connected(order) - limit, found.covariance(order), reference)


def _relative(
    values: Packed, covariance: Matrix, reference: float
) -> tuple[float, float]:
    """Square and its error, relative to the square of `reference`."""
    square, error = noise_free_square(values, covariance)
    return square / reference**2, error / reference**2
