"""Whether a parameter is what its site holds, alone and under a plate.

In: a network and a key. Out: `CheckResult`s. What NumPyro gives by the names of sites,
posterior samples above all, goes into `Network.apply`, which must find its parameters
there.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro import handlers

from nnft_ppl._network import Network
from nnft_ppl._parameters import parameters_by_name
from nnft_ppl._typing import Key, Params
from nnft_ppl.testing.result import CheckResult, exact, plugin_code

_PLATE = 3
_TOLERANCE = 1e-5
"""Relative, for what a prior computes from its sites: float32 in another order."""


def check_parameters(network: Network, key: Key) -> Iterator[CheckResult]:
    """The law of the sites, and what a plate does to them."""
    with plugin_code(network, "prior-parameters"):
        params, trace = _traced(network, key)
    wrong = [
        _difference(name, leaf, trace.get(name))
        for name, leaf in parameters_by_name(params).items()
    ]
    yield exact(
        "prior-parameters",
        ", ".join(filter(None, wrong)) or "those of the sites",
        "those of the sites",
        "the site of a parameter has its name, joined by dots in a nested pytree, and "
        "holds it as it is: sample Normal(0, std), not std times Normal(0, 1), and "
        "record with numpyro.deterministic what is computed from other sites",
    )
    with plugin_code(network, "prior-plates"):
        different = _changed_by_a_plate(network, key)
    yield exact(
        "prior-plates",
        ", ".join(different) or "one network for each place",
        "one network for each place",
        f"under a plate of {_PLATE} a site has one axis more, in front, which what the "
        "prior computes from it must keep: count axes from the end, as in "
        "scale[..., None]",
    )


def _traced(network: Network, key: Key) -> tuple[Params, Mapping[str, Any]]:
    """Parameters of one network, and the sites that they came from."""
    traced = handlers.trace(handlers.seed(network.prior, key))
    return traced(), traced.trace


def _difference(name: str, leaf: Any, site: Mapping[str, Any] | None) -> str:
    """How a parameter differs from its site; empty where it does not."""
    if site is None or site["type"] not in ("sample", "deterministic"):
        return f"{name} has no site"
    value, found = np.asarray(site["value"]), np.asarray(leaf)
    if value.shape != found.shape:
        return f"{name} has shape {found.shape} and its site {value.shape}"
    if np.array_equal(value, found):
        return ""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = found / value
    if ratio.size and np.isclose(ratio, ratio.flat[0], rtol=_TOLERANCE).all():
        return f"{name} is {ratio.flat[0]:.4g} times its site"
    return f"{name} is not what its site holds"


def _changed_by_a_plate(network: Network, key: Key) -> list[str]:
    """Parameters under a plate that are not those of one network at a time."""
    traced = handlers.trace(handlers.seed(network.prior, key))
    with numpyro.plate("networks", _PLATE):
        together = parameters_by_name(traced())
    drawn = {n: s["value"] for n, s in traced.trace.items() if s["type"] == "sample"}

    def alone(place: int) -> dict[str, Any]:
        data = {name: value[place] for name, value in drawn.items()}
        seeded = handlers.seed(network.prior, key)
        return parameters_by_name(handlers.substitute(seeded, data=data)())

    apart = [alone(place) for place in range(_PLATE)]
    changed = []
    for name, leaf in together.items():
        expected = np.stack([params[name] for params in apart])
        if jnp.shape(leaf) != expected.shape:
            changed.append(f"{name} has shape {jnp.shape(leaf)}, not {expected.shape}")
        elif not np.allclose(leaf, expected, rtol=_TOLERANCE, equal_nan=True):
            changed.append(f"{name} mixes networks")
    return changed
