"""Checks of what an architecture says of itself, and of its extreme but legal settings.

In: a network and inputs. Out: `CheckResult`s. One setting is changed at a time; what
the architecture itself refuses with SpecError is not legal and is passed over.
"""

import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Points
from nnft_ppl.activations import Activation
from nnft_ppl.ensemble.model import sample_prior
from nnft_ppl.option import Option, OptionValue
from nnft_ppl.testing.result import CheckResult, exact, plugin_code

_NUM_DRAWS = 2
_FAR = 100.0
_STANDARD_DEVIATIONS: tuple[dict[str, Any], ...] = (
    {"weight_std": 1e-3, "bias_std": 0.0},
    {"weight_std": 10.0, "bias_std": 3.0},
)


def check_declarations(network: Network) -> Iterator[CheckResult]:
    """Texts for people are there, and the reasons given are texts."""
    architecture, hp = network.architecture, network.hyperparameters
    silent = [n for n, option in architecture.options.items() if not option.help]
    if not architecture.description:
        silent.append("description")
    yield exact("texts", f"empty: {silent}", "empty: []", "say what it is, in one line")
    for name in ("no_gp_limit", "unknown_kernel"):
        declared = getattr(architecture, name)
        if declared is not None:
            with plugin_code(network, name):
                reason = declared(hp)
            fine = reason is None or (isinstance(reason, str) and reason != "")
            yield exact(
                name.replace("_", "-") + "-reason",
                "a reason or None" if fine else repr(reason),
                "a reason or None",
            )


def check_extremes(network: Network, points: Points, key: Key) -> Iterator[CheckResult]:
    """No NaN at width 1, extreme standard deviations, far inputs, bounds of options."""
    near = np.concatenate([points[:1], np.zeros_like(points[:1]), points[-1:]])
    yield _finite(network, _FAR * points[-2:], key, "extreme-inputs", "100 × the usual")
    for name, changes in (
        ("extreme-width", ({"width": 1},)),
        ("extreme-standard-deviations", _STANDARD_DEVIATIONS),
        *(
            (
                f"extreme-option-{name}",
                tuple({name: value} for value in _bounds(option)),
            )
            for name, option in network.architecture.options.items()
        ),
    ):
        tried = [
            _finite(changed, near, key, name, _shown(change))
            for change in changes
            if (changed := _changed(network, change)) is not None
        ]
        failed = [row for row in tried if not row.passed]
        yield from failed or tried[:1]


def _bounds(option: Option) -> list[OptionValue]:
    """The values at the edge of what is allowed, other than the default."""
    values: list[OptionValue] = list(option.choices)
    if isinstance(option.default, bool):
        values = [False, True]
    elif isinstance(option.default, (int, float)) and not values:
        kind = type(option.default)
        values = [
            kind(bound)
            for bound in (option.minimum, option.maximum)
            if bound is not None and math.isfinite(bound)
        ]
    return [value for value in values if value != option.default]


def _changed(network: Network, change: dict[str, Any]) -> Network | None:
    """The network with other hyperparameters, `None` where it refuses them."""
    hp = network.hyperparameters
    given = {
        "width": hp.width,
        "output_dim": hp.output_dim,
        "weight_std": hp.weight_std,
        "bias_std": hp.bias_std,
        **hp.options,
    }
    try:
        return Network.build(
            network.architecture, input_dim=network.input_dim, **(given | change)
        )
    except SpecError:
        return None


def _shown(change: dict[str, Any]) -> str:
    return ", ".join(
        f"{k} = {v.name if isinstance(v, Activation) else repr(v)}"
        for k, v in change.items()
    )


def _finite(
    network: Network, points: Points, key: Key, check: str, setting: str
) -> CheckResult:
    """Whether a few draws and the kernel are numbers; `setting` tells people where."""
    shape = network.hyperparameters.input_shape
    bad = set()
    # Not compiled: operations of the same shapes are compiled once for all settings.
    with plugin_code(network, f"{check}` at `{setting}"):
        with jax.enable_x64(False):
            for part in jax.random.split(key, _NUM_DRAWS):
                params = sample_prior(network, part)
                for point in jnp.asarray(points, jnp.float32):
                    value = network.architecture.apply(
                        network.hyperparameters, params, point.reshape(shape)
                    )
                    if not np.isfinite(np.asarray(value)).all():
                        bad.add("outputs")
        if network.has_kernel:
            kernel = network.pair_kernel()
            with jax.enable_x64(True):
                x = jnp.asarray(points)
                values = [float(kernel(a, b)) for a in x for b in x]
            if not np.isfinite(values).all():
                bad.add("kernel")
    return exact(
        check,
        f"{' and '.join(sorted(bad))} not finite" if bad else "finite",
        "finite",
        f"at {setting}",
    )
