"""
Evidence and leave-tuple-out of several actions
===============================================

Which operators describe the network? The log Bayes factor and the leave-tuple-out log
predictive density of each action, less those of the best.
"""

import jax
import numpy as np

import nnft_ppl as nnft

net = nnft.network("gauss-net", width=100, input_dim=1, bias_std=1.0)
x = np.array([-0.6, -0.2, 0.2, 0.6])
key = jax.random.key(0)
corr = nnft.measure_correlators(net, x, (2, 4), num_draws=20_000, key=key)
names = (["lambda_0"], ["lambda_nl"], ["lambda_0", "lambda_2"])
table = nnft.compare_actions(corr, [nnft.Action(n) for n in names], 10.0)
print(table[["action", "behind", "elpd_diff", "verdict"]].to_string())

# %%
# The figure.

figure = nnft.plots.plot_comparison(table)
