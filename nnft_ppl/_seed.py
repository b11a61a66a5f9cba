"""From a seed to a key, whatever generator JAX was told to make keys of."""

import jax

from nnft_ppl._typing import Key


def seed_key(seed: int) -> Key:
    """The threefry key of a seed; under JAX_DEFAULT_PRNG_IMPL=rbg too."""
    return jax.random.key(seed, impl="threefry2x32")
