"""What an accelerator gives, in one run of under five minutes, and how far we are off.

`python benchmarks/accelerator.py` on the machine that has it; `--quick` with small
sizes, which a CPU does in minutes. Ceilings come first: bare normal numbers of our
generator and of `jax.random`, memory, float32 products. Then networks beside what binds
them, kernels and a fit.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import nnft_ppl as nnft
from nnft_ppl.correlators.sampled.bare_normals import (
    fused_normals,
    jax_normals,
    num_normals,
    steps_that_last,
)
from nnft_ppl.ensemble.device_sizes import sizes_of
from nnft_ppl.ensemble.generator import stream_words
from nnft_ppl.inference.couplings import nuts

KEY = jax.random.key(0, impl="threefry2x32")
X = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0])
REPEATS = 3


def fastest(work: Callable[[], Any]) -> float:
    """Seconds of the fastest of some, after one that compiles."""
    jax.block_until_ready(work())
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        jax.block_until_ready(work())
        times.append(time.perf_counter() - begun)
    return min(times)


def row(what: str, value: str, beside: str = "") -> None:
    """One line of the table, at once."""
    print(f"{what:52s} {value:>18s}   {beside}", flush=True)


def ceilings(quick: bool) -> tuple[float, float]:
    """Print them; normals and float32 operations a second."""
    words, sizes = stream_words(KEY, 0), sizes_of(jax.local_devices()[0])
    steps = steps_that_last(words, sizes)
    number = num_normals(steps, sizes)
    ours = number / fastest(lambda: fused_normals(words, steps, sizes, 0))
    row("bare normals, our generator", f"{ours / 1e9:.2f} G/s")
    theirs = number / fastest(lambda: jax_normals(KEY, steps, number // steps))
    row("bare normals, jax.random", f"{theirs / 1e9:.2f} G/s", f"{theirs / ours:.2f}")

    size = 1 << (22 if quick else 30)
    array = jnp.ones(size, jnp.float32)
    add = jax.jit(lambda a: a + 1)
    moved = 8 * size / fastest(lambda: add(array))
    row("memory, read and written", f"{moved / 1e9:.0f} GB/s")

    side = 512 if quick else 8192
    square = jnp.ones((side, side), jnp.float32)
    for precision in ("default", "highest"):
        multiply = jax.jit(partial(jnp.matmul, precision=precision))
        rate = 2 * side**3 / fastest(partial(multiply, square, square))
        row(f"float32 products, precision {precision}", f"{rate / 1e12:.2f} TFLOP/s")
    return ours, rate


def measured(
    network: Any, x: Any, orders: Any, estimator: str, seconds: float
) -> float:
    """Networks a second, end to end, of a second call that takes about so long."""

    def rate(num_draws: int) -> float:
        def work() -> Any:
            return nnft.measure_correlators(
                network, x, orders, num_draws=num_draws, key=KEY, estimator=estimator
            )

        work()
        begun = time.perf_counter()
        work()
        return num_draws / (time.perf_counter() - begun)

    num_draws, found = 1 << 12, 0.0
    while True:
        found = rate(num_draws)
        if num_draws / found > seconds / 4 or num_draws >= 1 << 36:
            return found
        num_draws *= 8


def networks(normals: float, products: float, quick: bool) -> None:
    """The tables of networks."""
    seconds = 0.05 if quick else 2.0
    for estimator in ("conditional", "moments", "wick"):
        for width in (20, 100) if quick else (20, 100, 1000):
            net = nnft.network("erf-net", width=width, input_dim=1, bias_std=1.0)
            rate = measured(net, X, (2, 4, 6), estimator, seconds)
            # A unit's preactivations have rank 2: weight and bias.
            used = rate * 2 * width / normals
            row(
                f"erf-net, width {width}, {estimator}",
                f"{rate / 1e6:.3f} M/s",
                f"{used:.2f} of the bare normals",
            )
    generator = np.random.default_rng(0)
    width = 16 if quick else 64
    deep = nnft.network("mlp", width=width, depth=3, input_dim=64, bias_std=1.0)
    x = generator.normal(size=(4, 64))
    rate = measured(deep, x, (2, 4), "auto", seconds)
    weights = 64 * width + 2 * width**2
    row(
        f"mlp, depth 3, width {width}, four inputs of 64",
        f"{rate / 1e6:.4f} M/s",
        f"{rate * weights / normals:.2f} of the normals, "
        f"{rate * 2 * 4 * weights / products:.3f} of the products",
    )
    side = 4 if quick else 8
    images = nnft.network("conv-net", width=width, input_dim=(side, side, 1))
    x = generator.normal(size=(4, side * side))
    rate = measured(images, x, (2, 4), "auto", seconds)
    row(f"conv-net, {side} x {side}, width {width}", f"{rate / 1e3:.2f} k/s")


def kernels_and_fits(quick: bool) -> None:
    """What is in double precision."""
    number = 200 if quick else 2000
    net = nnft.network("mlp", width=10, depth=3, input_dim=3, bias_std=1.0)
    x = np.random.default_rng(1).normal(size=(number, 3))
    row(f"kernel, {number} inputs, depth 3", f"{fastest(lambda: net.kernel(x)):.3f} s")
    exact = nnft.exact_correlators(
        nnft.network("relu-net", width=20, input_dim=1), X[3:], (2, 4)
    )
    cutoffs = np.geomspace(10, 1000, 3 if quick else 21).tolist()
    steps = 50 if quick else 500

    def fit() -> Any:
        return nnft.fit_couplings(
            exact,
            nnft.Action(["lambda_0"]),
            cutoffs,
            key=KEY,
            num_warmup=steps,
            num_samples=steps,
        ).dimensionless

    for what, where in (("on the host", nuts.on_host), ("on the device", nullcontext)):
        nuts.on_host = where
        fit()
        begun = time.perf_counter()
        fit()
        took = time.perf_counter() - begun
        row(f"NUTS over {len(cutoffs)} cutoffs, {what}", f"{took:.2f} s")


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    quick = parser.parse_args().quick
    begun = time.perf_counter()
    row("device", jax.local_devices()[0].device_kind, jax.default_backend())
    normals, products = ceilings(quick)
    networks(normals, products, quick)
    kernels_and_fits(quick)
    row("all of it", f"{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
