"""From sums over networks to `Correlators`: units, reference, bias, rounding, alarms.

In: a network, inputs and an estimator. Out: a `Measurement`, which says in which units
the field is taken and what the averages mean.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from nnft_ppl._network import Network
from nnft_ppl._typing import Packed, Points
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.legs import over_outputs
from nnft_ppl.correlators.readout_weights import bias_mean
from nnft_ppl.correlators.sampled.connected import connected_estimate
from nnft_ppl.correlators.sampled.estimators import (
    ESTIMATORS,
    Estimator,
)
from nnft_ppl.correlators.sampled.sums import Mean
from nnft_ppl.correlators.symmetric import entries, entry_size
from nnft_ppl.correlators.wick import pack_kernel

_FLOAT32_ROUNDING = 1e-6
"""Rounding of float32 sums, relative to the natural size of each entry."""
_KERNEL_ERROR = 1e-6
"""Error of a kernel, relative to √(K(x,x) K(y,y)), that no sample could show."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """What is measured and against what.

    Attributes:
        network: What is drawn.
        points: Inputs, float64 (point, dim).
        orders: All orders from 1, or all even ones from 2, up to the highest.
        estimator: By which route.
        kernel: (entry,) packed 2-pt function to subtract, over legs, output bias left
            out where the estimator leaves it out.
        mean: (leg,) the same of the mean; `None` where nothing is taken off.
    """

    network: Network
    points: Points
    orders: tuple[int, ...]
    estimator: Estimator
    kernel: Packed
    mean: Packed | None = None

    @property
    def num_legs(self) -> int:
        """Inputs times outputs."""
        return len(self.points) * self.network.hyperparameters.output_dim

    @property
    def scale(self) -> np.ndarray:
        """(leg,) the unit of the field at each leg: its standard deviation."""
        first, second = entries(self.num_legs, 2).T
        variance = self.kernel[first == second]
        return np.asarray(np.sqrt(np.where(variance > 0, variance, 1.0)))

    @property
    def reference(self) -> Packed:
        """The kernel of the scaled field."""
        return np.asarray(self.kernel / entry_size(self.scale**2, 2))

    def correlators(self, mean: Mean, num_draws: int) -> Correlators:
        """What the averages over `num_draws` networks give."""
        unit = {k: entry_size(self.scale**2, k) for k in self.orders}
        reference = self.reference
        is_two_point = self._kernel_is_two_point()
        is_even = 1 not in self.orders
        exact = is_two_point and is_even  # of the field about zero
        connected, covariance = connected_estimate(
            mean,
            self.num_legs,
            self.orders,
            self.estimator.reference(reference),
            num_draws,
            bias=self.estimator.bias_correction(self.network, exact=exact),
        )
        batches = _split(mean.effective_batches, unit)
        if is_two_point:
            gap, before = connected[2] - reference, 0 if is_even else self.num_legs
            error = np.sqrt(np.diag(covariance)[before : before + len(gap)])
            _flag_missed_tails(batches, gap, error, self.num_legs)
        units = np.concatenate([unit[k] for k in self.orders])
        rounding = {k: _rounding(connected, k, self.estimator) for k in self.orders}
        connected = {k: connected[k] * unit[k] for k in self.orders}
        if not is_even:
            connected[1] = connected[1] + self._mean_taken_off()
        connected[2] = connected[2] + output_bias(
            self.network, len(self.points), self.estimator
        )
        return Correlators(
            network=self.network,
            x=self.points,
            orders=self.orders,
            estimator=self.estimator.name,
            num_draws=num_draws,
            connected_values=connected,
            joint_covariance=covariance * np.outer(units, units),
            numerical_error={k: rounding[k] * unit[k] for k in self.orders},
            effective_batches=batches,
            num_batches=mean.num_batches,
        )

    def _mean_taken_off(self) -> Packed | float:
        """The reference, and the output bias where the estimator leaves it out."""
        bias = bias_mean(self.network) if self.estimator.leaves_out_bias else 0.0
        return bias if self.mean is None else self.mean + bias

    def relative_error(
        self,
        mean: Mean,
        num_draws: int,
        error_of: Callable[[Correlators], float | None] | None = None,
    ) -> float | None:
        """Of G4c, or as `error_of` gives it; `None` where there is none.

        Args:
            mean: Of the first networks, with more batches than quantities.
            num_draws: How many.
            error_of: Of correlators that are made; `relative_error_of` when `None`.
        """
        if error_of is None:
            if 4 not in self.orders:
                return None
            error_of = self.relative_error_of
        return error_of(self.correlators(mean, num_draws))

    def relative_error_of(self, found: Correlators) -> float | None:
        """R.m.s. over entries of G4c of error over r.m.s. of value, in natural units.

        `None` where it vanishes.
        """
        return four_point_error(found, self.scale**2)

    def _kernel_is_two_point(self) -> bool:
        """Whether the kernel, as computed, is the 2-pt function at this width.

        A kernel that is a quadrature of some error is a reference like any other.
        """
        if not self.network.kernel_holds_at_every_width:
            return False
        size = np.sqrt(np.maximum(np.diag(self.network.kernel(self.points)), 0.0))
        error = self.network.kernel_error(self.points)
        return bool((error <= _KERNEL_ERROR * np.outer(size, size)).all())


def four_point_error(found: Correlators, variance: np.ndarray) -> float | None:
    """R.m.s. over entries of G4c of error over r.m.s. of value; `None` if it vanishes.

    Args:
        found: With order 4.
        variance: (leg,) of the field, in units of which entries are taken.
    """
    size = entry_size(variance, 4)
    value = np.mean((found.connected(4) / size) ** 2)
    error = np.mean((found.connected_error(4) / size) ** 2)
    return float(np.sqrt(error / value)) if value > 0 else None


def output_bias(network: Network, num_points: int, estimator: Estimator) -> Packed:
    """(entry,) variance of the output bias where the estimator leaves it out."""
    num_outputs = network.hyperparameters.output_dim
    first, second = entries(num_points * num_outputs, 2).T
    same = first % num_outputs == second % num_outputs
    variance = network.output_bias_variance if estimator.leaves_out_bias else 0.0
    return np.asarray(same * variance)


def known_kernel(network: Network, points: Points, estimator: Estimator) -> Packed:
    """The network's kernel over legs, less the bias that the estimator leaves out."""
    num_outputs = network.hyperparameters.output_dim
    packed = pack_kernel(network.kernel(points))
    spread = over_outputs(packed, len(points), num_outputs, 2)
    return np.asarray(spread - output_bias(network, len(points), estimator))


