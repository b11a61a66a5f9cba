"""Posterior predictive of the full correlators at the fitted inputs."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._typing import Matrix
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.partitions import MAX_ORDER
from nnft_ppl.correlators.symmetric import entries, num_entries
from nnft_ppl.correlators.wick import pack_kernel
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.expansion import expand
from nnft_ppl.eft.full_functions import around_mean, full_map
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

    Powers of 1/N are kept up to that of the action's largest operator: one half for
    fields to the third, one for fields to the fourth, two for fields to the sixth. The
    mean, where the action makes it, counts as a background, in all powers.

    Args:
        correlators: The data; give network and inputs.
        likelihood: The problem that was fitted.
        couplings: Dimensionless couplings c.
        discrepancy: s.
        order: 2, 4, 6 or 8; any from 1 to 8 where an operator has odd fields.
        which: Numbers of the cutoffs wanted.
        rng: For the discrepancy and the truncation; the same random numbers serve every
            cutoff.
        truncation: Law of the coefficients left out; without it they are zero.

    Raises:
        SpecError: Order not supported.
        UnavailableError: A truncation of an action with odd operators is asked for.
    """
    has_odd = likelihood.has_odd_orders
    allowed = range(1, MAX_ORDER + 1) if has_odd else range(2, MAX_ORDER + 1, 2)
    if order not in allowed:
        raise SpecError(
            f"order {order!r} cannot be predicted; choose among {[*allowed]}"
        )
    if has_odd and truncation is not None:
        raise UnavailableError(
            "`truncation` is of actions whose operators have even numbers of fields; "
            f"this one is fitted to orders {likelihood.orders}: leave it out"
        )
    network, x = correlators.network, correlators.x
    max_power = max(max(likelihood.orders) / 2 - 1, 0)
    kernel = pack_kernel(network.kernel(x))
    # About a mean that the action makes all orders below are needed.
    makes_mean = 1 in likelihood.orders
    mappings = {
        k: full_map(kernel, k, max_power, has_odd=has_odd)
        for k in (range(2, order + 1) if makes_mean else (order,))
    }
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
        found = {
            k: v + discrepancy[..., cutoff, None] * level[k] * noise[k]
            for k, v in connected.items()
        }
        central = {k: mapping.apply(found) for k, mapping in mappings.items()}
        draws[:, :, place] = (
            around_mean(found[1], central, order) if makes_mean else central[order]
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
        int(max_power),
        rng,
    )
    draws += error.reshape(draws.shape)
    return draws


def predict_shifted(
    correlators: Correlators,
    action: Action,
    cutoffs: Sequence[float],
    couplings: Float[np.ndarray, "chain draw wanted operator"],
    order: int,
) -> Float[np.ndarray, "chain draw wanted entry"]:
    """Draws of the mean or of the 2-pt function in the bare scheme.

    Zero or K, and the first-order shift by the operators. The exact connected 2-pt
    function of the field is K, and of the field less its mean the mean is zero, so the
    shift is how far the scheme is off. The renormalised scheme absorbs it, and higher
    moments, which are products with the 2-pt function as it is known, do without it in
    both.

    Args:
        correlators: The data; give network and inputs.
        action: In the bare scheme.
        cutoffs: Those wanted.
        couplings: g at those.
        order: 1 or 2.

    Source: theory.md §4, "bare scheme".
    """
    network, x = correlators.network, correlators.x
    expansion = expand(action, network, x, np.array(cutoffs), (1, 2))
    mean, shift = (
        np.einsum("...ci,cei->...ce", couplings, expansion.linear[k].values)
        for k in (1, 2)
    )
    if order == 1:
        return np.asarray(mean)
    full = pack_kernel(network.kernel(x)) + shift
    if action.makes_mean:
        full = full + np.prod(mean[..., entries(len(x), 2)], axis=-1)
    return np.asarray(full)


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
