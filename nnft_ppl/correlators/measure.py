"""The two public ways to correlators: measured on random networks, or exact.

In: a `Network` and inputs. Out: `Correlators`. Every check comes before any work.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Packed, Points
from nnft_ppl.correlators.connected import connected_estimate
from nnft_ppl.correlators.correlators import Correlators, check_orders
from nnft_ppl.correlators.estimators import (
    Inputs,
    choose_estimator,
    over_outputs,
)
from nnft_ppl.correlators.exact import exact_cumulants
from nnft_ppl.correlators.streaming import Mean, stream_mean
from nnft_ppl.correlators.symmetric import (
    entries,
    entry_size,
    num_entries,
)
from nnft_ppl.correlators.weights import weight_moments
from nnft_ppl.correlators.wick import pack_kernel
from nnft_ppl.ensemble.blocks import check_block_size, chunk_size, draws_per_block
from nnft_ppl.ensemble.model import (
    check_key,
    check_num_draws,
    check_prior,
    sampling_inputs,
)

_FLOAT32_ROUNDING = 1e-6
"""Rounding of float32 sums, relative to the natural size of each entry."""
_KERNEL_ERROR = 1e-6
"""Error of a kernel, relative to √(K(x,x) K(y,y)), that no sample could show."""


def exact_correlators(
    network: Network, x: ArrayLike, orders: tuple[int, ...] = (2, 4)
) -> Correlators:
    """Exact correlators of a net with i.i.d. hidden neurons (theory.md §2).

    Args:
        network: Must supply a neuron.
        x: Inputs (point, input_dim), finite and distinct.
        orders: Among 2, 4, 6, 8; lower even ones are added.

    Returns:
        `Correlators` without sampling error; `connected_error` is the quadrature's
        bound on its own error.

    Raises:
        UnavailableError: The architecture gives no neuron, or the output weights lack a
            moment of the highest order.
        SpecError: Inputs or orders are unusable.
    """
    points = network.check_inputs(x, distinct=True)
    orders = check_orders(orders, len(points), network.hyperparameters.output_dim)
    connected, error = exact_cumulants(network, points, orders)
    return Correlators(
        network=network,
        x=points,
        orders=orders,
        estimator="exact",
        num_draws=0,
        connected_values=connected,
        joint_covariance=np.zeros((0, 0)),
        numerical_error=error,
        effective_batches={},
        num_batches=0,
    )


def measure_correlators(
    network: Network,
    x: ArrayLike,
    orders: tuple[int, ...] = (2, 4),
    *,
    num_draws: int,
    key: Key,
    estimator: str = "auto",
    block_size: int | None = None,
    progress: bool = False,
) -> Correlators:
    """Measure correlators on an ensemble that is streamed, never held.

    Args:
        network: From `nnft_ppl.network`.
        x: Inputs (point, input_dim), finite and distinct.
        orders: Among 2, 4, 6, 8; lower even ones are added.
        num_draws: Number of networks; more than there are correlator entries.
        key: A JAX random key; network j is a function of (key, j).
        estimator: `auto` takes `conditional` where the last layer is linear, at any
            depth, else `wick`; `moments` is the plain route (theory.md §3).
        block_size: Networks per dispatched block; changes memory and speed alone.
        progress: Show a progress bar on a terminal.

    Returns:
        `Correlators` with the full covariance of the estimates.

    Raises:
        SpecError: Inputs, orders, number, key or estimator are unusable.
        UnavailableError: The architecture lacks what the estimator needs, or the output
            weights a moment of the highest order.
        PluginError: The prior does not run under NumPyro.
    """
    points = network.check_inputs(x, distinct=True)
    inputs_float32 = sampling_inputs(points)
    num_outputs = network.hyperparameters.output_dim
    num_legs = len(points) * num_outputs
    orders = check_orders(orders, len(points), num_outputs)
    check_block_size(block_size)
    estimator = choose_estimator(network, estimator)
    weight_moments(network, max(orders))  # refuses
    key = check_key(key)
    num_quantities = sum(num_entries(num_legs, k) for k in orders)
    num_draws = check_num_draws(num_draws)
    check_prior(network)
    if num_draws <= num_quantities:
        raise SpecError(
            f"`num_draws` is {num_draws}, too small for the covariance of "
            f"{num_quantities} correlator entries; use at least {num_quantities + 1}, "
            "or fewer inputs or orders"
        )

    def mean_of(
        num_draws: int,
        scale: np.ndarray,
        kernel: Packed,
        orders: tuple[int, ...],
        label: str,
    ) -> Mean:
        inputs = Inputs(
            jnp.asarray(inputs_float32),
            jnp.asarray(1 / scale, jnp.float32),
            jnp.asarray(kernel, jnp.float32),
        )
        return stream_mean(
            network,
            inputs,
            orders,
            estimator,
            num_draws,
            key=key,
            block_size=block_size,
            progress=progress,
            label=label,
        )

    conditional = estimator == "conditional"
    bias_variance = network.output_bias_variance if conditional else 0.0
    first, second = entries(num_legs, 2).T
    bias = bias_variance * (first % num_outputs == second % num_outputs)
    if network.has_kernel:
        packed = pack_kernel(network.kernel(points))
        kernel = over_outputs(packed, len(points), num_outputs, 2) - bias
    else:
        # The first networks give a kernel to subtract; any will do that is near.
        zeros = np.zeros(num_entries(num_legs, 2))
        chunk = chunk_size(network, len(points))
        block = draws_per_block(num_draws, block_size, chunk, num_quantities)
        pilot = min(num_draws, block)  # one block: nothing is compiled twice
        kernel = mean_of(pilot, np.ones(num_legs), zeros, (2,), "kernel").value
    variance = kernel[first == second]
    scale = np.sqrt(np.where(variance > 0, variance, 1.0))
    unit = {k: entry_size(scale**2, k) for k in orders}
    reference = kernel / unit[2]
    mean = mean_of(num_draws, scale, reference, orders, estimator)
    is_two_point = _kernel_is_two_point(network, points)
    connected, covariance = connected_estimate(
        mean,
        num_legs,
        orders,
        np.zeros_like(reference) if estimator == "moments" else reference,
        num_draws,
        bias=_bias_correction(network, estimator, is_two_point=is_two_point),
    )
    batches = _split(mean.effective_batches, unit)
    if is_two_point:
        _flag_missed_tails(batches, connected[2] - reference, covariance, num_legs)
    units = np.concatenate([unit[k] for k in orders])
    rounding = {k: _rounding(connected, k, conditional=conditional) for k in orders}
    connected = {k: connected[k] * unit[k] for k in orders}
    connected[2] = connected[2] + bias
    return Correlators(
        network=network,
        x=points,
        orders=orders,
        estimator=estimator,
        num_draws=num_draws,
        connected_values=connected,
        joint_covariance=covariance * np.outer(units, units),
        numerical_error={k: rounding[k] * unit[k] for k in orders},
        effective_batches=batches,
        num_batches=mean.num_batches,
    )


def _kernel_is_two_point(network: Network, points: Points) -> bool:
    """Whether the kernel, as computed, is the 2-pt function at this width.

    A kernel that is a quadrature of some error is a reference like any other.
    """
    if not network.kernel_holds_at_every_width:
        return False
    size = np.sqrt(np.maximum(np.diag(network.kernel(points)), 0.0))
    error = network.kernel_error(points)
    return bool((error <= _KERNEL_ERROR * np.outer(size, size)).all())


def _bias_correction(network: Network, estimator: str, *, is_two_point: bool) -> str:
    """How the bias of products of averages is undone: see `connected_estimate`."""
    if estimator == "moments":
        return "plain"
    if is_two_point:
        return "linear"
    if estimator == "conditional" and network.gaussian_readout() is not None:
        return "k-statistics"
    return "covariance"


def _split(values: Packed, like: Mapping[int, Packed]) -> dict[int, Packed]:
    """Cut concatenated entries into orders."""
    cuts = np.cumsum([len(part) for part in like.values()])[:-1]
    return dict(zip(like, np.split(values, cuts), strict=True))


def _rounding(
    connected: Mapping[int, Packed], order: int, *, conditional: bool
) -> float:
    """Rounding of float32 sums in units of the natural size of an entry.

    What is multiplied is a difference: of K̂ − K, as large as √(G4c/3), from terms of
    size one, or of products of fields.
    """
    size = float(np.sqrt(np.mean(connected[order] ** 2)))
    cancelled = 1.0
    if conditional and 4 in connected:
        spread = np.sqrt(np.sqrt(np.mean(connected[4] ** 2)) / 3)
        cancelled = max(1.0, 0.1 / spread) if spread > 0 else 1.0
    return _FLOAT32_ROUNDING * cancelled * size


def _flag_missed_tails(
    batches: dict[int, Packed], gap: Packed, covariance: np.ndarray, num_legs: int
) -> None:
    """Mark entries at legs where the measured kernel misses the exact one.

    For networks whose 2-pt function is the kernel at every width. Six standard errors
    away from it, the sample has missed a tail, and all that is made of it is wrong.
    """
    error = np.sqrt(np.diag(covariance)[: len(gap)])
    missed = np.abs(gap) > 6 * error + 1e-5
    legs = np.unique(entries(num_legs, 2)[missed])
    for order, values in batches.items():
        touched = np.isin(entries(num_legs, order), legs).any(axis=1)
        values[touched] = 0.0
