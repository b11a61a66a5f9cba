"""Correlators of draws from anywhere: the public call.

In: values of a field at some inputs, many times over. Out: `Correlators`, which fits,
checks and reports take as they take those of networks.
"""

import warnings
from collections.abc import Callable

import numpy as np
from jaxtyping import ArrayLike
from scipy import stats

from nnft_ppl._arguments import check_kind, check_whole
from nnft_ppl._arrays import real_numbers
from nnft_ppl._drawn_network import (
    Kernel,
    check_known_kernel,
    drawn_network,
    known_kernel,
)
from nnft_ppl._errors import SpecError
from nnft_ppl._inputs import check_inputs
from nnft_ppl._typing import Matrix, Packed, Points
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.drawn.autocorrelation import Times, autocorrelation
from nnft_ppl.correlators.drawn.products import (
    block_size,
    entry_units,
    products,
    standard_blocks,
    sum_products,
)
from nnft_ppl.correlators.drawn.units import Units, find_units
from nnft_ppl.correlators.drawn.values import Values
from nnft_ppl.correlators.orders import check_orders
from nnft_ppl.correlators.origin import DRAWS
from nnft_ppl.correlators.sampled.connected import cumulants
from nnft_ppl.correlators.sampled.plan import batch_size
from nnft_ppl.correlators.sampled.sums import Mean
from nnft_ppl.correlators.symmetric import num_entries

_SURE = 1e-6
"""Chance at which a mean of zero, or independence, is given up."""
_FEW_BATCHES = 4
"""Batches for each quantity, at least, where chains are long enough."""
_TIMES_IN_BATCH = 16
"""Autocorrelation times in a batch, if so many batches are left."""
_ROUNDING = 1e-15
"""Of sums in float64, relative to the natural size of an entry and for each factor."""


class AutocorrelationWarning(UserWarning):
    """Draws that were said to be independent follow one another."""


