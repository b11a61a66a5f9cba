"""
Pulls and quantiles of a fit
============================

Entries of a correlator come from the same networks and share their noise. The residuals
here are whitened by the full covariance, so that each is standard normal if the action
fits within the noise. This one is of the Gauss-net on a wide interval, where a single
quartic coupling does not.
"""

import jax
import numpy as np

import nnft_ppl as nnft

net = nnft.network("gauss-net", width=100, input_dim=1, bias_std=1.0)
x = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0])
key = jax.random.key(0)
corr = nnft.measure_correlators(net, x, (2, 4), num_draws=20_000, key=key)
fit = nnft.fit_couplings(
    corr, nnft.Action(["lambda_0"]), [10.0], key=key, sampler="conjugate"
)

# %%
# The figure.

figure = nnft.plots.plot_pulls(fit)
