"""
Running of a coupling, with its slope
=====================================

The couplings at all cutoffs, the power law fitted to them, and below its exponent with
a band of 90 % beside the theory's local exponent. With a bias the ReLU-net has no pure
power: the local exponent goes to −5 at large cutoffs.
"""

import jax
import numpy as np

import nnft_ppl as nnft

net = nnft.network("relu-net", width=20, input_dim=1, bias_std=1.0)
x = np.array([0.2, 0.6, 1.2])
law = nnft.fit_running(
    nnft.exact_correlators(net, x, orders=(2, 4)),
    nnft.Action(["lambda_0"]),
    np.geomspace(7.0, 1e4, 6),
    key=jax.random.key(0),
    num_warmup=100,
    num_samples=200,
    num_chains=2,
)
print(law.summary().to_string())

# %%
# The figure.

figure = nnft.plots.plot_running(law)
