"""Errors of correlated draws, as the paper writes them: lag by lag, window by window.

Source: U. Wolff, Comput. Phys. Commun. 156 (2004) 143.
"""

import numpy as np


def gamma_method(chains, slope=2.0):
    """Variance of the mean and τ of one quantity, from its values (chain, draw)."""
    delta = np.asarray(chains, float)
    delta = delta - delta.mean()
    number, length = delta.size, delta.shape[1]

    def function(lag):  # eq. 31
        pairs = delta[:, : length - lag] * delta[:, lag:]
        return pairs.sum() / pairs.size

    first = function(0)
    total = first
    for window in range(1, length):
        total += 2 * function(window)
        time = total / first / 2  # eq. 41
        decay = 1e-10
        if time > 0.5:  # eq. 51
            decay = slope / np.log((2 * time + 1) / (2 * time - 1))
        if np.exp(-window / decay) < decay / np.sqrt(window * number):  # eq. 52
            break
    time *= 1 + (2 * window + 1) / number  # eq. 49
    return 2 * time * first / number, time


def autoregression(rng, rho, shape):
    """x_{i+1} = ρ x_i + √(1 − ρ²) e along the second axis: τ = ½ (1 + ρ)/(1 − ρ)."""
    noise = rng.standard_normal(shape)
    values = noise.copy()
    for i in range(1, shape[1]):
        values[:, i] = rho * values[:, i - 1] + np.sqrt(1 - rho**2) * noise[:, i]
    return values
