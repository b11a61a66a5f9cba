"""Time and error of all first-order integrals of an action, by dimension and network.

Six inputs, 21 cutoffs from 7 to 1e5 in the box: weights 1, |y|² and |y|⁴ with four
fields, f²|∇f|² and six fields. The time includes compiling. "relative" is beside the
largest entry at the cutoff, "element" beside each entry of size over 1e-3 of that.

    python benchmarks/integral_speed.py [dimension ...]
"""

import sys
import time

import numpy as np

import nnft_ppl as nnft
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.eft.integration.nodes import Nodes
from nnft_ppl.eft.integration.quadrature import Factors, PairSums, Quadrature

INPUTS = {
    1: [[-1.0], [-0.6], [-0.2], [0.2], [0.6], [1.0]],
    2: [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0], [0.5, 0.2], [0.3, -0.7]],
    3: [
        [-1.0, -1.0, -1.0],
        [1.0, 1.0, -1.0],
        [-1.0, 1.0, 1.0],
        [1.0, -1.0, 1.0],
        [0.5, 0.2, 0.1],
        [0.3, -0.7, 0.4],
    ],
}
CUTOFFS = np.geomspace(7.0, 1e5, 21)
NETWORKS = (("relu-net", 0.0), ("relu-net", 1.0), ("erf-net", 1.0), ("gauss-net", 1.0))
TARGETS = {1: (1.0, 1e-6), 2: (10.0, 1e-5), 3: (60.0, 1e-4)}
PAIRS, TRIPLES = entries(6, 2).T, entries(6, 3).T

type Tables = tuple[np.ndarray, np.ndarray]


def local(power: int) -> Factors:
    """∫ |y|^power f⁴."""

    def factors(nodes: Nodes) -> Tables:
        pairs = nodes.propagator[PAIRS[0]] * nodes.propagator[PAIRS[1]]
        return pairs * np.sum(nodes.position**2, axis=1) ** (power // 2), pairs

    return factors


def kinetic(nodes: Nodes) -> Tables:
    """∫ f² |∇f|²."""
    pairs = nodes.propagator[PAIRS[0]] * nodes.propagator[PAIRS[1]]
    slopes = np.sum(nodes.gradient[PAIRS[0]] * nodes.gradient[PAIRS[1]], axis=1)
    return pairs, slopes


def six_fields(nodes: Nodes) -> Tables:
    """∫ f⁶."""
    a, b, c = TRIPLES
    triples = nodes.propagator[a] * nodes.propagator[b] * nodes.propagator[c]
    return triples, triples


INTEGRALS = {
    "1": local(0),
    "|y|²": local(2),
    "|y|⁴": local(4),
    "f²|∇f|²": kinetic,
    "f⁶": six_fields,
}


def all_sums(quadrature: Quadrature) -> dict[str, PairSums]:
    """Every integral, sharing nodes and kernel tables."""
    return {
        label: quadrature.pair_sums(factors, label)
        for label, factors in INTEGRALS.items()
    }


def main() -> None:
    """Print one line per network and integral."""
    for dim in [int(word) for word in sys.argv[1:]] or [1, 2, 3]:
        seconds, wanted = TARGETS[dim]
        print(f"\n{dim} dimensions; targets {seconds:g} s and {wanted:g}")
        for name, bias_std in NETWORKS:
            net = nnft.network(name, width=10, input_dim=dim, bias_std=bias_std)
            start, cpu = time.perf_counter(), time.process_time()
            sums = all_sums(Quadrature(net, INPUTS[dim], CUTOFFS))
            wall, cpu = time.perf_counter() - start, time.process_time() - cpu
            # More cutoffs give other panels, so that nothing is compared with itself.
            tolerance, factor = (1e-12, 1.3) if dim < 3 else (1e-7, 1.0)
            cutoffs = np.unique([*CUTOFFS, *(factor * CUTOFFS)])
            finer = Quadrature(net, INPUTS[dim], cutoffs, tolerance=tolerance)
            rows = np.searchsorted(cutoffs, CUTOFFS)
            truth = {
                label: result.values[rows] for label, result in all_sums(finer).items()
            }
            print(f"{name} σ_b = {bias_std:g}: {wall:.2f} s, processor {cpu:.2f} s")
            for label, result in sums.items():
                exact = truth[label]
                scale = np.abs(exact).max(axis=(1, 2), keepdims=True)
                error = np.abs(result.values - exact)
                large = np.abs(exact) > 1e-3 * scale
                element = (error[large] / np.abs(exact[large])).max()
                print(
                    f"  {label:8s} relative {(error / scale).max():.1e}  element "
                    f"{element:.1e}  estimate {(result.error / scale).max():.1e}"
                )


if __name__ == "__main__":
    main()
