"""Normal numbers from a counter: fused, vectorised, the same whatever the batching.

The numbers of network j at an element e are a function of (stream, j, e) alone: the two
words of a threefry-2x32 block, the cipher of `jax.random`, through the transform of Box
and Muller. How many rounds the cipher has goes by the generator's name: `ROUNDS` in
`generator_names.py`. All of it is arithmetic that a compiler keeps in vector registers:
no table, no rejection, no inverse error function.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3"
(2011); Box and Muller (1958).
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._typing import Key

type Words = Any
"""uint32 array of NumPy or JAX; what comes out is of the same library."""

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA
_STREAM_TAG = 0x6E6E6674
"""First counter word of streams; that of keys folded or split from a key is 0."""
_STREAM_ROUNDS = 20
"""Those of JAX's keys, which streams are not to meet; of every generator."""

# Of sin(πt/2)/t and cos(πt/2) in t² on [0, 1], and of log(1+t)/t on [√½−1, √2−1]:
# least squares at Chebyshev nodes, absolute errors 3e-11, 3e-10 and 1e-8.
_SINE = (
    1.5707963267681448,
    -0.6459640955780585,
    0.07969260371703597,
    -0.004681657795342459,
    0.00016025469085736483,
    -3.4318292308236183e-06,
)
_COSINE = (
    0.9999999997799044,
    -1.2337005342697016,
    0.2536693224722314,
    -0.020862687547559492,
    0.00091772388197674,
    -2.3824535450287005e-05,
)
_LOGARITHM = (
    0.9999999742674379,
    -0.4999998703228478,
    0.33334183338524387,
    -0.25002153460953547,
    0.19956977483056726,
    -0.16560695992158475,
    0.14949095476431734,
    -0.14377330566463936,
    0.08743945350094412,
)
_SQRT_HALF_BITS = 0x3F3504F3
"""√½ as float32, so that mantissas come out between √½ and √2."""


def stream_words(key: Key, high: int) -> tuple[np.uint32, np.uint32]:
    """The stream of networks high·2³² … (high+1)·2³² − 1.

    Args:
        key: A threefry key.
        high: Upper half of the networks' numbers, below 2³².
    """
    words = np.asarray(jax.random.key_data(key), np.uint32)
    first, second = threefry(
        (words[:1], words[1:]),
        np.array([_STREAM_TAG], np.uint32),
        np.array([high], np.uint32),
        rounds=_STREAM_ROUNDS,
    )
    return first[0], second[0]


@np.errstate(over="ignore")  # NumPy warns where scalars, unlike arrays, wrap around
def threefry(
    stream: tuple[Words, Words], first: Words, second: Words, *, rounds: int
) -> tuple[Words, Words]:
    """Threefry-2x32: two uint32 words a counter, broadcast.

    Args:
        stream: The key's two words.
        first: First counter word.
        second: Second counter word.
        rounds: How often the words are mixed.

    Source: Salmon et al. (2011), section 3.2.
    """
    keys = (*stream, stream[0] ^ stream[1] ^ np.uint32(_PARITY))
    x, y = first + keys[0], second + keys[1]
    for done in range(1, rounds + 1):
        rotation = _ROTATIONS[(done - 1) % len(_ROTATIONS)]
        x = x + y
        y = (y << np.uint32(rotation)) | (y >> np.uint32(32 - rotation))
        y = x ^ y
        turn, since = divmod(done, 4)
        if not since:
            x = x + keys[turn % 3]
            y = y + (keys[(turn + 1) % 3] + np.uint32(turn))
    return x, y


def normal_pairs(
    stream: tuple[Words, Words], network: Words, element: Words, *, rounds: int
) -> tuple[jax.Array, jax.Array]:
    """Two independent standard normal numbers for each network and element, float32.

    The radius √(−2 log u) has u = (2i + 1)/2³¹ for i below 2³⁰, so that numbers reach
    ±6.55; the angle has 31 bits and a sign.

    Args:
        stream: From `stream_words`.
        network: Numbers of networks less high·2³², uint32.
        element: Which pair of numbers of a network, uint32; shapes broadcast.
        rounds: Of the cipher, from `ROUNDS`.
    """
    # One complex array: XLA on the CPU makes one array a loop, and of two it would
    # compute the cipher twice. The barriers keep users from computing it again, and
    # from taking it apart again.
    sine, cosine = free_normal_pairs(stream, network, element, rounds=rounds)
    pair = jax.lax.optimization_barrier(jax.lax.complex(sine, cosine))
    parts: tuple[jax.Array, jax.Array] = jax.lax.optimization_barrier(
        (pair.real, pair.imag)
    )
    return parts


def free_normal_pairs(
    stream: tuple[Words, Words], network: Words, element: Words, *, rounds: int
) -> tuple[jax.Array, jax.Array]:
    """What `normal_pairs` gives, without a barrier: a compiler may fuse it with users.

    Arguments as there.
    """
    first, second = threefry(stream, network, element, rounds=rounds)
    radius = jnp.sqrt(_minus_two_log(first))
    # A quarter turn to either side, t in [−1, 1), and a sign for the half turn.
    turn = (second << np.uint32(1)).astype(jnp.int32).astype(jnp.float32)
    turn = turn * np.float32(2.0**-31)
    squared = turn * turn
    cosine = radius * _polynomial(_COSINE, squared)
    sine = radius * (turn * _polynomial(_SINE, squared))
    sign = second & np.uint32(1 << 31)
    bits = jax.lax.bitcast_convert_type(cosine, jnp.uint32) ^ sign
    return sine, jax.lax.bitcast_convert_type(bits, jnp.float32)


def _minus_two_log(word: jax.Array) -> jax.Array:
    """−2 log u ≥ 0 for u = (2⌊word/4⌋ + 1)/2³¹."""
    odd = (word >> np.uint32(1)).astype(jnp.int32) | 1
    bits = jax.lax.bitcast_convert_type(odd.astype(jnp.float32), jnp.int32)
    exponent = (bits - _SQRT_HALF_BITS) >> 23
    mantissa = jax.lax.bitcast_convert_type(bits - (exponent << 23), jnp.float32)
    rest = mantissa - np.float32(1)
    whole = (31 - exponent).astype(jnp.float32) * np.float32(2 * np.log(2))
    fraction = rest * _polynomial([-2 * c for c in _LOGARITHM], rest)
    return jnp.maximum(whole + fraction, np.float32(0))


def _polynomial(coefficients: Sequence[float], x: jax.Array) -> jax.Array:
    """Σ c_i x^i by Horner's rule, in float32."""
    value: Any = np.float32(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value = value * x + np.float32(coefficient)
    result: jax.Array = value
    return result
