"""The check of a declared tangent kernel, against gradients of sampled networks.

In: a network and inputs. Out: a `CheckResult`. The mean of J Jᵀ approaches the limit as
1/N, so that two widths, one four times the other, give it up to the next order.
"""

from collections.abc import Iterator

import jax
import numpy as np

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Points
from nnft_ppl.testing.result import (
    CheckResult,
    not_compared,
    plugin_code,
    within_errors,
)
from nnft_ppl.testing.sampling import affordable_draws
from nnft_ppl.training.measured_tangent_kernel import measure_tangent_kernel

_CHECK = "tangent-kernel"
_GROWTH = 4
_SHARE = 20
"""Of the draws of other checks: each takes gradients, too."""
_LEAST_DRAWS = 100
_NEXT_ORDER = 0.05
"""Of the step between the widths, as a standard error: what is of order 1/N²."""


def check_tangent_kernel(
    network: Network, points: Points, num_draws: int, key: Key
) -> Iterator[CheckResult]:
    """Θ is the limit of the mean of J Jᵀ."""
    if network.architecture.tangent_kernel is None:
        return
    with plugin_code(network, _CHECK):
        yield _compared(network, points, num_draws, key)


def _compared(
    network: Network, points: Points, num_draws: int, key: Key
) -> CheckResult:
    """The row, of a reason where there is no limit or no such width."""
    try:
        limit = network.tangent_kernel(points)
        wider = network.with_width(_GROWTH * network.width)
        first, second = jax.random.split(key)
        narrow, narrow_error = _measured(network, points, num_draws, first)
        wide, wide_error = _measured(wider, points, num_draws, second)
    except (SpecError, UnavailableError) as reason:
        return not_compared(_CHECK, str(reason))
    step = wide - narrow
    error = np.hypot(_GROWTH * wide_error, narrow_error) / (_GROWTH - 1)
    size = np.sqrt(np.diag(limit))
    return within_errors(
        _CHECK,
        wide + step / (_GROWTH - 1),
        limit,
        np.hypot(error, _NEXT_ORDER * step),
        scale=np.outer(size, size),
        where="at inputs {} and {}; mean of J Jᵀ over networks, extrapolated from "
        f"widths {network.width} and {wider.width}, and Σ of the shares declared: each "
        "is that of θ times its variance",
    )


def _measured(
    network: Network, points: Points, num_draws: int, key: Key
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and its error, of the first output."""
    count = affordable_draws(network, max(_LEAST_DRAWS, num_draws // _SHARE))
    found = measure_tangent_kernel(network, points, num_draws=count, key=key)
    outputs = network.hyperparameters.output_dim
    return found.mean[::outputs, ::outputs], found.mean_error[::outputs, ::outputs]
