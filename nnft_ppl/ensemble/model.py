"""From a NumPyro prior to a pure function of a key, and from one key to network j.

In: a `Network`. Out: functions that JAX can jit and vmap. NumPyro's handlers run while
JAX traces, once; nothing of them remains in the compiled program.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from nnft_ppl._arguments import check_choice, check_number
from nnft_ppl._errors import PluginError, SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Key, Params, Points
from nnft_ppl.ensemble.device_sizes import DeviceSizes
from nnft_ppl.ensemble.generator import Words, stream_words
from nnft_ppl.ensemble.generator_names import GENERATORS, ROUNDS
from nnft_ppl.ensemble.normal_sites import (
    FillNormals,
    plugin_prior,
    site_normals,
    trace_normal_sites,
)

MAX_DRAWS = 2**53
"""Networks are numbered by two 32-bit words; their number is exact in float64."""


def check_key(key: Key) -> Key:
    """The key, typed.

    Raises:
        SpecError: Not a single threefry key. Other generators give draws that depend on
            how the work is batched.
    """
    if not isinstance(key, jax.Array):
        raise SpecError(
            f"`key` is {key!r}; expected a JAX random key such as jax.random.key(0)"
        )
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if key.dtype != jnp.uint32 or key.shape != (2,):
            raise SpecError(
                f"`key` is an array {key.dtype}{list(key.shape)}; expected a JAX "
                "random key such as jax.random.key(0, impl='threefry2x32')"
            )
        key = jax.random.wrap_key_data(key, impl="threefry2x32")
    if key.shape != ():
        raise SpecError(f"`key` has shape {key.shape}; expected a single key")
    if str(jax.random.key_impl(key)) != "threefry2x32":
        raise SpecError(
            f"`key` uses the generator {jax.random.key_impl(key)}; expected "
            "threefry2x32, whose draws do not depend on batching: make it with "
            "jax.random.key(seed, impl='threefry2x32'), or unset "
            "JAX_DEFAULT_PRNG_IMPL if that is set"
        )
    return key


def check_num_draws(num_draws: int, minimum: int = 1) -> int:
    """`num_draws` as an int, or SpecError."""
    whole = check_number(  # 1e6 is one
        "num_draws",
        num_draws,
        lambda n: minimum <= n <= MAX_DRAWS and n == int(n),
        f"a whole number from {minimum} to {MAX_DRAWS}",
    )
    return int(whole)


def narrow_inputs(points: Points) -> Points:
    """The inputs in float32, the precision of sampling, equal ones included.

    Raises:
        SpecError: An input overflows or becomes 0.
    """
    with np.errstate(over="ignore"):
        narrow = points.astype(np.float32)
    vanished = (narrow == 0).all(axis=1) & (points != 0).any(axis=1)
    bad = np.flatnonzero(~np.isfinite(narrow).all(axis=1) | vanished)
    if bad.size:
        raise SpecError(
            f"input {points[bad[0]].tolist()} is beyond float32, in which networks are "
            "sampled; rescale the inputs"
        )
    return narrow


def sampling_inputs(points: Points) -> Points:
    """The inputs in float32, the precision of sampling.

    Raises:
        SpecError: An input overflows or becomes 0, or two that differ become one.
    """
    narrow = narrow_inputs(points)
    if len(np.unique(narrow, axis=0)) < len(narrow):
        raise SpecError(
            "two inputs are equal in float32, in which networks are sampled; move them "
            "apart or use exact_correlators"
        )
    return narrow


def sample_prior(network: Network, key: Key) -> Params:
    """Parameters of the one network that `key` stands for; pure, for jit and vmap."""
    return handlers.seed(plugin_prior(network), key)()


def check_prior(network: Network) -> None:
    """Run the prior abstractly, without computing anything.

    Raises:
        PluginError: The prior does not run under NumPyro.
    """

    def sample(key: Key) -> Params:
        return sample_prior(network, key)

    try:
        # The trace handler refuses what seeding alone lets pass, such as two sites of
        # one name.
        jax.eval_shape(handlers.trace(sample), seed_key(0))
    except UnavailableError:  # there is nothing to draw
        raise
    except Exception as error:
        raise PluginError(
            f"the prior of architecture {network.name!r} does not run under NumPyro: "
            f"{type(error).__name__}: {error}"
        ) from error


class Stream(NamedTuple):
    """The random numbers of networks high·2³² … (high+1)·2³² − 1; a pytree.

    Attributes:
        words: For `ensemble.generator`.
        key: For `jax.random`.
    """

    words: tuple[Words, Words]
    key: Key


def stream_at(key: Key, start: int) -> tuple[Stream, np.uint32]:
    """The stream that holds network `start`, and its number there."""
    high, low = divmod(start, 1 << 32)
    folded = key
    if high:
        words = np.array(stream_words(key, high | 1 << 31), np.uint32)
        folded = jax.random.wrap_key_data(jnp.asarray(words), impl="threefry2x32")
    return Stream(stream_words(key, high), folded), np.uint32(low)


def network_keys(key: Key, start: jax.Array, count: int) -> Key:
    """Keys of networks start … start+count−1: network j is a function of (key, j)."""
    return numbered_keys(key, start + jnp.arange(count, dtype=jnp.uint32))


def numbered_keys(key: Key, numbers: jax.Array | np.ndarray) -> Key:
    """Keys of the networks of any numbers, uint32."""
    return jax.vmap(lambda j: jax.random.fold_in(key, j))(numbers)


def over_networks(
    network: Network,
    function: Callable[[Params], jax.Array],
    stream: Stream,
    start: jax.Array,
    count: int,
    generator: str,
    sizes: DeviceSizes,
) -> jax.Array:
    """function(parameters) of networks start … start+count−1, networks last.

    Args:
        network: Whose prior is sampled.
        function: Of one network's parameters, for JAX to vectorise.
        stream: From `stream_at`.
        start: First network's number in the stream, uint32.
        count: Number of networks.
        generator: One of `GENERATORS`.
        sizes: Of the device.
    """
    numbers = start + jnp.arange(count, dtype=jnp.uint32)
    return over_numbers(
        network, lambda _, params: function(params), stream, numbers, generator, sizes
    )


def over_numbers(
    network: Network,
    function: Callable[[Network, Params], jax.Array],
    stream: Stream,
    numbers: jax.Array,
    generator: str,
    sizes: DeviceSizes,
    scales: Mapping[str, jax.Array] = MappingProxyType({}),
) -> jax.Array:
    """function(network, parameters) of the networks of any numbers, networks last.

    Args:
        network: Whose prior is sampled.
        function: Of one network, for JAX to vectorise.
        stream: From `stream_at`.
        numbers: Of networks in the stream, uint32, one axis.
        generator: One of `GENERATORS`.
        sizes: Of the device.
        scales: `weight_std`, `bias_std` where networks differ in them, along one axis.
    """
    keys = numbered_keys(stream.key, numbers)
    normals = {}
    if generator in ROUNDS:
        for site in trace_normal_sites(network):
            normals[site.name] = site_normals(
                stream.words, numbers, site, sizes, rounds=ROUNDS[generator]
            )

    def one(
        key: Key, normals: dict[str, jax.Array], scales: dict[str, jax.Array]
    ) -> jax.Array:
        scaled = rescaled(network, scales)
        prior = FillNormals(plugin_prior(scaled), normals)
        return function(scaled, handlers.seed(prior, key)())

    # Some accelerators round the factors of a product to ten bits, and show it.
    with jax.default_matmul_precision("highest"):
        return jax.vmap(one, out_axes=-1)(keys, normals, dict(scales))


def rescaled(network: Network, scales: Mapping[str, Any]) -> Network:
    """The network with other `weight_std`, `bias_std`; in a trace they may be traced.

    One with traced scales serves for its functions alone: it has no hash.
    """
    if not scales:
        return network
    return replace(network, hyperparameters=replace(network.hyperparameters, **scales))


def numbers_per_network(network: Network) -> int:
    """Numbers that the prior of one network returns."""
    params = jax.eval_shape(lambda key: sample_prior(network, key), seed_key(0))
    sizes: list[int] = [math.prod(leaf.shape) for leaf in jax.tree.leaves(params)]
    return max(1, sum(sizes))


def check_generator(generator: str) -> None:
    """Raise SpecError unless it is one of `GENERATORS`."""
    check_choice("generator", generator, GENERATORS)
