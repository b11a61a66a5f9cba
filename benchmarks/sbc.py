"""Simulation-based calibration of every likelihood: p-values and rank plots.

    python benchmarks/sbc.py [--num-closed-form 1000] [--num-nuts 200] [--output sbc]

One line per case: seconds, and the p-value of uniform ranks for every parameter. Rank
plots (the difference between the ranks' distribution function and the uniform one, with
ArviZ's simultaneous band) are written as PNG.
"""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")

import arviz as az
import jax
import matplotlib.pyplot as plt

import nnft_ppl as nnft
from nnft_ppl.diagnostics.calibration import simulation_based_calibration

QUARTIC = nnft.Action(["lambda_0", "lambda_2"])
SEXTIC = nnft.Action(["lambda_0", "kappa"])
INFERRED = nnft.Prior()
FIXED = nnft.Prior(spread=0.0)
SMALL = nnft.Prior(natural_size=0.5, spread=0.3)
"""Sizes at which the trees of two vertices are a correction to κ."""

CASES = {
    "linear, size inferred, discrepancy": (QUARTIC, INFERRED, True),
    "linear, size inferred": (QUARTIC, INFERRED, False),
    "linear, size fixed, discrepancy": (QUARTIC, FIXED, True),
    "linear, size fixed": (QUARTIC, FIXED, False),
    "quadratic, small couplings, discrepancy": (SEXTIC, SMALL, True),
    "quadratic, small couplings": (SEXTIC, SMALL, False),
    "quadratic, size inferred, discrepancy": (SEXTIC, INFERRED, True),
    "quadratic, size inferred": (SEXTIC, INFERRED, False),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run all cases with both samplers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-closed-form", type=int, default=1000)
    parser.add_argument("--num-nuts", type=int, default=200)
    parser.add_argument("--output", type=Path, default=Path("sbc"))
    parser.add_argument("--only", default="", help="cases whose name holds this")
    arguments = parser.parse_args(argv)
    arguments.output.mkdir(parents=True, exist_ok=True)
    net = nnft.network("relu-net", width=20, input_dim=1, bias_std=1.0)
    correlators = nnft.measure_correlators(
        net, [-1.0, -0.3, 0.4, 1.1], (2, 4, 6), num_draws=20_000, key=jax.random.key(0)
    )
    numbers = {
        "conjugate": arguments.num_closed_form,
        "nuts": arguments.num_nuts,
    }
    for sampler, number in numbers.items():
        for name, (action, prior, discrepancy) in CASES.items():
            if number == 0 or arguments.only not in name:
                continue
            start = time.perf_counter()
            tree = simulation_based_calibration(
                correlators,
                action,
                10.0,
                key=jax.random.key(1),
                num_simulations=number,
                sampler=sampler,
                prior=prior,
                discrepancy=discrepancy,
            )
            elapsed = time.perf_counter() - start
            p_values = "  ".join(
                f"{parameter} {values.values.tolist()}"
                for parameter, values in tree["uniformity"].data_vars.items()
            )
            print(
                f"{sampler}, {number} simulations, {name}: {elapsed:.1f} s  {p_values}",
                flush=True,
            )
            az.plot_ecdf_pit(tree)
            plt.suptitle(f"{sampler}: {name}", y=1.15)
            stem = f"{sampler} {name}".replace(",", "").replace(" ", "_")
            path = arguments.output / f"{stem}.png"
            plt.savefig(path, dpi=80, bbox_inches="tight")
            plt.close("all")


if __name__ == "__main__":
    main()
