"""Time and memory of the kernel of a deep `mlp` over many inputs of high dimension.

Wall times, compilation included, of `net.kernel(x)` for 2000 inputs of dimension 64 and
depth 3, each in a fresh process so that the peak memory is its own; the same as
multiples of one arc-cosine layer (relu, depth 1) in plain NumPy, timed in the same
process; and the largest estimated error over a part of the inputs.

    python benchmarks/kernel_speed.py [--points N] [--dim N] [--depth N]
"""

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable

import numpy as np

import nnft_ppl as nnft

ACTIVATIONS = ("relu", "erf", "tanh", "gelu", "sin")


def inputs(num_points: int, dim: int) -> np.ndarray:
    """Standard normal inputs."""
    return np.random.default_rng(0).normal(size=(num_points, dim))


def arc_cosine_layer(x: np.ndarray) -> np.ndarray:
    """K(x, x') of one hidden layer of max(z, 0) in NumPy, all pairs at once."""
    s = x @ x.T / x.shape[1]
    scale = np.sqrt(np.outer(np.diag(s), np.diag(s)))
    theta = np.arccos(np.clip(s / scale, -1.0, 1.0))
    angular = np.sin(theta) + (np.pi - theta) * np.cos(theta)
    return np.asarray(scale * angular / (2 * np.pi))


def timed(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    function(x)
    return time.perf_counter() - start


def measure(arguments: tuple[str, int, int, int]) -> tuple[float, float, float, float]:
    """Seconds, seconds of NumPy's layer, peak memory in GB, and largest error."""
    activation, num_points, dim, depth = arguments
    x = inputs(num_points, dim)
    net = nnft.network(
        "mlp", width=1, input_dim=dim, bias_std=0.1, depth=depth, activation=activation
    )
    reference = min(timed(arc_cosine_layer, x) for _ in range(3))
    seconds = timed(net.kernel, x)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return seconds, reference, peak, float(net.kernel_error(x[:100]).max())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--depth", type=int, default=3)
    given = parser.parse_args()
    print(
        f"{given.points} x {given.points} pairs, dim {given.dim}, depth {given.depth}"
    )
    print(f"{'':10}{'seconds':>10}{'x NumPy layer':>16}{'peak GB':>10}{'error':>10}")
    for activation in ACTIVATIONS:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            task = (activation, given.points, given.dim, given.depth)
            seconds, reference, peak, error = pool.apply(measure, (task,))
        ratio = seconds / reference
        print(f"{activation:10}{seconds:10.2f}{ratio:16.1f}{peak:10.2f}{error:10.1e}")


if __name__ == "__main__":
    main()
