"""Posterior predictive of the full correlators at the fitted inputs."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nnft_ppl._errors import SpecError
from nnft_ppl._typing import Matrix
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.partitions import MAX_ORDER
from nnft_ppl.correlators.symmetric import num_entries
from nnft_ppl.correlators.wick import pack_kernel
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.expansion import expand
from nnft_ppl.eft.full_functions import full_map
from nnft_ppl.inference.couplings.omitted_orders import (
    TruncationPrior,
    coefficient_correlation,
    factored,
    known_coefficients,
    truncation_draws,
)
from nnft_ppl.inference.least_squares import misfit_norms
from nnft_ppl.inference.likelihood import Likelihood


def predict_moment(
    correlators: Correlators,
    likelihood: Likelihood,
    couplings: Float[np.ndarray, "chain draw cutoff operator"],
    discrepancy: Float[np.ndarray, "chain draw cutoff"],
    order: int,
    which: Sequence[int],
    rng: np.random.Generator,
    truncation: TruncationPrior | None = None,
) -> Float[np.ndarray, "chain draw wanted entry"]:
    """Draws of G^(order); see `CouplingFit.predict`.

    Powers of 1/N are kept up to that of the action's largest operator: one for fields
    to the fourth, two for fields to the sixth.

    Args:
        correlators: The data; give network and inputs.
        likelihood: The problem that was fitted.
        couplings: Dimensionless couplings c.
        discrepancy: s.
        order: 2, 4, 6 or 8.
        which: Numbers of the cutoffs wanted.
        rng: For the discrepancy and the truncation; the same random numbers serve every
            cutoff.
        truncation: Law of the coefficients left out; without it they are zero.

    Raises:
        SpecError: Order not supported.
    """
    allowed = range(2, MAX_ORDER + 1, 2)
    if order not in allowed:
        raise SpecError(
            f"order {order!r} cannot be predicted; choose among {[*allowed]}"
        )
    network, x = correlators.network, correlators.x
    max_power = max(likelihood.orders) // 2 - 1
    mapping = full_map(pack_kernel(network.kernel(x)), order, max_power)
    sampled = discrepancy.shape[:2]
    draws = np.empty((*sampled, len(which), num_entries(len(x), order)))
    propagator = network.propagator(x)
    noise = {
        k: rng.standard_normal((*sampled, factor.shape[1])) @ factor.T
        for k, factor in _misfit_factors(likelihood, propagator).items()
    }
    smooth = []
    for place, cutoff in enumerate(which):
        modes = likelihood.expected(cutoff, couplings[:, :, cutoff])
        values = likelihood.to_entries(modes)
        connected = {
            k: values[..., span]
            for k, span in zip(likelihood.orders, likelihood.spans, strict=True)
        }
        smooth.append(connected)
        level = _levels(likelihood, cutoff, couplings[:, :, cutoff].mean(axis=(0, 1)))
        draws[:, :, place] = mapping.apply(
            {
                k: v + discrepancy[..., cutoff, None] * level[k] * noise[k]
                for k, v in connected.items()
            }
        )
    if truncation is None or max_power >= order // 2 - 1:
        return draws
    flat = {
        k: np.stack([part[k] for part in smooth], axis=2).reshape(
            -1, len(which), num_entries(len(x), k)
        )
        for k in likelihood.orders
    }
    error = truncation_draws(
        known_coefficients(flat, propagator, truncation),
        network.kernel(x),
        propagator,
        order,
        max_power,
        rng,
    )
    draws += error.reshape(draws.shape)
    return draws


def predict_two_point(
    correlators: Correlators,
    action: Action,
    cutoffs: Sequence[float],
    couplings: Float[np.ndarray, "chain draw wanted operator"],
) -> Float[np.ndarray, "chain draw wanted entry"]:
    """Draws of G2 in the bare scheme: K and the first-order shift.

    The exact 2-pt function is K at every width, so the shift is how far the scheme is
    off. The renormalised scheme absorbs it, and higher moments, which are products with
    the 2-pt function as it is known, do without it in both.

    Args:
        correlators: The data; give network and inputs.
        action: In the bare scheme.
        cutoffs: Those wanted.
        couplings: g at those.

    Source: theory.md §4, "bare scheme".
    """
    network, x = correlators.network, correlators.x
    design = expand(action, network, x, np.array(cutoffs), (2,)).linear[2].values
    shift = np.einsum("...ci,cei->...ce", couplings, design)
    return np.asarray(pack_kernel(network.kernel(x)) + shift)


def _levels(
    likelihood: Likelihood, cutoff: int, couplings: Float[np.ndarray, " operator"]
) -> dict[int, float]:
    """By order, root mean square of the misfit over that of all orders."""
    # Those norms are shared between the directions of the couplings; this is across.
    norms = misfit_norms(likelihood, cutoff, couplings) * np.sqrt(len(couplings))
    return {
        k: float(norms[span][0] / np.sqrt(np.sum(likelihood.size[span] > 0)))
        for k, span in zip(likelihood.orders, likelihood.spans, strict=True)
    }


def _misfit_factors(likelihood: Likelihood, propagator: Matrix) -> dict[int, Matrix]:
    """By order, F with F Fᵀ the covariance of the model discrepancy at s = 1.

    The likelihood knows the misfit by its norm alone. A sum such as Σ_15 K·G4c would
    average out entries that are off independently; in truth the misfit is smooth, so
    here entries are correlated as their inputs are.
    """
    return {
        k: likelihood.size[span, None]
        * factored(coefficient_correlation(propagator, k))
        for k, span in zip(likelihood.orders, likelihood.spans, strict=True)
    }
