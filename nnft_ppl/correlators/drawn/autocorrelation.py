r"""Errors of draws that come in chains: the Γ-method.

With δ_i the deviation of draw i and Γ(t) the mean of δ_i δ_{i+t} over the pairs of all
chains, the variance of the mean of N draws is

.. math:: C/N, \quad C = 2 τ Γ(0), \quad
    τ = \Big(\tfrac12 + \sum_{t=1}^W Γ(t)/Γ(0)\Big) \Big(1 + \frac{2W + 1}{N}\Big)

for a window W after which nothing but noise would be added: the first at which
exp(−W/τ̃) < τ̃/√(WN), where τ̃ = S/ln((2τ + 1)/(2τ − 1)). The deviation is that of the
cumulant, to first order in those of the moments, so that each entry has its own τ.

Γ is summed over blocks, each with the W draws before it, by Fourier transform: memory
is a block, however long the chains.

Source: U. Wolff, Comput. Phys. Commun. 156 (2004) 143, equations 31, 35, 42, 49 and 52.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.fft
from jaxtyping import Float

from nnft_ppl._errors import SpecError
from nnft_ppl.correlators.drawn.products import standard_blocks
from nnft_ppl.correlators.drawn.units import Units
from nnft_ppl.correlators.drawn.values import Values

LEAST_TIMES = 20
"""Autocorrelation times that a chain must be long: of fewer no error can be told."""
_SLOPE = 2.0
"""S, τ̃ over τ: that of pyerrors; the paper takes 1 to 2."""
_FIRST_WINDOW = 128
_GROWTH = 8
_ROWS = 256
"""Quantities whose Fourier transforms are held."""

type Rows = Float[np.ndarray, "quantity draw"]


class Times(NamedTuple):
    """How long draws are correlated, and what the error of their mean is.

    Attributes:
        time: (quantity,) τ in draws; ½ where draws are independent.
        variance: (quantity,) of the mean.
    """

    time: Float[np.ndarray, " quantity"]
    variance: Float[np.ndarray, " quantity"]


def autocorrelation(
    values: Values, units: Units, size: int, deviations: Callable[[Rows], Rows]
) -> Times:
    """τ and the variance of the mean of each quantity.

    Args:
        values: The draws.
        units: Theirs.
        size: Draws of a block.
        deviations: Draws in units (leg, draw) -> δ (quantity, draw).

    Raises:
        SpecError: The chains are shorter than `LEAST_TIMES` autocorrelation times.
    """
    longest = values.length // 2
    window = min(longest, _FIRST_WINDOW)
    while True:
        found = _windowed(_functions(values, units, size, deviations, window), values)
        if found is not None or window >= longest:
            break
        window = min(longest, _GROWTH * window)
    worst = np.inf if found is None else float(found.time.max())
    if found is None or values.length < LEAST_TIMES * worst:
        told = (
            "still correlated after half of a chain"
            if found is None
            else f"correlated over {worst:.3g} draws"
        )
        raise SpecError(
            f"chains of {values.length} draws are too short: draws are {told}, and "
            f"expected are chains of {LEAST_TIMES} autocorrelation times and more; "
            "give longer chains, or leave out the beginning of each, or a chain whose "
            "mean is another than that of the others"
        )
    return found


def _functions(
    values: Values,
    units: Units,
    size: int,
    deviations: Callable[[Rows], Rows],
    window: int,
) -> Rows:
    """Γ(0) … Γ(W) of each quantity."""
    total = np.zeros((0, 0))
    before, current = np.zeros((0, 0)), -1
    for chain, field in standard_blocks(values, units, size):
        delta = deviations(field)
        if chain != current:
            before, current = np.zeros((len(delta), window)), chain
        joined = np.concatenate([before, delta], axis=1)
        if not total.size:
            total = np.zeros((len(delta), window + 1))
        length = scipy.fft.next_fast_len(joined.shape[1], real=True)
        for start in range(0, len(delta), _ROWS):
            some = slice(start, start + _ROWS)
            own = scipy.fft.rfft(delta[some], length, axis=1)
            all_of = scipy.fft.rfft(joined[some], length, axis=1)
            products = scipy.fft.irfft(own.conj() * all_of, length, axis=1)
            # A shift by W is no lag at all.
            total[some] += products[:, window::-1]
        before = joined[:, joined.shape[1] - window :]
    lags = np.arange(window + 1)
    return total / (values.num_draws - values.num_chains * lags)


def _windowed(functions: Rows, values: Values) -> Times | None:
    """What the windows give, or `None` where one is longer than the functions."""
    number, first = values.num_draws, functions[:, 0]
    ratio = np.divide(
        functions,
        first[:, None],
        out=np.zeros_like(functions),
        where=first[:, None] > 0,
    )
    times = 0.5 + np.cumsum(ratio[:, 1:], axis=1)
    windows = np.arange(1, times.shape[1] + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        decay = _SLOPE / np.log((2 * times + 1) / (2 * times - 1))
    decay = np.where(times > 0.5, decay, 1e-10)
    ends = np.exp(-windows / decay) < decay / np.sqrt(windows * number)
    if not ends.any(axis=1).all():
        return None
    window = ends.argmax(axis=1)
    time = times[np.arange(len(times)), window]
    time = time * (1 + (2 * windows[window] + 1) / number)
    # The noise of Γ must not make a variance negative.
    time = np.maximum(time, 0.5 / np.sqrt(number))
    return Times(time, 2 * time * first / number)
