"""The contract check of one architecture at given hyperparameters.

In: a `Network`. Out: the results, or `PluginError` with every check that failed. What
the plugin does not declare is not checked.
"""

from collections.abc import Iterable

import jax
import numpy as np

from nnft_ppl._errors import PluginError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Points
from nnft_ppl.ensemble.model import check_key, check_num_draws
from nnft_ppl.testing.kernel import check_kernel
from nnft_ppl.testing.neuron import check_neuron
from nnft_ppl.testing.result import CheckResult, plugin_code
from nnft_ppl.testing.sampling import draw
from nnft_ppl.testing.statistics import check_sampled
from nnft_ppl.testing.structure import check_structure, check_transformations

_MAX_POINTS = 6
_MIN_DRAWS = 1000


def check_architecture(
    network: Network, *, key: Key | None = None, num_draws: int = 20_000
) -> list[CheckResult]:
    """Check that a plugin keeps the contract, and that what it declares is true.

    Prior and forward pass: traceable, reproducible, of the right shape and precision,
    the same under jit and vmap. Kernel, readout, neuron and symmetries, where given:
    against each other and against `num_draws` sampled networks. Sampled numbers must
    agree within 5 standard errors. Some seconds for one architecture.

    Args:
        network: The architecture at the hyperparameters to check it at. A width of a
            few tens and a bias_std > 0 leave the fewest faults unseen.
        key: A JAX random key; `jax.random.key(0)` unless given.
        num_draws: Networks to sample, at least 1000. Faults smaller than the sampling
            error go unseen.

    Returns:
        One row for each check, all passed.

    Raises:
        PluginError: A check fails; the message names the architecture and, for each
            failure, the check, what was measured and what was expected.
        SpecError: The key or the number of draws is unusable.
    """
    key = jax.random.key(0) if key is None else check_key(key)
    num_draws = check_num_draws(num_draws, _MIN_DRAWS)
    structure_key, draw_key, sample_key, neuron_key = jax.random.split(key, 4)
    points = _inputs(network)
    # One after the other: nothing can be sampled from a plugin without structure, and
    # samples mean little beside a kernel that is no covariance.
    results = [
        row
        for check in (
            check_structure(network, points, structure_key),
            check_kernel(network, points),
        )
        for row in check
        if _all_passed(network, [row])
    ]
    with plugin_code(network, "sampling"):
        sample = draw(network, points, num_draws, draw_key)
    results += _all_passed(
        network, [check_transformations(network, points, sample, draw_key)]
    )
    sampled = [
        *check_sampled(network, points, sample, sample_key),
        *check_neuron(network, points, sample, neuron_key),
    ]
    return results + _all_passed(network, sampled)


def _all_passed(network: Network, rows: Iterable[CheckResult]) -> list[CheckResult]:
    """The rows, or PluginError listing those that failed."""
    rows = list(rows)
    failed = [row for row in rows if not row.passed]
    if failed:
        listed = "; ".join(str(row) for row in failed)
        raise PluginError(f"architecture {network.name!r} fails {listed}")
    return rows


def _inputs(network: Network) -> Points:
    """The plugin's suggested inputs, else a few of order one, of both signs."""
    dim = network.hyperparameters.input_dim
    suggested = network.architecture.suggested_inputs.get(dim)
    if suggested is not None:
        with plugin_code(network, "suggested-inputs"):
            return network.check_inputs(np.asarray(suggested), distinct=True)[
                :_MAX_POINTS
            ]
    return np.random.default_rng(0).uniform(-1.0, 1.0, size=(_MAX_POINTS, dim))
