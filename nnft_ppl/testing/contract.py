"""The conformance kit of one architecture at given hyperparameters.

In: a `Network`. Out: rows of a table, or `PluginError` with every check that failed.
What the plugin does not declare is not checked. The checks come in groups: those of
`STATISTICAL_GROUPS` depend on the key, the others are worth running once.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import jax
import numpy as np

from nnft_ppl._errors import PluginError, SpecError
from nnft_ppl._network import Network
from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Key, Points
from nnft_ppl.ensemble.model import check_key, check_num_draws
from nnft_ppl.testing.cumulants import check_cumulants
from nnft_ppl.testing.kernel import check_kernel
from nnft_ppl.testing.layers import check_hidden_layers
from nnft_ppl.testing.limit import Sweep, check_limit, draw_sweep
from nnft_ppl.testing.neuron import check_neuron
from nnft_ppl.testing.options import check_declarations, check_extremes
from nnft_ppl.testing.randomness import check_randomness
from nnft_ppl.testing.readout import check_readout
from nnft_ppl.testing.result import (
    CheckResult,
    FailedChecksError,
    PluginCodeError,
    plugin_code,
)
from nnft_ppl.testing.sampling import Sample, affordable_draws, draw
from nnft_ppl.testing.statistics import check_sign, check_symmetries, check_two_point
from nnft_ppl.testing.structure import (
    check_finite,
    check_structure,
    check_transformations,
)
from nnft_ppl.testing.tangent_kernel import check_tangent_kernel

_MAX_POINTS = 6
_MIN_DRAWS = 1000


@dataclass(frozen=True, eq=False)
class _Setting:
    """What the checks share; the draws are made when the first check asks for them."""

    network: Network
    points: Points
    key: Key
    num_draws: int

    def part(self, number: int) -> Key:
        return jax.random.fold_in(self.key, number)

    @cached_property
    def sample(self) -> Sample:
        with plugin_code(self.network, "sampling"):
            count = affordable_draws(self.network, self.num_draws)
            return draw(self.network, self.points, count, self.part(0))

    @cached_property
    def sweep(self) -> Sweep:
        with plugin_code(self.network, "sampling-widths"):
            return draw_sweep(
                self.network, self.points, self.sample, self.num_draws, self.part(1)
            )


def _structure(on: _Setting) -> Iterator[CheckResult]:
    yield from check_structure(on.network, on.points, on.part(2))


def _randomness(on: _Setting) -> Iterator[CheckResult]:
    yield from check_randomness(on.network)


def _declarations(on: _Setting) -> Iterator[CheckResult]:
    yield from check_declarations(on.network)


def _kernel(on: _Setting) -> Iterator[CheckResult]:
    yield from check_kernel(on.network, on.points)


def _extremes(on: _Setting) -> Iterator[CheckResult]:
    yield from check_extremes(on.network, on.points, on.part(3))


def _transformations(on: _Setting) -> Iterator[CheckResult]:
    yield check_finite(on.sample)
    yield check_transformations(on.network, on.points, on.sample, on.part(0))


def _sampling(on: _Setting) -> Iterator[CheckResult]:
    yield from check_two_point(on.network, on.points, on.sample, on.sweep)
    yield from check_readout(on.network, on.sample)


def _symmetries(on: _Setting) -> Iterator[CheckResult]:
    yield from check_sign(on.network, on.sample)
    count = len(on.sample.values)
    yield from check_symmetries(on.network, on.points, count, on.part(4))


def _neuron(on: _Setting) -> Iterator[CheckResult]:
    yield from check_neuron(on.network, on.points, on.sample, on.part(5))


def _layers(on: _Setting) -> Iterator[CheckResult]:
    yield from check_hidden_layers(on.network, on.points, on.sample, on.part(6))


def _tangent_kernel(on: _Setting) -> Iterator[CheckResult]:
    yield from check_tangent_kernel(on.network, on.points, on.num_draws, on.part(7))


def _cumulants(on: _Setting) -> Iterator[CheckResult]:
    yield from check_cumulants(on.network, on.points, on.sample, on.sweep)


def _limit(on: _Setting) -> Iterator[CheckResult]:
    yield from check_limit(on.network, on.sweep)


_ONCE: dict[str, Callable[[_Setting], Iterator[CheckResult]]] = {
    "structure": _structure,
    "randomness": _randomness,
    "declarations": _declarations,
    "kernel": _kernel,
    "extremes": _extremes,
    "transformations": _transformations,
}
_STATISTICAL: dict[str, Callable[[_Setting], Iterator[CheckResult]]] = {
    "sampling": _sampling,
    "symmetries": _symmetries,
    "neuron": _neuron,
    "hidden layers": _layers,
    "tangent kernel": _tangent_kernel,
    "cumulants": _cumulants,
    "limit": _limit,
}
STATISTICAL_GROUPS = tuple(_STATISTICAL)
"""Groups of checks that compare with samples: their rows depend on the key."""
GROUPS = (*_ONCE, *STATISTICAL_GROUPS)
"""All groups of checks, in the order in which they are run."""


def check_groups(
    network: Network,
    *,
    key: Key | None = None,
    num_draws: int = 20_000,
    groups: Collection[str] = GROUPS,
) -> Iterator[tuple[str, list[CheckResult]]]:
    """Run the checks group by group, and yield the rows of each as it is done.

    Nothing is raised for a check that fails. After a failure in `structure` there is
    nothing to sample, and no group follows; a kernel that fails on its own is left out
    of what follows.

    Args:
        network: As in `check_architecture`.
        key: As there.
        num_draws: As there.
        groups: Which of `GROUPS` to run.

    Yields:
        Name of the group, and its rows; empty where nothing it checks is declared.

    Raises:
        SpecError: The key, the number of draws or a group is unusable.
    """
    key = seed_key(0) if key is None else check_key(key)
    num_draws = check_num_draws(num_draws, _MIN_DRAWS)
    unknown = set(groups) - set(GROUPS)
    if unknown:
        raise SpecError(f"unknown groups {sorted(unknown)}; known are {list(GROUPS)}")
    try:
        points = _inputs(network)
    except PluginError as error:
        yield "structure", [_row_of(error, "suggested-inputs")]
        return
    setting = _Setting(network, points, key, num_draws)
    for name, check in (_ONCE | _STATISTICAL).items():
        if name not in groups:
            continue
        rows, ended = _run(name, check, setting)
        yield name, rows
        failed = ended or not all(row.passed for row in rows)
        if failed and name in ("structure", "transformations"):
            return
        if failed and name == "kernel":
            bare = replace(network.architecture, kernel=None)
            setting = replace(setting, network=replace(network, architecture=bare))


def _run(
    name: str, check: Callable[[_Setting], Iterator[CheckResult]], setting: _Setting
) -> tuple[list[CheckResult], bool]:
    """Rows of one group, up to what the plugin's code raises, and whether it did."""
    rows: list[CheckResult] = []
    try:
        for row in check(setting):
            rows.append(row)
            if name == "structure" and not row.passed:
                break  # what follows would stumble over the same
    except PluginError as error:
        return [*rows, _row_of(error, name)], True
    return rows, False


