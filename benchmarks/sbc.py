"""Simulation-based calibration of every likelihood: p-values and rank plots.

    python benchmarks/sbc.py [--num-closed-form 1000] [--num-nuts 200]
        [--num-outputs 200] [--output sbc]

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
import numpy as np
import xarray as xr

import nnft_ppl as nnft
from nnft_ppl.diagnostics.calibration import (
    fractional_rank,
    simulation_based_calibration,
    uniformity,
)
from nnft_ppl.eft.density import EdgeworthDensity
from nnft_ppl.inference.outputs.design import scaled_design

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


X = [-1.0, -0.3, 0.4, 1.1]
CUTOFF = 10.0

OUTPUTS = "raw outputs"
OUTPUTS_ACTION = nnft.Action(["lambda_0", "lambda_nl"])
OUTPUTS_DRAWS = 10_000
"""Draws of the field per simulation."""
OUTPUTS_DEVIATION = 0.03
"""Root mean square over the prior of t, the standard deviation of the bracket. Larger
ones make brackets negative in the tails, where the density is none."""
LARGEST_BRACKET = 4.0
PROPOSALS = int(1.1 * LARGEST_BRACKET * OUTPUTS_DRAWS)
"""Draws of the Gaussian process, of which one in LARGEST_BRACKET is accepted."""
THINNING = 3


def draw_outputs(
    density: EdgeworthDensity, coupling: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Draws of the density by rejection from the Gaussian process.

    Returns:
        (draw, point) in the kept modes, and the share of proposals whose bracket is
        negative or above LARGEST_BRACKET, where rejection is not exact.
    """
    modes = rng.standard_normal((PROPOSALS, density.num_modes))
    # The whitening's rows are orthogonal eigenvectors over √eigenvalue.
    fields = modes @ (density.whitening * density.eigenvalues[:, None])
    bracket = 1 + density.response(fields) @ coupling
    accepted = rng.uniform(size=PROPOSALS) * LARGEST_BRACKET < bracket
    outside = np.mean((bracket < 0) | (bracket > LARGEST_BRACKET))
    return fields[accepted][:OUTPUTS_DRAWS], float(outside)


def calibrate_outputs(network: nnft.Network, number: int) -> tuple[xr.DataTree, str]:
    """Ranks of `fit_function_space` for draws of its own density, four modes.

    Couplings come from exactly the prior of the fit: normal, the natural size fixed.
    Outputs tell their best determined combination far better than each by itself, so
    that its rank is given too: an error in the likelihood shows there.
    """
    x = network.check_inputs(X, distinct=True)
    action = OUTPUTS_ACTION
    design, _, _ = scaled_design(action, network, x, (CUTOFF,))
    density = EdgeworthDensity.build(network.kernel(x), design[0])
    width = network.width
    size = width * OUTPUTS_DEVIATION / np.sqrt(np.trace(density.information))
    prior = nnft.Prior(natural_size=float(size), spread=0.0)
    scales = prior.coupling_scales(width, action)
    rng = np.random.default_rng(2)
    # c ↦ (c, combination)
    best = np.linalg.eigh(density.information)[1][:, -1]
    parameters = np.column_stack([np.eye(len(action.operators)), best])
    spread = np.sqrt(scales**2 @ parameters**2)
    truths, ranks, shrinkage, deviations, outside = [], [], [], [], []
    for simulation in range(number):
        truth = scales * rng.standard_normal(len(action.operators))
        values, share = draw_outputs(density, truth, rng)
        fit = nnft.fit_function_space(
            nnft.Ensemble(network, x, values[..., None].astype(np.float32)),
            action,
            [CUTOFF],
            key=jax.random.fold_in(jax.random.key(3), simulation),
            num_warmup=150,
            num_samples=50 * THINNING,
            num_chains=2,
            prior=prior,
        )
        draws = np.concatenate(fit.dimensionless[:, ::THINNING, 0]) @ parameters
        truths.append(truth @ parameters)
        ranks.append(fractional_rank(truths[-1], draws, rng))
        shrinkage.append(draws.std(axis=0) / spread)
        deviations.append(np.sqrt(truth @ density.information @ truth))
        outside.append(share)
    p_values = np.array([uniformity(column) for column in np.transpose(ranks)])
    groups = {
        "prior_sbc": (np.array(ranks)[None], ("chain", "draw")),
        "simulated": (np.array(truths)[None], ("chain", "draw")),
        "uniformity": (p_values, ()),
    }
    tree = xr.DataTree.from_dict(
        {
            name: xr.Dataset(
                {
                    "dimensionless": ((*dims, "operator"), values[..., :-1]),
                    "best_determined": (dims, values[..., -1]),
                },
                coords={"operator": list(action.names)},
            )
            for name, (values, dims) in groups.items()
        }
    )
    note = (
        f"posterior/prior sd {np.mean(shrinkage, axis=0).round(2).tolist()}, "
        f"t median {np.median(deviations):.3f}, largest {np.max(deviations):.3f}, "
        f"brackets out of range {np.mean(outside):.1e}, at most {np.max(outside):.1e}"
    )
    return tree, note


def finish(
    tree: xr.DataTree, label: str, title: str, elapsed: float, folder: Path
) -> None:
    """Print the p-values and draw the ranks."""
    p_values = "  ".join(
        f"{parameter} {values.values.tolist()}"
        for parameter, values in tree["uniformity"].data_vars.items()
    )
    print(f"{label}: {elapsed:.1f} s  {p_values}", flush=True)
    az.plot_ecdf_pit(tree)
    plt.suptitle(title, y=1.15)
    stem = title.replace(",", "").replace(":", "").replace(" ", "_")
    plt.savefig(folder / f"{stem}.png", dpi=80, bbox_inches="tight")
    plt.close("all")


def main(argv: Sequence[str] | None = None) -> None:
    """Run all cases with both samplers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-closed-form", type=int, default=1000)
    parser.add_argument("--num-nuts", type=int, default=200)
    parser.add_argument("--num-outputs", type=int, default=200)
    parser.add_argument("--output", type=Path, default=Path("sbc"))
    parser.add_argument("--only", default="", help="cases whose name holds this")
    arguments = parser.parse_args(argv)
    arguments.output.mkdir(parents=True, exist_ok=True)
    net = nnft.network("relu-net", width=20, input_dim=1, bias_std=1.0)
    correlators = nnft.measure_correlators(
        net, X, (2, 4, 6), num_draws=20_000, key=jax.random.key(0)
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
                CUTOFF,
                key=jax.random.key(1),
                num_simulations=number,
                sampler=sampler,
                prior=prior,
                discrepancy=discrepancy,
            )
            elapsed = time.perf_counter() - start
            finish(
                tree,
                f"{sampler}, {number} simulations, {name}",
                f"{sampler}: {name}",
                elapsed,
                arguments.output,
            )
    if arguments.num_outputs and arguments.only in OUTPUTS:
        start = time.perf_counter()
        tree, note = calibrate_outputs(net, arguments.num_outputs)
        elapsed = time.perf_counter() - start
        label = f"nuts, {arguments.num_outputs} simulations, {OUTPUTS}; {note}"
        finish(tree, label, f"nuts: {OUTPUTS}", elapsed, arguments.output)


if __name__ == "__main__":
    main()
