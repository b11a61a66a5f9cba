"""Activations, and expectations of their products under a Gaussian.

In: an elementwise function and the covariance of its arguments. Out: E[φ(u) φ(v)], its
derivatives and its error, which layer recursions of kernels are made of.
"""

from nnft_ppl.activations.activation import Activation as Activation
