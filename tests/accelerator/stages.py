"""What a toolkit's stages give: run on an accelerator, and on the CPU beside it.

`python stages.py FILE` writes all of it, for the CPU's part in a process of its own.
"""

import sys
from collections.abc import Callable

import jax
import numpy as np

import nnft_ppl as nnft

KEY = jax.random.key(3, impl="threefry2x32")
X = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0])
NEURONS = nnft.network("erf-net", width=20, input_dim=1, bias_std=1.0)
DEEP = nnft.network("mlp", width=16, depth=3, input_dim=1, bias_std=1.0)
IMAGES = nnft.network("conv-net", width=8, input_dim=(4, 4, 1))
PIXELS = np.random.default_rng(0).normal(size=(2, 16))

type Found = dict[str, np.ndarray]


def measured(network, x, estimator, num_draws) -> Found:
    """Correlators and their errors."""
    found = nnft.measure_correlators(
        network, x, (2, 4), num_draws=num_draws, key=KEY, estimator=estimator
    )
    return {
        name: np.concatenate([of(order) for order in found.orders])
        for name, of in (("value", found.moment), ("error", found.error))
    }


def drawn() -> Found:
    values = nnft.sample_ensemble(DEEP, X, 2000, key=KEY).values
    # Rounding of float32, or of the shorter products of some accelerators.
    return {"value": values, "error": np.full(values.shape, 0.1 * values.std())}


def kernel() -> Found:
    inputs = np.random.default_rng(1).normal(size=(300, 3))
    network = nnft.network("mlp", width=16, depth=3, input_dim=3, bias_std=1.0)
    values = np.asarray(network.kernel(inputs))
    return {"value": values, "error": np.full(values.shape, 1e-10)}


def fitted() -> Found:
    exact = nnft.exact_correlators(NEURONS, X, (2, 4))
    fit = nnft.fit_couplings(
        exact, nnft.Action(["lambda_0"]), [10.0], key=KEY, num_chains=2
    )
    predicted = fit.predict(4)
    draws = [fit.dimensionless.reshape(-1), *predicted.values.reshape(2000, -1).T]
    return {
        "value": np.array([np.mean(of) for of in draws]),
        "error": np.array([np.std(of) for of in draws]),
    }


STAGES: dict[str, Callable[[], Found]] = {
    **{
        estimator: lambda e=estimator: measured(NEURONS, X, e, 1 << 16)
        for estimator in ("conditional", "moments", "wick")
    },
    "deep": lambda: measured(DEEP, X, "wick", 1 << 14),
    "images": lambda: measured(IMAGES, PIXELS, "moments", 1 << 12),
    "ensemble": drawn,
    "kernel": kernel,
    "fit-and-prediction": fitted,
}

if __name__ == "__main__":
    np.savez(
        sys.argv[1],
        **{
            f"{stage}/{name}": values
            for stage, run in STAGES.items()
            for name, values in run().items()
        },
    )
