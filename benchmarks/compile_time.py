"""Compile and run time of one block of networks, by optimisation level of the back end.

Why `nnft_ppl._compile` asks for level 1 on the CPU.

    python benchmarks/compile_time.py
"""

import time

import jax
import jax.numpy as jnp
from numpyro import handlers

import nnft_ppl as nnft

CHUNK = 512
CHUNKS = 32


def main() -> None:
    """Print one line per width and level."""
    x = jnp.array([[0.2], [0.4], [0.6], [0.8], [1.0], [1.2]])
    print("width  level   compile   run of 16384 networks")
    for width in (5, 100, 1000):
        net = nnft.network("relu-net", width=width, input_dim=1)

        def block(key: jax.Array, net: nnft.Network = net) -> jax.Array:
            keys = jax.random.split(key, (CHUNKS, CHUNK))
            draw = jax.vmap(lambda k: net.apply(handlers.seed(net.prior, k)(), x))
            return jax.lax.map(draw, keys)

        for level in (3, 1, 0):
            options = {"xla_backend_optimization_level": level}
            lowered = jax.jit(block, compiler_options=options).lower(jax.random.key(0))
            start = time.perf_counter()
            program = lowered.compile()
            compiled = time.perf_counter()
            jax.block_until_ready(program(jax.random.key(0)))
            warm = time.perf_counter()
            jax.block_until_ready(program(jax.random.key(0)))
            run = time.perf_counter() - warm
            print(f"{width:5d}  {level:5d}  {compiled - start:6.2f} s  {run:7.3f} s")


if __name__ == "__main__":
    main()
