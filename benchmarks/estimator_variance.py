"""Variance of the three estimators, for every architecture that is installed.

How many times fewer networks an estimator needs than plain products of outputs for the
same standard error: the variance of the plain 4- and 6-pt functions over that of the
Wick-ordered and of the conditional connected ones, the median over the entries of two
inputs. `auto` names what `estimator="auto"` takes. A star marks numbers that rest on a
few networks of a heavy tail: take them for a lower bound.

    python benchmarks/estimator_variance.py [WIDTH [NUM_DRAWS]]
"""

import sys
from collections.abc import Iterator

import jax
import numpy as np

import nnft_ppl as nnft

ORDERS = (4, 6)
SHAPES = {"attention": (4, 1), "conv-net": (5, 1)}
"""Of inputs that are no plain numbers."""
VARIANTS = {
    "mlp": (
        {},
        {"activation": "tanh", "depth": 3},
        {"weight_law": "laplace"},
        {"weight_law": "uniform", "depth": 1},
    ),
    "cos-net": ({}, {"amplitude_exponent": 0.3}),
    "correlated-net": ({}, {"correlation": 0.0}),
}
"""Options beside the defaults; the defaults alone for any other architecture."""


def networks(width: int) -> Iterator[tuple[str, nnft.Network]]:
    """Every installed architecture at its options of interest, with a label."""
    for name, architecture in nnft.architectures().items():
        if 1 not in architecture.suggested_inputs and name not in SHAPES:
            print(f"{name}: no inputs known, left out")
            continue
        for options in VARIANTS.get(name, ({},)):
            network = nnft.network(
                name,
                width=width,
                input_dim=SHAPES.get(name, 1),
                bias_std=0.5,
                **options,
            )
            label = " ".join([name, *(f"{k}={v}" for k, v in options.items())])
            yield label, network


def two_inputs(network: nnft.Network) -> np.ndarray:
    """The third and the last of the suggested ones; for shapes, normal numbers."""
    dim = network.hyperparameters.input_dim
    suggested = network.architecture.suggested_inputs.get(dim, [])
    if dim == 1:
        return np.array(suggested)[[2, -1]]
    return np.random.default_rng(0).normal(size=(2, dim))


def variances(
    network: nnft.Network, estimator: str, num_draws: int
) -> dict[int, tuple[np.ndarray, bool]]:
    """Order -> variance of each entry, and whether a heavy tail dominates one."""
    found = nnft.measure_correlators(
        network,
        two_inputs(network),
        ORDERS,
        num_draws=num_draws,
        key=jax.random.key(0),
        estimator=estimator,
    )
    error = found.error if estimator == "moments" else found.connected_error
    return {k: (error(k) ** 2, bool(found.heavy_tailed(k).any())) for k in ORDERS}


def main(width: int = 20, num_draws: int = 100_000) -> None:
    """Print one line per network."""
    print(f"width {width}, {num_draws:,} networks; plain variance over that of")
    print(f"{'':36}{'4-pt wick':>10}{'conditional':>13}{'6-pt wick':>12}", end="")
    print(f"{'conditional':>13}  auto")
    for label, network in networks(width):
        plain = variances(network, "moments", num_draws)
        auto = nnft.measure_correlators(
            network, two_inputs(network), 2, num_draws=100, key=jax.random.key(0)
        ).estimator
        cells = {}
        for estimator in ("wick", "conditional"):
            try:
                found = variances(network, estimator, num_draws)
            except nnft.UnavailableError:
                continue
            for order, (variance, heavy) in found.items():
                ratio = float(np.median(plain[order][0] / variance))
                star = "*" if heavy or plain[order][1] else ""
                cells[order, estimator] = f"{ratio:.3g}{star}"
        row = [cells.get((k, e), "-") for k in ORDERS for e in ("wick", "conditional")]
        print(f"{label:36}{row[0]:>10}{row[1]:>13}{row[2]:>12}{row[3]:>13}  {auto}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
