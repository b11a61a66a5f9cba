r"""
Falloff of connected correlators, with its exponent
===================================================

Connected correlators fall as powers of the width: :math:`G_{4c} \propto N^{-1}` and
:math:`G_{6c} \propto N^{-2}`. :func:`nnft_ppl.falloff` gives the exponent with its
error. Noise is taken off the size at each width, and a width that is lost in it is left
out.
"""

import jax
import numpy as np

import nnft_ppl as nnft

# %%
# Measured at five widths, at the last of them by averages of plain products.

x = np.array([0.4, 1.0])
measured = []
for width in (20, 50, 100, 200, 1000):
    net = nnft.network("relu-net", width=width, input_dim=1)
    estimator = "moments" if width == 1000 else "conditional"
    key = jax.random.key(width)
    measured.append(
        nnft.measure_correlators(
            net, x, (2, 4, 6), num_draws=20_000, key=key, estimator=estimator
        )
    )
four, six = (nnft.falloff(measured, order) for order in (4, 6))
print(four.message)
print(six.message)

# %%
# Both in one figure.

figure = nnft.plots.plot_falloff([four, six])
