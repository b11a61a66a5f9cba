"""
Correlation matrix and eigenmodes of the data
=============================================

The entries of a measured 4-point function are not independent: a few modes of the noise
hold nearly all of its variance. Errors without the covariance would count the same
fluctuation many times.
"""

import jax
import numpy as np

import nnft_ppl as nnft

net = nnft.network("erf-net", width=20, input_dim=1, bias_std=1.0)
x = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0])
key = jax.random.key(0)
corr = nnft.measure_correlators(net, x, (2, 4), num_draws=20_000, key=key)

# %%
# The figure.

figure = nnft.plots.plot_correlation(corr, 4)
