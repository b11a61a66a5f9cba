"""
Coverage of intervals
=====================

The same simulations, read as coverage: how often a central interval of a given
probability holds the parameter that the data were simulated with.
"""

import jax
import numpy as np

import nnft_ppl as nnft

net = nnft.network("erf-net", width=20, input_dim=1, bias_std=1.0)
x = np.array([-1.0, -0.2, 0.6])
key = jax.random.key(0)
corr = nnft.measure_correlators(net, x, (2, 4), num_draws=10_000, key=key)
ranks = nnft.simulation_based_calibration(
    corr, nnft.Action(["lambda_0"]), 10.0, key=key, num_simulations=300
)

# %%
# The figure.

figure = nnft.plots.plot_coverage(ranks)
