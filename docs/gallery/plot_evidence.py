"""
Evidence of data by width
=========================

Do these data prefer a finite width? The log evidence at each width, and that of the
Gaussian process.
"""

import jax
import numpy as np

import nnft_ppl as nnft

net = nnft.network("erf-net", width=20, input_dim=1, bias_std=1.0)
x, y = np.array([-1.0, 0.2, 1.0]), np.array([0.3, -0.5, 0.8])
curve = nnft.evidence_by_width(
    net, [5, 20, 80], x, y, noise_std=0.3, num_draws=2000, key=jax.random.key(0)
)

# %%
# The figure.

figure = nnft.plots.plot_evidence(curve)
