"""Hours of streaming, fitting and reporting in one process, which must not grow.

    python benchmarks/soak.py --minutes 120 --output soak

Every round measures one of forty widths, more than there are programs kept, fits it in
closed form, by NUTS every fifth time, saves and loads both; every tenth round is a
whole study with its report. After each round the process is looked at: a row of
`soak.csv`. At the end `soak.png` shows the rows. Exit code 1 when memory grows in the
last half, by more than twice the slope's error and 1 % an hour, or files or threads are
left.
"""

import argparse
import csv
import gc
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import psutil
from matplotlib.figure import Figure

import nnft_ppl as nnft
from nnft_ppl.study import read_study, run_study

WIDTHS = 40
X = [0.2, 0.6, 1.0]
BATCHES = 8
STUDY = """
[network]
architecture = "relu-net"
widths = [3, 30]

[inputs]
points = [0.5, 1.0]

[ensemble]
num_draws = 20000
plain_draws = 1000

[eft]
width = 20
operators = ["lambda_0"]
cutoffs = [10, 100, 1000]
candidates = [["lambda_0"], ["lambda_0", "lambda_2"]]
sampler = "conjugate"
num_samples = 500
num_chains = 2
"""


def measure_and_fit(number: int, folder: Path) -> None:
    """One round of a measurement, a fit and their files."""
    key = jax.random.fold_in(jax.random.key(0), number)
    network = nnft.network("relu-net", width=5 + number % WIDTHS, input_dim=1)
    data = folder / "data.nc"
    corr = nnft.measure_correlators(
        network, X, (2, 4), num_draws=100_000, key=key, checkpoint=folder / "data.sums"
    )
    corr.save(data)
    by_nuts = number % 5 == 0
    fit = nnft.fit_couplings(
        nnft.load(data),
        nnft.Action(["lambda_0"]),
        [10.0, 100.0],
        key=key,
        num_warmup=100,
        num_samples=100,
        num_chains=2,
        sampler="nuts" if by_nuts else "conjugate",
        checkpoint=folder / "fit.state" if by_nuts else None,
    )
    fit.save(folder / "fit.nc")
    loaded = nnft.load(folder / "fit.nc")
    loaded.predict(4)
    nnft.diagnose(loaded)


def report(folder: Path) -> None:
    """One round of a study, all of it anew."""
    file = folder / "study.toml"
    file.write_text(STUDY)
    run_study(read_study(file, directory=folder / "run"), rerun=True)


def look(number: int, start: float, folder: Path) -> dict[str, float]:
    """What the process holds."""
    gc.collect()
    process = psutil.Process()
    return {
        "round": number,
        "seconds": time.perf_counter() - start,
        "rss_mb": process.memory_info().rss / 1e6,
        "open_files": process.num_fds(),
        "threads": process.num_threads(),
        "files": sum(1 for _ in folder.rglob("*")),
        "programs": len(jax.devices()[0].client.live_executables()),
        "arrays": len(jax.live_arrays()),
        "objects": len(gc.get_objects()),
    }


def slope(hours: np.ndarray, rss: np.ndarray) -> tuple[float, float]:
    """MB an hour and its standard error, by a line through means of batches.

    Neighbouring rounds are alike, so that rows are no independent numbers.
    """
    t = np.array([part.mean() for part in np.array_split(hours, BATCHES)])
    y = np.array([part.mean() for part in np.array_split(rss, BATCHES)])
    t -= t.mean()
    found = t @ y / (t @ t)
    left = y - y.mean() - found * t
    return float(found), float(np.sqrt(left @ left / (BATCHES - 2) / (t @ t)))


def draw(rows: Sequence[dict[str, float]], path: Path) -> None:
    """All that was recorded, over the hours."""
    names = [name for name in rows[0] if name not in ("round", "seconds")]
    figure = Figure(figsize=(8, 14), layout="constrained")
    hours = np.array([row["seconds"] for row in rows]) / 3600
    for name, axes in zip(names, figure.subplots(len(names)), strict=True):
        axes.plot(hours, [row[name] for row in rows], ".", markersize=2)
        axes.set(title=name, xlabel="hours")
        axes.set_ylim(bottom=0)
    figure.savefig(path, dpi=100)


def main(argv: Sequence[str] | None = None) -> None:
    """Run for the time, then say what the last half shows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--output", type=Path, default=Path("soak"))
    arguments = parser.parse_args(argv)
    arguments.output.mkdir(parents=True, exist_ok=True)
    start, rows = time.perf_counter(), []
    with (
        tempfile.TemporaryDirectory() as temporary,
        (arguments.output / "soak.csv").open("w", newline="") as table,
    ):
        folder = Path(temporary)
        tempfile.tempdir = temporary  # so that what is left there is counted
        while time.perf_counter() - start < 60 * arguments.minutes:
            number = len(rows)
            with tempfile.TemporaryDirectory() as own:
                if number % 10 == 9:
                    report(Path(own))
                else:
                    measure_and_fit(number, Path(own))
            rows.append(look(number, start, folder))
            writer = csv.DictWriter(table, rows[0])
            if number == 0:
                writer.writeheader()
            writer.writerow(rows[-1])
            table.flush()
    draw(rows, arguments.output / "soak.png")
    half = rows[len(rows) // 2 :]
    if len(half) < 2 * BATCHES or len(rows) < 2 * WIDTHS:
        raise SystemExit(f"{len(rows)} rounds are too few to tell; give more minutes")
    rss = np.array([row["rss_mb"] for row in half])
    found, error = slope(np.array([row["seconds"] for row in half]) / 3600, rss)
    grows = found > max(2 * error, 0.01 * rss.mean())
    print(
        f"{len(rows)} rounds: {rss.mean():.0f} MB in the last half, "
        f"slope {found:+.1f} ± {error:.1f} MB an hour: {'GROWS' if grows else 'flat'}"
    )
    left = [
        name
        for name in ("open_files", "threads", "files")
        if max(row[name] for row in half) > max(row[name] for row in rows[:WIDTHS])
    ]
    for name in left:
        print(f"more {name} in the last half than in the first rounds")
    if grows or left:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
