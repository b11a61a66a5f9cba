"""
Networks as functions, over the Gaussian process
================================================

Twenty networks of width 5, the band of the Gaussian process that they become at
infinite width, and two standard deviations of all networks drawn: the 2-point
function is the kernel at every width.
"""

import jax
import numpy as np

import nnft_ppl as nnft

net = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
x = np.linspace(-3, 3, 61)
ensemble = nnft.sample_ensemble(net, x, num_draws=5000, key=jax.random.key(0))

# %%
# The figure.

figure = nnft.plots.plot_draws(ensemble)
