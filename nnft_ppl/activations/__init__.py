"""Activations, and expectations of their products under a Gaussian.

In: an elementwise function and the covariance of its arguments. Out: E[φ(u) φ(v)], its
derivatives and its error, which layer recursions of kernels are made of.
"""

from nnft_ppl.activations.activation import Activation as Activation
from nnft_ppl.activations.dual import mean_product as mean_product
from nnft_ppl.activations.dual import mean_product_error as mean_product_error
from nnft_ppl.activations.dual import mean_slope_product as mean_slope_product
from nnft_ppl.activations.dual import mean_square as mean_square
from nnft_ppl.activations.dual import mean_square_error as mean_square_error
from nnft_ppl.activations.dual import share_left_out as share_left_out
