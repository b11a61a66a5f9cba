"""Gradient descent of many networks, beside a vmapped loop written by hand.

    python benchmarks/training_speed.py [--num-draws 10000] [--steps 1000]

relu-net of width 100, 20 data of one dimension. The loop holds all networks at once, as
one would first write it. Both end near the same losses, which are printed.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

import nnft_ppl as nnft

WIDTH, RATE = 100, 0.01
X = np.linspace(-1.0, 1.0, 20)
Y = np.sin(3 * X)


def ours(num_draws: int, steps: int) -> float:
    """Mean loss after training."""
    net = nnft.network("relu-net", width=WIDTH, input_dim=1, bias_std=1.0)
    found = nnft.train_ensemble(
        net,
        X,
        Y,
        [-0.5, 0.3],
        times=[steps],
        num_draws=num_draws,
        key=jax.random.key(0),
        method="gradient_descent",
        learning_rate=RATE,
        orders=(2,),
    )
    return float(found.losses.mean())


def by_hand(num_draws: int, steps: int) -> float:
    """The same of the same prior."""
    x, y = jnp.asarray(X, jnp.float32)[:, None], jnp.asarray(Y, jnp.float32)

    def loss(params: list[jax.Array]) -> jax.Array:
        weights, biases, readout, bias = params
        hidden = jax.nn.relu(x @ weights + biases)
        return jnp.sum(((hidden @ readout)[:, 0] / WIDTH**0.5 + bias - y) ** 2) / 2

    def train(key: jax.Array) -> jax.Array:
        shapes = ((1, WIDTH), (WIDTH,), (WIDTH, 1), ())
        keys = jax.random.split(key, len(shapes))
        drawn = [jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True)]

        def step(_: int, params: list[jax.Array]) -> list[jax.Array]:
            slopes = jax.grad(loss)(params)
            return [p - RATE * s for p, s in zip(params, slopes, strict=True)]

        return loss(jax.lax.fori_loop(0, steps, step, drawn))

    keys = jax.random.split(jax.random.key(1), num_draws)
    return float(jax.jit(jax.vmap(train))(keys).mean())


def main() -> None:
    """Print seconds of both, compiling included, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-draws", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=1000)
    given = parser.parse_args()
    seconds = {}
    for name, run in (("ours", ours), ("by hand", by_hand)):
        begun = time.perf_counter()
        loss = run(given.num_draws, given.steps)
        seconds[name] = time.perf_counter() - begun
        print(f"{name:8} {seconds[name]:6.1f} s   mean loss {loss:.4f}", flush=True)
    print(f"by hand over ours: {seconds['by hand'] / seconds['ours']:.1f}")


if __name__ == "__main__":
    main()
