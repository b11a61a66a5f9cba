"""
Posterior predictive of several methods
=======================================

The exact posterior of networks of finite width, beside that of the Gaussian process and
the first order in the inverse width. Below: how far means are from the exact ones.
"""

import jax
import numpy as np

import nnft_ppl as nnft

net = nnft.network("erf-net", width=20, input_dim=1, bias_std=1.0)
x, y = np.array([-1.0, 0.2, 1.0]), np.array([0.3, -0.5, 0.8])
compared = nnft.compare_posteriors(
    net,
    x,
    y,
    np.linspace(-1.5, 1.5, 31),
    noise_std=0.3,
    num_draws=2000,
    key=jax.random.key(0),
)

# %%
# The figure.

figure = nnft.plots.plot_predictive(compared)
