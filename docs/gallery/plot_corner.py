"""
Corner of couplings
===================

Two couplings and the discrepancy of the action at one cutoff. Operators that predict
nearly the same are determined in one combination and not each by itself.
"""

import jax
import numpy as np

import nnft_ppl as nnft

net = nnft.network("gauss-net", width=100, input_dim=1, bias_std=1.0)
x = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0])
key = jax.random.key(0)
corr = nnft.measure_correlators(net, x, (2, 4), num_draws=20_000, key=key)
action = nnft.Action(["lambda_0", "lambda_2"])
fit = nnft.fit_couplings(corr, action, [5.0], key=key, sampler="conjugate")

# %%
# The figure.

figure = nnft.plots.plot_corner(fit, 5.0)
