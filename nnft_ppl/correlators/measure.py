"""The two public ways to correlators: measured on random networks, or exact.

In: a `Network` and inputs. Out: `Correlators`. Every check comes before any work.
"""

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
from nnft_ppl.correlators.symmetric import entry_size, num_entries, positions
from nnft_ppl.correlators.wick import pack_kernel
from nnft_ppl.ensemble.model import check_key, check_num_draws, check_prior

_FLOAT32_ROUNDING = 1e-6
"""Rounding of float32 sums, relative to the natural size of each entry."""


def exact_correlators(
    network: Network, x: ArrayLike, orders: tuple[int, ...] = (2, 4)
) -> Correlators:
    """Exact correlators of a net with i.i.d. hidden neurons (theory.md §2).

    Args:
        network: Must supply a neuron.
        x: Inputs (point, input_dim), finite and distinct.
        orders: Among 2, 4, 6; lower even ones are added.

    Raises:
        UnavailableError: The architecture gives no neuron.
        SpecError: Inputs or orders are unusable.
    """
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
        orders: Among 2, 4, 6; lower even ones are added.
        num_draws: Number of networks; more than there are correlator entries.
        key: A JAX random key; network j is a function of (key, j).
        estimator: `auto` takes `conditional` where the last layer is Gaussian, else
            `wick`; `moments` is the plain route (theory.md §3).
        block_size: Networks per dispatched block; changes memory and speed alone.
        progress: Show a progress bar on a terminal.

    Raises:
        SpecError: Inputs, orders, number, key or estimator are unusable.
        UnavailableError: The architecture lacks what the estimator needs.
        PluginError: The prior does not run under NumPyro.
    """
    points = network.check_inputs(x, distinct=True)
    orders = check_orders(orders, len(points))
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
            jnp.asarray(points, jnp.float32),
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

    diagonal = positions(len(points), np.repeat(np.arange(len(points))[:, None], 2, 1))
    if network.has_kernel:
        kernel = pack_kernel(network.kernel(points))
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
    units = np.concatenate([unit[k] for k in orders])
    splits = np.cumsum([len(unit[k]) for k in orders])[:-1]
    batches = np.split(mean.effective_batches, splits)
    return Correlators(
        network=network,
        x=points,
        orders=orders,
        estimator=estimator,
        num_draws=num_draws,
        connected_values={k: connected[k] * unit[k] for k in orders},
        joint_covariance=covariance * np.outer(units, units),
        numerical_error={
            k: _FLOAT32_ROUNDING * unit[k] * np.sqrt(np.mean(connected[k] ** 2))
            for k in orders
        },
        effective_batches=dict(zip(orders, batches, strict=True)),
    )