def correlators_from_draws(
    values: ArrayLike,
    x: ArrayLike,
    orders: tuple[int, ...] = (1, 2, 3, 4),
    kernel: Kernel | None = None,
    *,
    chains: bool = False,
    width: int = 1,
) -> Correlators:
    """Correlators of a field of which draws are given, wherever they are from.

    The values are read twice, a block at a time, and four times in chains; their mean
    is taken off before any product, so that a mean large beside the fluctuations costs
    no digit. Of orders with odd ones among them, connected parts are cumulants with the
    mean among them; even orders alone say that f and −f are alike.

    Independent draws have the covariance that means of batches give. In chains every
    entry has the error of the Γ-method. The correlations between entries are those of
    means over batches, of 16 autocorrelation times where there are enough draws: a
    covariance D R D with R from batches and D from the Γ-method is positive
    semidefinite, has the right diagonal, and slow modes are correlated as they are,
    which correlations at equal times would miss.

    Args:
        values: (draw, point) or (draw, point, output), real and finite: an array, a
            memory map, a variable of netCDF, HDF5 or zarr, of xarray or Dask. Of an
            `xarray.DataArray` dimensions named chain, draw, point and output are known
            by their names.
        x: Inputs (point, input_dim), finite and distinct.
        orders: From 1 to 8; lower ones are added, even ones alone to even ones.
        kernel: K(x, y), the 2-pt function less the mean at infinite width, or whatever
            is to be the propagator: a function of two inputs, each (input_dim,),
            written in JAX; a network, whose kernel it is; or a table over the inputs,
            (point, point), which serves no measure that integrates elsewhere. With
            `None` the measured 2-pt function serves, as a table.
        chains: The first axis of `values` counts Markov chains, and draws of a chain
            follow one another, (chain, draw, point[, output]); one chain is
            `values[None]`.
        width: N of the networks that were drawn, by which priors of couplings fall; 1
            where there is none.

    Returns:
        `Correlators` with the full covariance of the estimates, `estimator` `draws`.

    Raises:
        SpecError: An argument is unusable: shapes, NaN, masked or complex entries, an
            input at which nothing varies, fewer draws than entries, chains shorter than
            20 autocorrelation times, or a mean that is not zero with even orders alone.

    Warns:
        AutocorrelationWarning: Neighbouring draws are correlated, without `chains`.

    Source: `correlators.drawn.autocorrelation` for chains; theory.md §1.
    """
    check_kind("chains", chains, bool, "True or False")
    width = check_whole("width", width)
    points = _points(x)
    drawn = Values.of(values, chains=chains, num_points=len(points))
    outputs = drawn.num_outputs
    orders = check_orders(orders, len(points), outputs)
    num_quantities = sum(num_entries(len(points) * outputs, k) for k in orders)
    if drawn.num_draws <= num_quantities:
        raise SpecError(
            f"there are {drawn.num_draws} draws, too few for the covariance of "
            f"{num_quantities} correlator entries; give at least {num_quantities + 1}, "
            "or fewer inputs or orders"
        )
    network = drawn_network(
        width=width,
        input_dim=points.shape[1],
        output_dim=outputs,
        kernel=None if kernel is None else known_kernel(kernel, points),
    )
    if kernel is not None:
        check_known_kernel(network, points)
    size = block_size(num_quantities)
    units = find_units(drawn, size, about_mean=1 in orders)
    unit = _entry_units(units, orders)
    if drawn.has_chains:
        times, of_mean = _times(drawn, units, orders, size)
        batch = _batch(drawn, float(times.time.max()), num_quantities, size)
    else:
        times, of_mean = None, units.std**2 / drawn.num_draws
        batch = batch_size(drawn.num_draws, num_quantities, size)
        _check_independence(drawn, units, size)
    if 1 not in orders:
        _check_mean(units, of_mean, outputs)
    number = drawn.num_chains * (drawn.length // batch)
    sums = sum_products(drawn, units, orders, batch)
    mean = sums.mean(drawn.num_draws, batch, number)
    connected, covariance = _connected(mean, len(units.scale), orders)
    batches = mean.effective_batches
    if times is not None:
        scale = np.sqrt(times.variance)
        own = np.sqrt(np.diag(covariance))
        scale = np.divide(scale, own, out=np.zeros_like(own), where=own > 0)
        covariance = covariance * np.outer(scale, scale)
        batches = np.minimum(batches, drawn.num_draws / (2 * times.time))
    connected = connected * unit
    if 1 in orders:
        connected[: len(units.shift)] += units.shift
    ratio = 1 + np.abs(units.shift / units.scale).max()
    rounding = {k: k * ratio * _ROUNDING for k in orders}
    split = _splitter(len(units.scale), orders)
    return Correlators(
        network=network,
        x=points,
        orders=orders,
        estimator=DRAWS,
        num_draws=drawn.num_draws,
        connected_values=split(connected),
        joint_covariance=covariance * np.outer(unit, unit),
        numerical_error={k: rounding[k] * part for k, part in split(unit).items()},
        effective_batches=split(batches),
        num_batches=number,
        autocorrelation={} if times is None else split(times.time),
    )


def _points(x: ArrayLike) -> Points:
    """Inputs, flat; how many numbers one has is told by their shape."""
    given = real_numbers("inputs", x, "(number of points, input_dim)")
    dim = int(np.prod(given.shape[1:])) if given.ndim > 1 else 1
    flat = given.reshape(len(given), dim) if given.ndim and given.size else given
    return check_inputs(flat, (max(dim, 1),), distinct=True)


def _entry_units(units: Units, orders: tuple[int, ...]) -> Packed:
    """What an entry in units is multiplied by; its square is that of a covariance."""
    with np.errstate(over="ignore", under="ignore"):
        unit = entry_units(units, orders)
        squares = unit**2
    if not (np.isfinite(squares) & (squares > 0)).all():
        raise SpecError(
            f"`values` have standard deviations up to {units.scale.max():.3g}, and the "
            f"covariance of their correlators of order {max(orders)} leaves the range "
            "of floating-point numbers: multiply them by a constant"
        )
    return unit


def _splitter(
    num_legs: int, orders: tuple[int, ...]
) -> Callable[[Packed], dict[int, Packed]]:
    """Cuts concatenated entries into orders."""
    cuts = np.cumsum([num_entries(num_legs, k) for k in orders])[:-1]
    return lambda joined: dict(zip(orders, np.split(joined, cuts), strict=True))


def _connected(
    mean: Mean, num_legs: int, orders: tuple[int, ...]
) -> tuple[Packed, Matrix]:
    """Cumulants, concatenated, with the covariance that batches give; in units."""
    split = _splitter(num_legs, orders)
    found, jacobian = cumulants(split(mean.value), num_legs)
    joined = np.concatenate(list(found.values()))
    return joined, jacobian @ mean.covariance @ jacobian.T


def _times(
    drawn: Values, units: Units, orders: tuple[int, ...], size: int
) -> tuple[Times, Packed]:
    """Of every cumulant, and the variance of the mean at every leg, in its own unit."""
    split = _splitter(len(units.scale), orders)
    value = sum_products(drawn, units, orders, size).values / drawn.num_draws
    jacobian = cumulants(split(value), len(units.scale))[1]
    off = (units.mean - units.shift) / units.scale

    def deviations(field: np.ndarray) -> np.ndarray:
        own = jacobian @ (products(field, orders) - value[:, None])
        return np.concatenate([own, field - off[:, None]])

    time, variance = autocorrelation(drawn, units, size, deviations)
    legs = len(units.scale)
    times = Times(time[:-legs], variance[:-legs])
    return times, variance[-legs:] * units.scale**2


def _batch(drawn: Values, time: float, num_quantities: int, size: int) -> int:
    """Draws in a batch: many autocorrelation times, while batches are enough."""
    batch = 1
    while 2 * batch <= min(size, _TIMES_IN_BATCH * time):
        number = drawn.num_chains * (drawn.length // (2 * batch))
        if number < _FEW_BATCHES * num_quantities:
            break
        batch *= 2
    return batch


def _check_independence(drawn: Values, units: Units, size: int) -> None:
    """Warn where neighbouring draws are correlated."""
    off = (units.mean - units.shift) / units.scale
    total, last = np.zeros(len(off)), np.zeros((len(off), 0))
    for _, field in standard_blocks(drawn, units, size):
        joined = np.concatenate([last, field - off[:, None]], axis=1)
        total = total + (joined[:, 1:] * joined[:, :-1]).sum(axis=1)
        last = joined[:, -1:]
    share = total * (units.scale / units.std) ** 2 / drawn.num_draws
    worst = float(share[np.abs(share).argmax()])
    chance = 2 * stats.norm.sf(abs(worst) * drawn.num_draws**0.5) * len(share)
    if chance < _SURE:
        warnings.warn(
            f"neighbouring draws have the correlation {worst:.2g}, and are taken for "
            "independent, so that errors are too small or too large; give chains=True "
            "with values[None] if they are of one chain, or shuffle them if only their "
            "order is to blame",
            AutocorrelationWarning,
            stacklevel=3,
        )


def _check_mean(units: Units, variance: Packed, num_outputs: int) -> None:
    """Refuse a mean where even orders alone say that there is none."""
    z = np.abs(units.mean) / np.sqrt(variance)
    worst = int(z.argmax())
    if 2 * stats.norm.sf(z[worst]) * len(z) < _SURE:
        raise SpecError(
            f"the mean of the draws at point {worst // num_outputs} is "
            f"{units.mean[worst]:.3g}, {z[worst]:.3g} standard errors from zero, and "
            "even orders alone take f and −f to be alike; ask for odd orders too, as "
            "in orders=(1, 2, 3, 4)"
        )
