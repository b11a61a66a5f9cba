"""How wide must a two-hidden-layer network be, to be its GP on handwritten digits?

The 8×8 digits that scikit-learn ships, as inputs of 64 numbers between 0 and 1. For
each activation: the width from which on the ensemble is within the tolerance of its
Gaussian process, by the expansion in 1/width; then the 4-pt function of networks
sampled at that width, which should be the tolerance.

    python examples/digits_width.py --tolerance 0.05
"""

import argparse
import sys
from collections.abc import Sequence

import jax
import numpy as np
from sklearn.datasets import load_digits

import nnft_ppl as nnft


def main(argv: Sequence[str] | None = None) -> int:
    """Print the widths as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--activations", nargs="+", default=["relu", "tanh", "erf"])
    parser.add_argument("--tolerance", type=float, default=0.05)
    parser.add_argument("--groups", type=int, default=20, help="of four digits each")
    parser.add_argument("--num-draws", type=int, default=10_000, help="to check with")
    arguments = parser.parse_args(argv)
    digits = load_digits().data / 16
    sys.stdout.write(
        f"| activation | width by 4-pt function | sampled there, target "
        f"{arguments.tolerance:g} | width by total variation |\n|---|---|---|---|\n"
    )
    for activation in arguments.activations:
        net = nnft.network(
            "mlp",
            width=100,
            input_dim=64,
            weight_std=np.sqrt(2),
            bias_std=0.1,
            depth=2,
            activation=activation,
        )
        found = nnft.required_width(
            net, digits, arguments.tolerance, num_groups=arguments.groups
        )
        sys.stderr.write(f"{found.message}\n")
        four_point, variation = found.table.itertuples()
        group = np.unique(digits, axis=0)[found.groups[four_point.group]]
        distance, error = sampled_distance(
            net.with_width(four_point.width), group, arguments.num_draws
        )
        sys.stdout.write(
            f"| {activation} | {four_point.width} ({four_point.low} to "
            f"{four_point.high}) | {distance:.4f} ± {error:.4f} | {variation.width} "
            f"({variation.low} to {variation.high}) |\n"
        )
    return 0


def sampled_distance(
    net: nnft.Network, x: np.ndarray, num_draws: int
) -> tuple[float, float]:
    """The connected 4-pt function over its natural size, with its error.

    Of the entry where theory has it largest: the largest of noisy ones is too large.
    """
    theory = nnft.recursion_correlators(net, x)
    corr = nnft.measure_correlators(
        net, x, (2, 4), num_draws=num_draws, key=jax.random.key(1)
    )
    deviation = np.sqrt(np.diag(net.kernel(x)))
    size = 3 * np.prod(deviation[corr.entries(4)], axis=1)
    worst = np.argmax(np.abs(theory.connected(4)) / size)
    return (
        abs(corr.connected(4)[worst]) / size[worst],
        corr.connected_error(4)[worst] / size[worst],
    )


if __name__ == "__main__":
    raise SystemExit(main())
