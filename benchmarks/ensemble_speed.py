"""Networks per second through the public API, beside a hand-written JAX loop.

Question: does the NumPyro prior, the plugin contract or the streaming cost anything?
Both draw the same networks of one hidden layer and average the same products of orders
2, 4 and 6 at six inputs. Ours also gives the full covariance of the 609 averages and
the connected correlators; the hand-written loop gives the averages alone. The ratio is
of one run on one machine.

    python benchmarks/ensemble_speed.py [--num-draws 1000000] [--widths 20 100 1000]
"""

import argparse
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

import nnft_ppl as nnft
from nnft_ppl.correlators.symmetric import entries

X = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0])
BLOCK = 16384
CHUNK = 512


def hand_written(width: int) -> Callable[[jax.Array, int], np.ndarray]:
    """(key, number of networks) -> mean products, in plain JAX: jit, vmap, lax.map."""
    x = jnp.asarray(X[:, None], jnp.float32)
    tables = [entries(len(X), order) for order in (2, 4, 6)]

    def network(key: jax.Array) -> jax.Array:
        k1, k2, k3, k4 = jax.random.split(key, 4)
        w0 = jax.random.normal(k1, (1, width))
        b0 = jax.random.normal(k2, (width,))
        w1 = jax.random.normal(k3, (width, 1)) / width**0.5
        return (jax.scipy.special.erf(x @ w0 + b0) @ w1)[:, 0] + jax.random.normal(k4)

    def chunk(key: jax.Array, start: jax.Array) -> jax.Array:
        numbers = start + jnp.arange(CHUNK, dtype=jnp.uint32)
        keys = jax.vmap(lambda j: jax.random.fold_in(key, j))(numbers)
        f = jax.vmap(network, out_axes=-1)(keys)
        return jnp.concatenate(
            [jnp.prod(f[table], axis=1).sum(axis=-1) for table in tables]
        )

    @jax.jit
    def block(key: jax.Array, start: jax.Array) -> jax.Array:
        starts = start + CHUNK * jnp.arange(BLOCK // CHUNK, dtype=jnp.uint32)
        return jax.lax.map(lambda first: chunk(key, first), starts).sum(axis=0)

    def run(key: jax.Array, num_draws: int) -> np.ndarray:
        total = np.zeros(sum(len(table) for table in tables))
        for start in range(0, num_draws, BLOCK):
            total += np.asarray(block(key, jnp.uint32(start)), np.float64)
        return total / num_draws

    return run


def seconds(run: Callable[[], object]) -> float:
    """Wall time of a second call; the first compiles."""
    run()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-draws", type=int, default=61 * BLOCK)
    parser.add_argument("--widths", type=int, nargs="+", default=[20, 100, 1000])
    arguments = parser.parse_args(argv)
    num_draws = arguments.num_draws
    key = jax.random.key(0)
    print("width  estimator      networks/s   ratio to hand-written JAX")
    for width in arguments.widths:
        plain = hand_written(width)
        reference = seconds(lambda run=plain: run(key, num_draws))
        print(f"{width:5d}  hand-written  {num_draws / reference:11,.0f}   1.00")
        net = nnft.network("erf-net", width=width, input_dim=1, bias_std=1.0)
        for estimator in ("moments", "wick", "conditional"):

            def measure(net: nnft.Network = net, estimator: str = estimator) -> None:
                nnft.measure_correlators(
                    net,
                    X,
                    (2, 4, 6),
                    num_draws=num_draws,
                    key=key,
                    estimator=estimator,
                )

            elapsed = seconds(measure)
            print(
                f"{width:5d}  {estimator:12s}  {num_draws / elapsed:11,.0f}   "
                f"{reference / elapsed:.2f}"
            )


if __name__ == "__main__":
    main()
