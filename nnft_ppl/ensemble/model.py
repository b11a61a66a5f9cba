"""From a NumPyro prior to a pure function of a key, and from one key to network j.

In: a `Network`. Out: functions that JAX can jit and vmap. NumPyro's handlers run while
JAX traces, once; nothing of them remains in the compiled program.
"""

from numbers import Real

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers

from nnft_ppl._errors import PluginError, SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key, Params, Points

MAX_DRAWS = 2**31
"""Networks are numbered by one 32-bit word; half of it, so that no block wraps."""


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
                "random key such as jax.random.key(0)"
            )
        key = jax.random.wrap_key_data(key, impl="threefry2x32")
    if key.shape != ():
        raise SpecError(f"`key` has shape {key.shape}; expected a single key")
    if str(jax.random.key_impl(key)) != "threefry2x32":
        raise SpecError(
            f"`key` uses the generator {jax.random.key_impl(key)}; expected "
            "threefry2x32, whose draws do not depend on batching"
        )
    return key


def check_num_draws(num_draws: int, minimum: int = 1) -> int:
    """`num_draws` as an int, or SpecError."""
    if (
        not isinstance(num_draws, Real)
        or isinstance(num_draws, bool)
        or not minimum <= num_draws <= MAX_DRAWS
        or num_draws != int(num_draws)
    ):
        raise SpecError(
            f"`num_draws` is {num_draws!r}; expected a whole number from {minimum} to "
            f"{MAX_DRAWS}"
        )
    return int(num_draws)


def sampling_inputs(points: Points) -> Points:
    """The inputs in float32, the precision of sampling.

    Raises:
        SpecError: An input overflows, or two that differ in float64 become one.
    """
    with np.errstate(over="ignore"):
        narrow = points.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(narrow).all(axis=1))
    if bad.size:
        raise SpecError(
            f"input {points[bad[0]].tolist()} is beyond float32, in which networks are "
            "sampled; rescale the inputs"
        )
    if len(np.unique(narrow, axis=0)) < len(narrow):
        raise SpecError(
            "two inputs are equal in float32, in which networks are sampled; move them "
            "apart or use exact_correlators"
        )
    return narrow


def sample_prior(network: Network, key: Key) -> Params:
    """Parameters of the one network that `key` stands for; pure, for jit and vmap."""
    return handlers.seed(network.prior, key)()


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
        jax.eval_shape(handlers.trace(sample), jax.random.key(0))
    except Exception as error:
        raise PluginError(
            f"the prior of architecture {network.name!r} does not run under NumPyro: "
            f"{type(error).__name__}: {error}"
        ) from error


def network_keys(key: Key, start: jax.Array, count: int) -> Key:
    """Keys of networks start … start+count−1: network j is a function of (key, j)."""
    numbers = start + jnp.arange(count, dtype=jnp.uint32)
    return jax.vmap(lambda j: jax.random.fold_in(key, j))(numbers)