def _row_of(error: PluginError, check: str) -> CheckResult:
    if isinstance(error, PluginCodeError):
        return error.row
    return CheckResult(check, str(error), "", np.inf, False)


def check_results(
    network: Network,
    *,
    key: Key | None = None,
    num_draws: int = 20_000,
    groups: Collection[str] = GROUPS,
) -> list[CheckResult]:
    """All rows of `check_groups`, passed or not."""
    found = check_groups(network, key=key, num_draws=num_draws, groups=groups)
    return [row for _, rows in found for row in rows]


def check_architecture(
    network: Network, *, key: Key | None = None, num_draws: int = 20_000
) -> list[CheckResult]:
    """Check that a plugin keeps the contract, and that what it declares is true.

    Prior and forward pass: traceable, reproducible, of the right shape and precision,
    the same under jit and vmap, all randomness from the key, numbers at extreme but
    legal settings. Kernel, readout, neuron, hidden layers and symmetries, where given:
    against each other and against `num_draws` sampled networks, exact cumulants too,
    and the tangent kernel against gradients of some of them.
    Over four widths the ensemble must become Gaussian at the rate 1/N, unless the
    plugin says that it does not. Sampled numbers must agree within 5 standard errors.

    Args:
        network: The architecture at the hyperparameters to check it at. A width of a
            few tens and a bias_std > 0 leave the fewest faults unseen.
        key: A JAX random key; `jax.random.key(0)` unless given.
        num_draws: Networks to sample, at least 1000; fewer are taken where they have
            very many parameters. Faults smaller than the sampling error go unseen.

    Returns:
        One row for each check, all passed.

    Raises:
        PluginError: A check fails; the message names the architecture and, for each
            failure, the check, what was measured and what was expected.
        SpecError: The key or the number of draws is unusable.
    """
    rows = check_results(network, key=key, num_draws=num_draws)
    failed = [row for row in rows if not row.passed]
    if failed:
        raise FailedChecksError(network, failed)
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
