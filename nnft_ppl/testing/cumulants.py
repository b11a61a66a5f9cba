"""Exact connected correlators against the same from draws.

In: a network, inputs, draws. Out: `CheckResult`s. The 4-pt function of a net with a
linear last layer is that of its random kernel (theory.md §3).
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from nnft_ppl._errors import UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Packed, Points
from nnft_ppl.architecture import Readout
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.deep.recursion import recursion_correlators
from nnft_ppl.correlators.neuron.exact import exact_correlators
from nnft_ppl.correlators.symmetric import entries, entry_size
from nnft_ppl.testing.limit import Sweep
from nnft_ppl.testing.readout import weight_moment
from nnft_ppl.testing.result import (
    CheckResult,
    mean_and_error,
    not_compared,
    plugin_code,
    within_errors,
)
from nnft_ppl.testing.sampling import (
    FEWEST_EFFECTIVE,
    QUARTIC_POINTS,
    Sample,
    effective_draws,
)


def check_cumulants(
    network: Network, points: Points, sample: Sample, sweep: Sweep
) -> Iterator[CheckResult]:
    """G4c of the declared neuron, or of the declared layers, against sampled networks.

    That of hidden layers is the first order in 1/width, so it is compared at a larger
    width, and what it leaves out counts as one standard error.
    """
    few = points[:QUARTIC_POINTS]
    one_output = replace(network.hyperparameters, output_dim=1)  # they are all alike
    network = replace(network, hyperparameters=one_output)
    readout = network.readout()
    if readout is not None and not readout.is_symmetric:
        yield from _check_all_orders(network, few, sample)
    elif network.neuron() is not None:
        with plugin_code(network, "exact-four-point"):
            try:
                exact = exact_correlators(network, few, orders=(2, 4))
            except UnavailableError as refusal:
                yield not_compared("exact-four-point", str(refusal))
                return
        yield _check_four_point(
            "exact-four-point",
            sample,
            exact,
            exact.connected_error(4),
            "exact from its neuron and weight law",
        )
    elif network.hidden_layers() is not None and len(sweep.samples) > 1:
        width = sorted(sweep.samples)[1]
        with plugin_code(network, "recursion-four-point"):
            try:
                wide = network.with_width(width)
                first_order = recursion_correlators(wide, few, orders=(2, 4))
            except UnavailableError as refusal:
                yield not_compared("recursion-four-point", str(refusal))
                return
            known = first_order.connected_error(4)
        yield _check_four_point(
            "recursion-four-point",
            sweep.samples[width],
            first_order,
            known,
            f"first order in 1/width of its hidden layers, at width {width}",
        )


def _check_all_orders(
    network: Network, few: Points, sample: Sample
) -> Iterator[CheckResult]:
    """G1 to G3 of the declared neuron and weights, where f and −f are not alike."""
    if network.neuron() is None:
        yield not_compared("exact-odd-orders", "there is no neuron to tell them")
        return
    with plugin_code(network, "exact-odd-orders"):
        try:
            exact = exact_correlators(network, few, orders=(1, 2, 3))
        except UnavailableError as refusal:
            yield not_compared("exact-odd-orders", str(refusal))
            return
    field = sample.values[:, : len(few), 0].astype(np.float64)
    two_point = exact.moment(2)
    size = two_point[[i == j for i, j in exact.entries(2)]]
    for order in exact.orders:
        draws = field[:, exact.entries(order)].prod(axis=2)
        mean, error = mean_and_error(draws)
        yield within_errors(
            f"exact-order-{order}",
            mean,
            exact.moment(order),
            np.hypot(error, exact.error(order)),
            scale=entry_size(size, order),
            where=f"at entry {{}} of the first inputs; G{order} sampled, and exact by "
            "its neuron, weight law and mean of the bias",
        )


def _check_four_point(
    check: str, sample: Sample, theory: Correlators, known: Packed, source: str
) -> CheckResult:
    """One row; none is possible where a few draws make up the sampled average."""
    readout = theory.network.readout()
    if readout is None or sample.kernels is None:
        return not_compared(check, "there is no linear last layer")
    expected = theory.connected(4)
    if not np.isfinite(expected).all():
        return not_compared(check, "it is infinite at these weights")
    draws = four_point_draws(readout, sample)
    mean, error = mean_and_error(draws)
    effective = effective_draws(draws)
    if effective < FEWEST_EFFECTIVE:
        return not_compared(
            check,
            f"{effective:.0f} of {len(draws)} draws make up the sampled one: "
            "tails too heavy",
        )
    two_point = theory.connected(2)
    variance = two_point[[i == j for i, j in theory.entries(2)]]
    return within_errors(
        check,
        mean,
        expected,
        np.hypot(error, known),
        scale=entry_size(variance, 4),
        where=f"at entry {{}} of the first inputs; G4c sampled, and {source}",
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
