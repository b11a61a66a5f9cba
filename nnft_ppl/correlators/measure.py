"""The two public ways to correlators: measured on random networks, or exact.

In: a `Network` and inputs. Out: `Correlators`. Every check comes before any work.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Packed
from nnft_ppl.correlators.connected import connected_estimate
from nnft_ppl.correlators.correlators import Correlators, check_orders
from nnft_ppl.correlators.estimators import (
    Inputs,
    choose_estimator,
)
from nnft_ppl.correlators.exact import exact_cumulants
from nnft_ppl.correlators.streaming import Mean, stream_mean
from nnft_ppl.correlators.symmetric import (
    entries,
    entry_size,
    num_entries,
    positions,
)
from nnft_ppl.correlators.wick import pack_kernel
from nnft_ppl.ensemble.blocks import check_block_size
from nnft_ppl.ensemble.model import (
    check_key,
    check_num_draws,
    check_prior,
    sampling_inputs,
)

_FLOAT32_ROUNDING = 1e-6
"""Rounding of float32 sums, relative to the natural size of each entry."""


def check_single_output(network: Network) -> None:
    """Raise SpecError unless the network has one output."""
    if network.hyperparameters.output_dim != 1:
        raise SpecError(
            f"`output_dim` is {network.hyperparameters.output_dim}; correlators are "
            "those of one output: build the network with output_dim=1"
        )


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
        UnavailableError: The architecture gives no neuron.
        SpecError: Inputs or orders are unusable.
    """
    check_single_output(network)
    points = network.check_inputs(x, distinct=True)
    orders = check_orders(orders, len(points))
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
        estimator: `auto` takes `conditional` where the last layer is Gaussian, else
            `wick`; `moments` is the plain route (theory.md §3).
        block_size: Networks per dispatched block; changes memory and speed alone.
        progress: Show a progress bar on a terminal.

    Returns:
        `Correlators` with the full covariance of the estimates.

    Raises:
        SpecError: Inputs, orders, number, key or estimator are unusable.
        UnavailableError: The architecture lacks what the estimator needs.
        PluginError: The prior does not run under NumPyro.
    """
    check_single_output(network)
    points = network.check_inputs(x, distinct=True)
    inputs_float32 = sampling_inputs(points)
    orders = check_orders(orders, len(points))
    check_block_size(block_size)
    estimator = choose_estimator(network, estimator)
    key = check_key(key)
    num_quantities = sum(num_entries(len(points), k) for k in orders)
    num_draws = check_num_draws(num_draws)
    check_prior(network)
    if num_draws <= num_quantities:
        raise SpecError(
            f"`num_draws` is {num_draws}, too small for the covariance of "
            f"{num_quantities} correlator entries; use at least {num_quantities + 1}, "
            "or fewer inputs or orders"
        )

    def mean_of(
        scale: np.ndarray, kernel: Packed, orders: tuple[int, ...], label: str
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
    diagonal = positions(len(points), np.repeat(np.arange(len(points))[:, None], 2, 1))
    if network.has_kernel:
        kernel = pack_kernel(network.kernel(points)) - bias_variance
    else:
        # A first pass over the same networks gives the kernel to subtract.
        zeros = np.zeros(num_entries(len(points), 2))
        kernel = mean_of(np.ones(len(points)), zeros, (2,), "kernel").value
    variance = kernel[diagonal]
    scale = np.sqrt(np.where(variance > 0, variance, 1.0))
    unit = {k: entry_size(scale**2, k) for k in orders}
    reference = kernel / unit[2]
    mean = mean_of(scale, reference, orders, estimator)
    connected, covariance = connected_estimate(
        mean,
        len(points),
        orders,
        estimator,
        reference,
        num_draws,
        kernel_is_exact=network.has_kernel,
    )
    batches = _split(mean.effective_batches, unit)
    if network.has_kernel:
        _flag_missed_tails(batches, connected[2] - reference, covariance, len(points))
    units = np.concatenate([unit[k] for k in orders])
    rounding = {k: _rounding(connected, k, conditional=conditional) for k in orders}
    connected = {k: connected[k] * unit[k] for k in orders}
    connected[2] = connected[2] + bias_variance
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
    batches: dict[int, Packed], gap: Packed, covariance: np.ndarray, num_points: int
) -> None:
    """Mark entries at inputs where the measured kernel misses the exact one.

    The 2-pt function is the kernel at every width. Six standard errors away from it,
    the sample has missed a tail, and all that is made of it is wrong.
    """
    error = np.sqrt(np.diag(covariance)[: len(gap)])
    missed = np.abs(gap) > 6 * error + 1e-5
    points = np.unique(entries(num_points, 2)[missed])
    for order, values in batches.items():
        touched = np.isin(entries(num_points, order), points).any(axis=1)
        values[touched] = 0.0
