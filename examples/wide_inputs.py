"""Which action describes a network on wide inputs?

Near the origin one quartic coupling describes each of the three networks of
arXiv:2008.08601; on inputs of order one λ_0 with λ_2 and λ_NL leaves a third or a half
of the 4-pt function. This searches all subsets of the built-in four-field operators for
the smallest that predicts held-out inputs (the fitted ones times √2/2) to 5 %.

Least squares on exact connected 4-pt functions, all entries weighted alike.

    python examples/wide_inputs.py --output wide_inputs.md
"""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import nnft_ppl as nnft
from nnft_ppl.diagnostics.comparison.search import ActionSearch, search_actions

# Architecture, width and biases of arXiv:2008.08601, but for the biased ReLU-net: with
# no bias its two half-lines do not know of each other.
NETS = (("relu-net", 20, 1.0), ("erf-net", 5, 1.0), ("gauss-net", 1000, 1.0))
KNOWN = "lambda_0 + lambda_2 + lambda_nl"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the searches and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="+", default=[name for name, _, _ in NETS])
    parser.add_argument(
        "--cutoffs",
        nargs="+",
        type=float,
        default=[1, 1.5, 2, 3, 5, 10, 30, 100, math.inf],
    )
    parser.add_argument("--points", type=int, default=6, help="inputs from -1 to 1")
    parser.add_argument("--target", type=float, default=0.05)
    parser.add_argument("--output", type=Path, help="Markdown file to write too")
    arguments = parser.parse_args(argv)
    x = np.linspace(-1, 1, arguments.points)
    found = {}
    for name, width, bias_std in NETS:
        if name in arguments.nets:
            net = nnft.network(name, width=width, input_dim=1, bias_std=bias_std)
            fitted, held_out = (
                nnft.exact_correlators(net, scale * x, orders=(2, 4))
                for scale in (1.0, math.sqrt(0.5))
            )
            found[name] = search_actions(
                fitted, held_out, arguments.cutoffs, target=arguments.target
            )
    text = report(found, arguments.target, x)
    sys.stdout.write(text)
    if arguments.output is not None:
        arguments.output.write_text(text)
    return 0


def report(found: dict[str, ActionSearch], target: float, x: np.ndarray) -> str:
    """Both tables in Markdown."""
    inputs = ", ".join(f"{point:g}" for point in np.round(x, 3))
    lines = [
        f"Inputs {inputs}; held out: the same × √2/2. Relative rms of the connected "
        "4-pt function, unweighted least squares on exact correlators.",
        "",
        f"The smallest action below {100 * target:g} % on held-out inputs, or the "
        "closest:",
        "",
        "| network | reached | action | cutoff | fitted | held out |",
        "|---|---|---|---|---|---|",
    ]
    for name, search in found.items():
        reached = "yes" if search.is_reached else "no"
        lines.append(f"| {name} | {reached} | {cells(search.best)} |")
    lines += [
        "",
        f"By cutoff: {KNOWN}, the best action with as many operators, the best of all:",
        "",
        "| network | action | cutoff | fitted | held out |",
        "|---|---|---|---|---|",
    ]
    for name, search in found.items():
        for _, table in search.table.groupby("cutoff"):
            rows = [
                table[table["action"] == KNOWN],
                table[table["num_operators"] == 3].head(1),
                table.nsmallest(1, "held_out_error"),
            ]
            actions = []
            for row in (row.iloc[0] for row in rows if len(row)):
                if row["action"] not in actions:
                    actions.append(row["action"])
                    lines.append(f"| {name} | {cells(row)} |")
    for name, search in found.items():
        for cutoff, table in search.left_out.groupby("cutoff"):
            names = ", ".join(table["operator"])
            lines += ["", f"{name}: left out at cutoff {cutoff:g}: {names}."]
    return "\n".join(lines) + "\n"


def cells(row: pd.Series) -> str:
    """Action, cutoff and both errors of one row of a search."""
    return (
        f"{row['action']} | {row['cutoff']:g} | {100 * row['fitted_error']:.3g} % | "
        f"{100 * row['held_out_error']:.3g} %"
    )


if __name__ == "__main__":
    raise SystemExit(main())
