"""
Forest of dimensionless couplings
=================================

Couplings run over decades; in their natural units they can be compared between cutoffs
and between fits. Thick lines hold 50 % of the posterior, thin ones 90 %.
"""

import jax
import numpy as np

import nnft_ppl as nnft

# %%
# Two actions on the same data. In the second one two operators share the signal.

net = nnft.network("gauss-net", width=100, input_dim=1, bias_std=1.0)
x = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0])
key = jax.random.key(0)
corr = nnft.measure_correlators(net, x, (2, 4), num_draws=20_000, key=key)
fits = {
    " + ".join(names): nnft.fit_couplings(
        corr, nnft.Action(names), [2.0, 5.0, 10.0], key=key, sampler="conjugate"
    )
    for names in (["lambda_0"], ["lambda_0", "lambda_nl"])
}

# %%
# The figure.

figure = nnft.plots.plot_forest(fits)
