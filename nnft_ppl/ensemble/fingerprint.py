"""Which network a file is of, told by more than its name: by a few of its values.

In: a network. Out: what files carry of it, and the network again. One that a plugin
supplies is known by name and hyperparameters; any other function can have that name, so
that the file of one that was built by hand holds its values at fixed inputs.
"""

import json
import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._drawn_network import (
    DRAWN,
    NetworkKernel,
    is_drawn,
    kernel_network,
    recorded_drawn_network,
)
from nnft_ppl._errors import NnftError, SpecError
from nnft_ppl._network import Network
from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Key
from nnft_ppl.activations import Activation
from nnft_ppl.architecture import Architecture
from nnft_ppl.ensemble.model import sample_prior
from nnft_ppl.registry import network_from_json, supplied

_NUM_POINTS, _NUM_OUTPUTS = 3, 3
_ROUNDING = 1e-4
"""Of float32 on another machine, relative to the largest value."""


class UncheckedNetworkWarning(UserWarning):
    """Nothing but name and hyperparameters could be compared with a file."""


def network_record(network: Network) -> dict[str, Any]:
    """What a file carries of a network: fields of its provenance, for JSON."""
    told = _is_of_plugin(network) or is_drawn(network)
    values = None if told else list(fingerprint(network))
    record = {"network": json.loads(network.to_json()), "fingerprint": values}
    of_kernel = kernel_network(network)
    if of_kernel is not None:
        record["kernel_of"] = network_record(of_kernel)
    return record


def recorded_network(
    record: Mapping[str, Any], given: Network | None = None
) -> Network:
    """The network of a file: from its plugin, or the one given once it is compared.

    Args:
        record: Of the file, with what `network_record` gave.
        given: The network itself, where no plugin supplies it.

    Raises:
        SpecError: Name, hyperparameters or values differ; or see `network_from_json`.
        PluginError: No plugin supplies it, and none is given.

    Warns:
        UncheckedNetworkWarning: See `check_recorded`.
    """
    if given is None and record["network"]["architecture"] == DRAWN:
        return _recorded_draws(record)
    network = network_from_json(record["network"], given)
    if not is_drawn(network):
        check_recorded(network, record, record["versions"]["jax"])
    return network


def _recorded_draws(record: Mapping[str, Any]) -> Network:
    """With the kernel of a network, where a plugin here supplies that one."""
    kernel = None
    if "kernel_of" in record:
        of_kernel = {**record["kernel_of"], "versions": record["versions"]}
        try:
            kernel = NetworkKernel(recorded_network(of_kernel))
        except NnftError:  # the file has its table too
            kernel = None
    return recorded_drawn_network(record["network"], kernel)


def check_recorded(network: Network, record: Mapping[str, Any], jax_there: str) -> None:
    """Refuse a network of the right name whose values are not those recorded.

    Args:
        network: Its name and hyperparameters are those of the record.
        record: With what `network_record` gave, if it was made by a version that does.
        jax_there: The version of JAX that the values are from.

    Raises:
        SpecError: The values differ.

    Warns:
        UncheckedNetworkWarning: There are no values; or they differ, and so does JAX.
    """
    saved = record.get("fingerprint")
    if saved is None:
        if _is_of_plugin(network):
            return
        saved = _values_of_plugin(record)
    if saved is None:
        _warn(
            f"there are no values of {network!r} on file: name and hyperparameters "
            "agree, and whether the function is the same is left to you"
        )
        return
    ours, theirs = np.array(fingerprint(network)), np.array(saved)
    size = _ROUNDING * np.abs(theirs[np.isfinite(theirs)]).max(initial=0.0)
    if ours.shape == theirs.shape and np.allclose(
        ours, theirs, rtol=0, atol=size, equal_nan=True
    ):
        return
    message = (
        f"the network is not the one on file, though both are {network!r}: a draw of "
        f"it gives {ours.tolist()} at inputs where that on file gave "
        f"{theirs.tolist()}; build it with the code that it was saved with"
    )
    if jax_there == jax.__version__:
        raise SpecError(message)
    _warn(
        f"{message}. Or JAX {jax_there}, which wrote the file, draws other numbers "
        f"than JAX {jax.__version__} does"
    )


def _warn(message: str) -> None:
    warnings.warn(message, UncheckedNetworkWarning, stacklevel=3)


@lru_cache(maxsize=64)
def fingerprint(network: Network) -> tuple[float, ...]:
    """Outputs of one draw, of a fixed key at fixed inputs, to the digits of float32."""
    dim = network.hyperparameters.input_dim
    x = np.cos(1.0 + np.arange(_NUM_POINTS * dim)).reshape(_NUM_POINTS, dim)

    def draw(key: Key, x: jax.Array) -> jax.Array:
        return network.apply(sample_prior(network, key), x)[:, :_NUM_OUTPUTS]

    with jax.enable_x64(False), jax.default_matmul_precision("highest"):
        values = jax.jit(draw)(seed_key(0), jnp.asarray(x, jnp.float32))
    return tuple(float(f"{value:.7g}") for value in np.ravel(values))


def _is_of_plugin(network: Network) -> bool:
    """Whether a plugin here gives the network back by name and hyperparameters."""
    known = supplied(Architecture, network.name)
    return known == network.architecture and not any(
        isinstance(option, Activation)
        for option in network.hyperparameters.options.values()
    )


def _values_of_plugin(record: Mapping[str, Any]) -> list[float] | None:
    """Of the network of that name that a plugin here supplies, if one does."""
    try:
        return list(fingerprint(network_from_json(record["network"])))
    except NnftError:
        return None
