"""Couplings with a measured kernel, beside those with the closed form."""

import jax
import numpy as np
import pytest

import nnft_ppl as nnft

X = np.array([0.02, 0.06, 0.12])
ACTION = nnft.Action(["lambda_0"])


def coupling(network: nnft.Network) -> tuple[float, float]:
    """Mean and standard deviation of λ_0 from exact correlators."""
    fit = nnft.fit_couplings(
        nnft.exact_correlators(network, X, (2, 4)),
        ACTION,
        [20.0],
        key=jax.random.key(0),
        sampler="conjugate",
    )
    draws = fit.dimensionless / fit.likelihood.scale
    return float(draws.mean()), float(draws.std())


def test_the_error_of_a_coupling_holds_that_of_a_measured_kernel():
    network = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    truth, own = coupling(network)
    found = np.array(
        [
            coupling(nnft.measured_kernel(network, 120, key=jax.random.key(seed)))
            for seed in range(20)
        ]
    )
    off, error = (found[:, 0] - truth) / found[:, 1], found[:, 1]
    assert own < 0.3 * error.min()  # the data and the action leave little beside it
    # Of 20, 19.5 are within two standard errors on average and 17 at least at 99.5 %.
    assert np.sum(np.abs(off) < 2) >= 17
    # Nor is it idle: the scatter of 20 is known to 16 %, the error to 21 %.
    assert 0.5 < np.sqrt(np.mean(off**2)) < 1.5
    assert np.std(found[:, 0]) == pytest.approx(np.sqrt(np.mean(error**2)), rel=0.5)
