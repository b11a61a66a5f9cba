"""The 1/width recursion against 10⁶ sampled networks, activation by activation.

Weights and biases are drawn with NumPy and passed through the layers; nothing of the
package but the prediction enters. Given the features of its last layer a network's
output is Gaussian with the random kernel K̂ (theory.md §3), so that G2 = E K̂ and G4c
is a sum of unbiased sample covariances of K̂. At two widths n and 2n, Richardson's
combination 2·(2n G(2n)) − n G(n) cancels the next order in 1/n.

    python benchmarks/recursion.py --networks 1000000
"""

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import combinations_with_replacement

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from nnft_ppl import Activation, Architecture, HiddenLayers, Network, Readout
from nnft_ppl.correlators.deep.recursion import recursion_correlators

INPUTS = np.array([[-1.0], [-0.2], [0.5], [1.0]])
WEIGHT_STD, BIAS_STD = 1.2, 0.5
BATCHES = 50

ACTIVATIONS: dict[str, tuple[Activation, Callable[[np.ndarray], np.ndarray]]] = {
    "tanh": (Activation(name="tanh", function=jnp.tanh), np.tanh),
    "relu": (
        Activation(
            name="relu",
            function=lambda z: jnp.maximum(z, 0.0),
            homogeneity=1,
            kinks=(0.0,),
        ),
        lambda z: np.maximum(z, 0.0),
    ),
    "erf": (
        Activation(name="erf", function=jax.scipy.special.erf),
        scipy.special.erf,
    ),
}


def fully_connected(activation: Activation, widths: tuple[int, ...]) -> Network:
    """A network that gives its hidden layers and is never itself drawn."""
    architecture = Architecture(
        name="fully-connected",
        description="benchmark",
        prior=lambda hp: {},
        apply=lambda hp, params, x: x,
        readout=lambda hp: Readout(
            features=lambda params, x: x,
            weight_std=hp.weight_std,
            bias_std=hp.bias_std,
        ),
        hidden_layers=lambda hp: HiddenLayers(
            covariance=lambda x, y: (
                hp.bias_std**2 + hp.weight_std**2 * jnp.dot(x, y) / x.shape[0]
            ),
            widths=widths,
            activation=activation,
            weight_std=hp.weight_std,
            bias_std=hp.bias_std,
        ),
    )
    return Network.build(
        architecture,
        width=widths[-1],
        input_dim=INPUTS.shape[1],
        weight_std=WEIGHT_STD,
        bias_std=BIAS_STD,
    )


def random_kernels(
    function: Callable[[np.ndarray], np.ndarray],
    widths: tuple[int, ...],
    num_networks: int,
    rng: np.random.Generator,
) -> Iterator[np.ndarray]:
    """K̂ of the output of sampled networks, chunk by chunk: (network, pair)."""
    pairs = np.array(list(combinations_with_replacement(range(len(INPUTS)), 2)))
    left, right = pairs.T
    chunk = max(1, 2_000_000 // max(widths) ** 2)

    def normal(std: float, *shape: int) -> np.ndarray:
        return np.float32(std) * rng.standard_normal(shape, dtype=np.float32)

    for start in range(0, num_networks, chunk):
        size = min(chunk, num_networks - start)
        below = np.broadcast_to(
            INPUTS.T.astype(np.float32), (size, INPUTS.shape[1], len(INPUTS))
        )
        for width in widths:
            fan_in = below.shape[1]
            weights = normal(WEIGHT_STD / fan_in**0.5, size, width, fan_in)
            biases = normal(BIAS_STD, size, width, 1)
            below = function(weights @ below + biases)
        products = np.einsum("npi,npj->nij", below, below, dtype=np.float64)
        kernel = BIAS_STD**2 + WEIGHT_STD**2 / widths[-1] * products
        yield kernel[:, left, right]


def sampled(
    function: Callable[[np.ndarray], np.ndarray],
    widths: tuple[int, ...],
    num_networks: int,
    seed: tuple[int, ...],
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Means over batches of unbiased estimates of G2 and G4c, and standard errors."""
    rng = np.random.default_rng(seed)
    pairs = list(combinations_with_replacement(range(len(INPUTS)), 2))
    at = {pair: i for i, pair in enumerate(pairs)}
    legs = list(combinations_with_replacement(range(len(INPUTS)), 4))
    two, four = [], []
    for _ in range(BATCHES):
        parts = random_kernels(function, widths, num_networks // BATCHES, rng)
        kernel = np.concatenate(list(parts))
        covariance = np.cov(kernel, rowvar=False)
        two.append(kernel.mean(axis=0))
        four.append(
            [
                covariance[at[a, b], at[c, d]]
                + covariance[at[a, c], at[b, d]]
                + covariance[at[a, d], at[b, c]]
                for a, b, c, d in legs
            ]
        )
    return {
        order: (
            np.mean(values, axis=0),
            np.std(values, axis=0, ddof=1) / BATCHES**0.5,
        )
        for order, values in ((2, two), (4, four))
    }


def main() -> None:
    """Print one row an entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--depths", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--activations", nargs="+", default=list(ACTIVATIONS))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    pulls = []
    print(
        "activation depth entry n·G4c:recursion sampled error diff/error "
        f"at n={options.width} at 2n"
    )
    for index, name in enumerate(options.activations):
        activation, function = ACTIVATIONS[name]
        for depth in options.depths:
            start = time.perf_counter()
            n = options.width
            results = [
                sampled(
                    function,
                    (w,) * depth,
                    options.networks,
                    (options.seed, w, depth, index),
                )[4]
                for w in (n, 2 * n)
            ]
            took = time.perf_counter() - start
            predicted = recursion_correlators(
                fully_connected(activation, (n,) * depth), INPUTS
            )
            value = n * predicted.connected(4)
            (one, one_error), (two, two_error) = results
            limit = 4 * n * two - n * one
            error = np.hypot(4 * n * two_error, n * one_error)
            pull = (limit - value) / error
            pulls.append(pull)
            for entry, row in enumerate(predicted.entries(4)):
                print(
                    f"{name} {depth} {''.join(map(str, row))} {value[entry]:.5f} "
                    f"{limit[entry]:.5f} {error[entry]:.5f} {pull[entry]:+.2f} "
                    f"{n * one[entry]:.5f} {2 * n * two[entry]:.5f}",
                    flush=True,
                )
            print(
                f"# {name} depth {depth}: largest |diff/error| "
                f"{np.abs(pull).max():.2f}, rms {np.sqrt(np.mean(pull**2)):.2f}, "
                f"{took:.0f} s for 2 × {options.networks:,} networks",
                flush=True,
            )
    every = np.abs(np.concatenate(pulls))
    print(f"# all: {len(every)} entries, largest {every.max():.2f} standard errors")


if __name__ == "__main__":
    main()
