"""E[Π (z_i² − c s_ii)] of Gaussian z with covariance s, exact for any number."""

import jax
import jax.numpy as jnp
import numpy as np


def mean_of_squares(covariance: jax.Array, centring: float) -> jax.Array:
    r"""Mean of a product of k centred squares, `covariance` being (k, k).

    By Isserlis' theorem it is a sum over permutations, a cycle of length n giving
    2^{n−1} Π s along it, and a fixed point (1 − c) s_ii. The sum is the coefficient of
    t_1 … t_k, every t once, in

    .. math:: \det(1 - 2TS)^{-1/2} e^{-c\,\mathrm{tr}\,TS}
        = \exp \sum_n \frac{2^{n-1}}{n} (1 - c\,\delta_{n1}) \mathrm{tr}(TS)^n,
        \quad T = \mathrm{diag}(t).

    Setting t_i = t on a subset and 0 elsewhere, the coefficient of t^k adds over
    subsets with alternating sign to the one sought: 2^k small traces, not k! products.
    """
    size = len(covariance)
    subsets = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
    sign = (-1.0) ** (size - subsets.sum(axis=1))
    chosen = covariance * jnp.asarray(subsets, covariance.dtype)[:, None, :]
    power, traces = chosen, [(1 - centring) * jnp.einsum("aii->a", chosen)]
    for n in range(2, size + 1):
        power = power @ chosen
        traces.append(2 ** (n - 1) * jnp.einsum("aii->a", power))
    # n c_n = Σ_j p_j c_{n−j} for the coefficients of exp Σ_j p_j t^j/j.
    coefficients = [jnp.ones_like(traces[0])]
    for n in range(1, size + 1):
        terms = (traces[j - 1] * coefficients[n - j] for j in range(1, n + 1))
        coefficients.append(sum(terms, jnp.zeros_like(traces[0])) / n)
    return jnp.asarray(sign, covariance.dtype) @ coefficients[size]
