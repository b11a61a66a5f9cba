"""Compiling for short runs: programs that are built once and run for seconds.

Every width and every study is a new program, so that compiling is most of the time of a
study. On the CPU the first level of the back end's optimisation halves it, and the
programs run as fast (measured: `benchmarks/compile_time.py`). XLA prefers vectors of
256 bits; with those of 512, where a processor has them, random numbers take half the
time or less. Processors without are not affected.

A program takes megabytes. JAX keeps the last 2048 of a function, gigabytes; here a few
are kept, so that a scan over any number of widths has room.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from inspect import signature
from threading import Lock
from typing import Any

import jax

from nnft_ppl._host import default_device

KEPT_PROGRAMS = 32
"""Of one function: for ten widths, each with the programs of a trial and of the run."""

shared = lru_cache(maxsize=KEPT_PROGRAMS)
"""For what is made of a network: equal ones have one, of the networks last used."""

_OPTIONS: dict[str, dict[str, Any]] = {
    "cpu": {
        "xla_backend_optimization_level": 1,
        "xla_cpu_prefer_vector_width": 512,
    },
    # What is fastest is measured anew by every process, and may give other last bits.
    "gpu": {"xla_gpu_autotune_level": 0},
}


def compiled[**P, T](
    function: Callable[P, T], static_argnames: tuple[str, ...] = ()
) -> Callable[P, T]:
    """`jax.jit` that compiles quickly on the CPU, and to the same program on a GPU.

    Where it compiles for is where arrays are made that are bound to no device.

    Of the programs, one for each value of the static arguments and shapes of the
    others, the `KEPT_PROGRAMS` last used are kept.

    The backend is looked up at the first call, not at import.
    """
    positions: set[int] = set()
    if static_argnames:
        names = list(signature(function).parameters)
        positions = {names.index(name) for name in static_argnames}

    @lru_cache(maxsize=KEPT_PROGRAMS)
    def program(platform: str, *_: object) -> Callable[P, T]:
        # JAX files programs under the function and drops them with it: one for each.
        return jax.jit(
            partial(function),
            static_argnames=static_argnames,
            compiler_options=_OPTIONS.get(platform),
        )

    looking = Lock()  # threads begin together, with the same program

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        static: list[object] = []
        arrays: list[object] = []
        for position, value in enumerate(args):
            (static if position in positions else arrays).append(value)
        for name, value in kwargs.items():
            part = static if name in static_argnames else arrays
            part.append((name, value))
        leaves, tree = jax.tree.flatten(arrays)
        with looking:
            run = program(default_device().platform, *static, tree, *map(_kind, leaves))
        return run(*args, **kwargs)

    return call


def _kind(leaf: object) -> object:
    """What of an argument a program depends on."""
    dtype = getattr(leaf, "dtype", None)
    return type(leaf) if dtype is None else (getattr(leaf, "shape", ()), dtype)
