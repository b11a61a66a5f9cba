"""How long the exact posterior takes: seconds to the goals, wall and of processors.

Each case runs once to compile and then `--repeats` times, the cases in turn; the best
of each counts. Beside other work the time of processors says what a machine at rest
would take: it is shared among its cores.

    python benchmarks/posterior_speed.py [--share 1.0] [--repeats 3]
"""

import argparse
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from sklearn.datasets import load_diabetes

import nnft_ppl as nnft
from nnft_ppl.bayes.posterior import PosteriorWarning


@dataclass(frozen=True)
class Case:
    """Data and networks; `goal` is in seconds of two cores at rest."""

    label: str
    network: nnft.Network
    x: np.ndarray
    y: np.ndarray
    noise_std: float
    num_draws: int
    goal: float

    def run(self, num_draws: int, seed: int) -> tuple[float, float]:
        """Seconds: wall, and of processors."""
        begun = time.perf_counter(), time.process_time()
        nnft.posterior(
            self.network,
            self.x,
            self.y,
            self.x[:5] + 0.01,
            noise_std=self.noise_std,
            num_draws=num_draws,
            key=jax.random.key(seed),
            num_samples=25,
            method="weights",
        )
        return time.perf_counter() - begun[0], time.process_time() - begun[1]


def cases() -> list[Case]:
    """Diabetes data, all of them; and a small problem of many networks."""
    diabetes = load_diabetes()
    x = diabetes.data / diabetes.data.std(axis=0)
    y = (diabetes.target - diabetes.target.mean()) / diabetes.target.std()
    few = np.random.default_rng(0).normal(size=(30, 2))
    of_few = np.sin(few.sum(axis=1))
    return [
        Case(
            "442 data, width 100",
            nnft.network("relu-net", width=100, input_dim=10, weight_std=1.0),
            x,
            y,
            0.7,
            100_000,
            60.0,
        ),
        *(
            Case(
                f"30 data, {name} of 20",
                nnft.network(name, width=20, input_dim=2, weight_std=1.0),
                few,
                of_few,
                0.3,
                1_000_000,
                10.0,
            )
            for name in ("relu-net", "erf-net")
        ),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the networks")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args(argv)
    warnings.simplefilter("ignore", PosteriorWarning)
    chosen = cases()
    numbers = [max(100, int(given.share * case.num_draws)) for case in chosen]
    found: list[list[tuple[float, float]]] = [[] for _ in chosen]
    for repeat in range(given.repeats + 1):
        for case, number, times in zip(chosen, numbers, found, strict=True):
            times.append(case.run(number, repeat))
    print(
        f"{'':24}{'networks':>10}{'wall s':>9}{'cpu s':>9}{'cpu µs each':>13}", end=""
    )
    print(f"{'goal s, of all':>16}")
    for case, number, times in zip(chosen, numbers, found, strict=True):
        wall, processors = np.min(times[1:], axis=0)
        print(f"{case.label:24}{number:10d}{wall:9.1f}{processors:9.1f}", end="")
        print(f"{1e6 * processors / number:13.1f}{case.goal:16.0f}")


if __name__ == "__main__":
    main()
