"""
What training did, by width
===========================

Connected 3- and 4-point functions over Gaussian ones, distance from linearised networks
of infinite width, and couplings, before, during and after training.
"""

import jax
import numpy as np

import nnft_ppl as nnft

net = nnft.network("erf-net", width=8, input_dim=1, bias_std=0.5)
x = np.array([-1.0, -0.2, 0.6])
answer = nnft.training_by_width(
    net,
    [8, 20, 50],
    x,
    np.sin(3 * x),
    [-0.6, 0.2, 1.2],
    times=[0, 5, 20],
    num_draws=20_000,
    key=jax.random.key(0),
    method="gradient_descent",
    operators=["lambda_0"],
)

# %%
# The figure; `answer.message` says the same in sentences.

figure = nnft.plots.plot_training(answer)
