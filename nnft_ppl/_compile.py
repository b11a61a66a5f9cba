"""Compiling for short runs: programs that are built once and run for seconds.

Every width and every study is a new program, so that compiling is most of the time of a
study. On the CPU the first level of the back end's optimisation halves it, and the
programs run as fast (measured: `benchmarks/compile_time.py`). XLA prefers vectors of
256 bits; with those of 512, where a processor has them, random numbers take half the
time or less. Processors without are not affected.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax

_CPU_OPTIONS = {
    "xla_backend_optimization_level": 1,
    "xla_cpu_prefer_vector_width": 512,
}


def compiled[**P, T](
    function: Callable[P, T], static_argnames: tuple[str, ...] = ()
) -> Callable[P, T]:
    """`jax.jit` that compiles quickly on the CPU and as usual elsewhere.

    The backend is looked up at the first call, not at import.
    """

    @cache
    def program() -> Callable[P, T]:
        options: dict[str, Any] | None = (
            _CPU_OPTIONS if jax.default_backend() == "cpu" else None
        )
        return jax.jit(
            function, static_argnames=static_argnames, compiler_options=options
        )

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return program()(*args, **kwargs)

    return call
