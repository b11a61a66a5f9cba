"""
Couplings at several cutoffs
============================

A coupling with its interval at each cutoff, and below the exponent of its running
beside the theory's. Several fits share a figure; here they are of two widths.
"""

import jax
import numpy as np

import nnft_ppl as nnft

# %%
# Two fits in closed form.

x = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
key = jax.random.key(0)
action = nnft.Action(["lambda_0"])
fits = []
for width in (20, 100):
    net = nnft.network("relu-net", width=width, input_dim=1)
    corr = nnft.measure_correlators(net, x, (2, 4), num_draws=10_000, key=key)
    fits.append(
        nnft.fit_couplings(
            corr, action, [7.0, 20.0, 100.0, 1000.0], key=key, sampler="conjugate"
        )
    )

# %%
# The figure.

figure = nnft.plots.plot_couplings(fits)
