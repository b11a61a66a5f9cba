"""
Deviation from the Gaussian process by width
============================================

The first figure of arXiv:2008.08601: how far the 2-, 4- and 6-point functions are from
those of the Gaussian process, with the background of sampling noise. The plain moments
are lost in that noise at large widths; the conditional estimator is not.
"""

import jax
import numpy as np

import nnft_ppl as nnft

# %%
# Correlators of one network at several widths, by two estimators and exactly.

x = np.array([0.4, 0.8, 1.2])
key = jax.random.key(0)
everything = []
for width in (5, 20, 100, 500):
    net = nnft.network("relu-net", width=width, input_dim=1)
    everything.append(nnft.exact_correlators(net, x, orders=(2, 4, 6)))
    for estimator in ("moments", "conditional"):
        everything.append(
            nnft.measure_correlators(
                net, x, (2, 4, 6), num_draws=5000, key=key, estimator=estimator
            )
        )

# %%
# One panel for each order.

figure = nnft.plots.plot_deviation(everything)
