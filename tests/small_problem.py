"""A likelihood of given numbers, where a test needs no network."""

import numpy as np

from nnft_ppl.inference.likelihood import Likelihood


def small_problem(design, data, noise, quadratic=None, rounding=0.0):
    """At one cutoff, with entries as modes and couplings in natural units.

    Args:
        design: (mode, operator).
        data: (mode,).
        noise: (mode,) or a number, variance.
        quadratic: (mode, operator, operator).
        rounding: (mode,) or a number, variance.
    """
    number = len(data)
    noise, rounding = np.zeros(number) + noise, np.zeros(number) + rounding
    return Likelihood(
        orders=(4,),
        num_entries=(number,),
        size=np.ones(number),
        rotation=np.eye(number),
        relative_noise=0.1,
        amplitudes=data,
        noise=noise,
        rounding=rounding,
        variance=noise + rounding,
        resolved=noise > rounding,
        design=design[None],
        quadratic=None if quadratic is None else quadratic[None],
        scale=np.ones((1, design.shape[1])),
    )
