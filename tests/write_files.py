"""One small file of every kind that nnft_ppl saves, to be read by all later versions.

Run as a script by whoever makes a release, with that release installed:
python tests/write_files.py tests/files/VERSION. That makes a zip of the files and, in
numbers.json, the numbers that reading them must give.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np

import nnft_ppl as nnft

X = np.array([0.2, 0.6, 1.0])
CUTOFFS = [1.5, 5.0, 20.0, 80.0]


def numbers(found):
    """What a file must give back, name -> nested lists, by public names alone."""
    if isinstance(found, nnft.Ensemble):
        return {"x": found.x.tolist(), "values": found.values.tolist()}
    if isinstance(found, nnft.Correlators):
        values = {}
        for order in found.orders:
            values[f"connected {order}"] = found.connected(order).tolist()
            values[f"error {order}"] = found.error(order).tolist()
            values[f"covariance {order}"] = found.covariance(order).tolist()
        return values
    posterior = found.data["posterior"].to_dataset()
    return {
        name: posterior[name].values.tolist()
        for name in ("coupling", "exponent", "scatter")
        if name in posterior
    }


def write(folder):
    """Write the files and what is in them."""
    net = nnft.network("relu-net", width=20, input_dim=1, weight_std=1.0)
    key, action = jax.random.key(0), nnft.Action(["lambda_0"])
    few = {"num_warmup": 50, "num_samples": 4, "num_chains": 1}
    exact = nnft.exact_correlators(net, X, (2, 4))
    fit = nnft.fit_couplings(
        exact, action, CUTOFFS, key=key, sampler="conjugate", num_samples=4
    )
    ensemble = nnft.sample_ensemble(net, X, 20, key=key)
    saved = {
        "ensemble": ensemble,
        "exact": exact,
        "measured": nnft.measure_correlators(
            net,
            X,
            (2, 4),
            num_draws=100_000,
            key=key,
            checkpoint=folder / "measured.sums",
        ),
        "fit": fit,
        "running_fit": nnft.fit_running(exact, action, CUTOFFS, key=key, **few),
        "function_space_fit": nnft.fit_function_space(
            nnft.sample_ensemble(net, X, 2000, key=key), action, [5.0], key=key, **few
        ),
    }
    for name, thing in saved.items():
        thing.save(folder / f"{name}.nc")
    expected = {name: numbers(thing) for name, thing in saved.items()}
    with np.load(folder / "measured.sums") as sums:
        expected["sums"] = {n: sums[n].tolist() for n in sums.files if n != "record"}
    (folder / "numbers.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        shutil.make_archive(sys.argv[1], "zip", folder)
