"""
Predicted over measured 6-point function
========================================

The coupling is fitted to the 4-point function; the 6-point function is a prediction.
Each entry is one choice of six inputs, divided by what was measured. The Gaussian
process is off by half.
"""

import jax
import numpy as np

import nnft_ppl as nnft

net = nnft.network("relu-net", width=20, input_dim=1)
x = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
key = jax.random.key(0)
corr = nnft.measure_correlators(net, x, (2, 4, 6), num_draws=20_000, key=key)
fit = nnft.fit_couplings(
    corr, nnft.Action(["lambda_0"]), [100.0], key=key, sampler="conjugate"
)

# %%
# The figure.

figure = nnft.plots.plot_prediction(fit, corr)
