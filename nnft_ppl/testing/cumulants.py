"""Exact connected correlators against the same from draws.

In: a network, inputs, draws. Out: `CheckResult`s. The 4-pt function of a net with a
linear last layer is that of its random kernel (theory.md §3).
"""

from collections.abc import Iterator

import numpy as np

from nnft_ppl._errors import UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Packed, Points
from nnft_ppl.architecture import Readout
from nnft_ppl.correlators.measure import exact_correlators
from nnft_ppl.correlators.symmetric import entries, entry_size
from nnft_ppl.testing.readout import weight_moment
from nnft_ppl.testing.result import (
    CheckResult,
    mean_and_error,
    not_compared,
    plugin_code,
    within_errors,
)
from nnft_ppl.testing.sampling import QUARTIC_POINTS, Sample

_FEWEST_EFFECTIVE = 100.0
"""Draws that a variance must rest on for its error to be believed."""


def check_cumulants(
    network: Network, points: Points, sample: Sample
) -> Iterator[CheckResult]:
    """G4c of the declared neuron against sampled networks."""
    readout = network.readout()
    if network.neuron() is None or readout is None:
        return
    with plugin_code(network, "exact-four-point"):
        try:
            exact = exact_correlators(network, points[:QUARTIC_POINTS], orders=(2, 4))
        except UnavailableError as refusal:
            yield not_compared("exact-four-point", str(refusal))
            return
    expected, known = exact.connected(4), exact.connected_error(4)
    if not np.isfinite(expected).all():
        yield not_compared("exact-four-point", "it is infinite at these weights")
        return
    draws = four_point_draws(readout, sample)
    mean, error = mean_and_error(draws)
    deviations = draws - mean
    scatter = (deviations**2).sum(axis=0) ** 2
    effective = scatter / np.maximum((deviations**4).sum(axis=0), 1e-300)
    if effective.min() < _FEWEST_EFFECTIVE:
        yield not_compared(
            "exact-four-point",
            f"{effective.min():.0f} of {len(draws)} draws make up the sampled one: "
            "tails too heavy",
        )
        return
    two_point = exact.connected(2)
    variance = two_point[[i == j for i, j in exact.entries(2)]]
    yield within_errors(
        "exact-four-point",
        mean,
        expected,
        np.hypot(error, known),
        scale=entry_size(variance, 4),
        where="at entry {} of the first inputs; G4c = Σ Cov(K̂, K̂) of the net, and "
        "exact from its neuron and weight law",
    )


def four_point_draws(readout: Readout, sample: Sample) -> Packed:
    """What averages to G4c, (draw, entry); the bias of order 1/draws is removed."""
    assert sample.kernels is not None
    assert sample.quartics is not None
    num_points = min(QUARTIC_POINTS, sample.kernels.shape[1])
    kernels = sample.kernels[:, :num_points, :num_points]
    centred = kernels - kernels.mean(axis=0)
    i, j, k, l = entries(num_points, 4).T
    pairings = (
        centred[:, i, j] * centred[:, k, l]
        + centred[:, i, k] * centred[:, j, l]
        + centred[:, i, l] * centred[:, j, k]
    )
    count = len(kernels)
    excess = weight_moment(readout, 4) - 3
    return np.asarray(pairings * count / (count - 1) + excess * sample.quartics)
