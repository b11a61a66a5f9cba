"""How the cost of a network grows with width, inputs, order, depth and outputs.

From one network that everybody would begin with, erf activation, width 100, six inputs,
orders 2 and 4, one thing is changed at a time. Time is that of long runs through the
public API: the time of a run of `--seconds` less that of the first block, over the
networks between, so that start-up and compiling do not count; they have a column of
their own, which is the time of the first call.

    python benchmarks/engine_cost.py [--seconds 2]
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np

import nnft_ppl as nnft

BLOCK = 1 << 17
LONG_RUN = 1 << 20
"""Networks, from which on the covariance of short batches costs little."""


@dataclass(frozen=True)
class Case:
    """A measurement.

    Attributes:
        architecture: Name of the architecture.
        width: Of the hidden layers.
        num_points: Inputs, along a line.
        orders: Of the correlators.
        estimator: How they are measured.
        input_dim: Of an input.
        depth: Hidden layers, or None where the architecture has one.
        num_outputs: Of the network.
        generator: Of random numbers; the default where None.
    """

    architecture: str = "erf-net"
    width: int = 100
    num_points: int = 6
    orders: tuple[int, ...] = (2, 4)
    estimator: str = "conditional"
    input_dim: int = 1
    depth: int | None = None
    num_outputs: int = 1
    generator: str | None = None

    def network(self) -> nnft.Network:
        """The network."""
        deep = {} if self.depth is None else {"depth": self.depth, "activation": "erf"}
        return nnft.network(
            self.architecture,
            width=self.width,
            input_dim=self.input_dim,
            output_dim=self.num_outputs,
            bias_std=1.0,
            **deep,
        )

    def points(self) -> np.ndarray:
        """(point, input_dim) inputs, in general position."""
        line = np.linspace(-1, 1, self.num_points)[:, None]
        return np.concatenate(
            [line**k for k in range(1, self.input_dim + 1)], axis=1
        ) / np.sqrt(self.input_dim)


BASE = Case()
DEEP = replace(BASE, architecture="mlp", width=32)
CASES = {
    "width": [replace(BASE, width=width) for width in (5, 20, 100, 1000, 10_000)],
    "inputs": [replace(BASE, num_points=number) for number in (1, 3, 6, 10)],
    "highest order": [replace(BASE, orders=orders) for orders in ((2,), (2, 4, 6))],
    "input dimension": [replace(BASE, input_dim=number) for number in (3, 64)],
    "estimator": [
        replace(BASE, estimator=name, orders=orders)
        for name in ("moments", "wick")
        for orders in ((2, 4), (2, 4, 6))
    ],
    "outputs": [replace(BASE, num_outputs=2, num_points=3)],
    "depth, width 32": [replace(DEEP, depth=depth) for depth in (1, 2, 4, 8)],
    "width, depth 2": [
        replace(DEEP, depth=2, width=width) for width in (8, 64, 128, 256)
    ],
    "generator": [
        replace(case, generator=name)
        for name in ("fused", "jax")
        for case in (BASE, replace(DEEP, depth=2))
    ],
}


def cost(case: Case, seconds: float) -> tuple[float, float]:
    """(seconds of the first call, seconds per network in a long run)."""
    net, points = case.network(), case.points()

    def run(num_draws: int) -> float:
        start = time.perf_counter()
        nnft.measure_correlators(
            net,
            points,
            case.orders,
            num_draws=num_draws,
            key=jax.random.key(0),
            estimator=case.estimator,
            generator=case.generator,
        )
        return time.perf_counter() - start

    num_draws = max(4096, BLOCK // case.width)
    first = run(num_draws)
    short = run(num_draws)
    while short < seconds / 4 or (num_draws < LONG_RUN and short < 2 * seconds):
        num_draws *= 2
        run(num_draws)  # compiles for batches of this number
        short = run(num_draws)
    # Batches, on which the cost of the covariance depends, grow with the number.
    more = 4 * num_draws
    run(more)
    return first, (run(more) - short) / (more - num_draws)


def main(argv: Sequence[str] | None = None) -> None:
    """Print one line for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    seconds = parser.parse_args(argv).seconds
    print(f"{'':46}{'first call, s':>14}{'ns per network':>16}")
    for name, cases in {"": [BASE], **CASES}.items():
        print(name or "the base")
        for case in cases:
            first, each = cost(case, seconds)
            what = ", ".join(
                f"{key}={value}"
                for key, value in vars(case).items()
                if value != getattr(BASE, key)
            )
            print(f"    {what or repr(case.network()):42}{first:14.2f}", end="")
            print(f"{each * 1e9:16.0f}", flush=True)


if __name__ == "__main__":
    main()