def _split(values: Packed, like: Mapping[int, Packed]) -> dict[int, Packed]:
    """Cut concatenated entries into orders."""
    cuts = np.cumsum([len(part) for part in like.values()])[:-1]
    return dict(zip(like, np.split(values, cuts), strict=True))


def _rounding(
    connected: Mapping[int, Packed], order: int, estimator: Estimator
) -> float:
    """Rounding of float32 sums in units of the natural size of an entry.

    What is multiplied is a difference: of K̂ − K, as large as √(G4c/3), from terms of
    size one, or of products of fields.
    """
    size = float(np.sqrt(np.mean(connected[order] ** 2)))
    if 1 in connected:  # moments about zero, of which the mean is taken off
        size = max(size, (1 + float(np.abs(connected[1]).max())) ** order)
    cancelled = 1.0
    if 4 in connected:
        spread = float(np.sqrt(np.sqrt(np.mean(connected[4] ** 2)) / 3))
        cancelled = estimator.cancellation(spread)
    return _FLOAT32_ROUNDING * cancelled * size


def _flag_missed_tails(
    batches: dict[int, Packed], gap: Packed, error: Packed, num_legs: int
) -> None:
    """Mark entries at legs where the measured kernel misses the exact one.

    For networks whose 2-pt function is the kernel at every width. Six standard errors
    away from it, the sample has missed a tail, and all that is made of it is wrong.
    """
    missed = np.abs(gap) > 6 * error + 1e-5
    legs = np.unique(entries(num_legs, 2)[missed])
    for order, values in batches.items():
        touched = np.isin(entries(num_legs, order), legs).any(axis=1)
        values[touched] = 0.0


def relative_error(correlators: Correlators) -> float | None:
    """Relative error of G4c, as `measure_correlators(target_error=...)` takes it.

    Root mean square over entries of the standard error over that of the value, each in
    units of the standard deviations of the field at its legs.

    Args:
        correlators: Measured, with order 4.

    Returns:
        The error, or `None` where G4c vanishes.

    Raises:
        SpecError: There is no order 4.
    """
    estimator = ESTIMATORS[correlators.estimator]
    network, x = correlators.network, correlators.x
    kernel = (
        known_kernel(network, x, estimator)
        if network.has_kernel
        else correlators.connected(2) - output_bias(network, len(x), estimator)
    )
    return Measurement(
        network, x, correlators.orders, estimator, kernel
    ).relative_error_of(correlators)
