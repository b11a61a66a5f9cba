"""What the powers of 1/N that an action leaves out may add to a prediction.

In: the connected correlators that the couplings give. Out: draws of the truncation
error of G^(k). The coefficients left out are taken to be as large as those known, in
the manner of the nuclear effective field theories; what counts as size one is set by a
network that has every cumulant in closed form, one with linear hidden neurons.

With K the kernel and Q the expansion parameter, of order 1/N,

    G^(k)(e) = Σ_n c_n(e) Q^n T_n(e),  n = 0 … k/2 − 1

where T_n is what the linear network of the same kernel has at power n, so that its c_n
are all 1, and Q is that of the linear network whose 4-pt function is as large. c_n for
n beyond the action are drawn from a normal law of scale c̄, correlated between entries
as the inputs are, and c̄² from a scaled inverse χ² law.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nnft_ppl._typing import Matrix, Packed
from nnft_ppl.correlators.readout_weights import normal_moment
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.correlators.wick import (
    connected_from_moments,
    gaussian_moment,
    pack_kernel,
)
from nnft_ppl.eft.full_functions import full_map

_NEGLIGIBLE = 1e-8
"""Eigenvalues of a correlation matrix below this times the largest are dropped."""


@dataclass(frozen=True)
class TruncationPrior:
    """Scaled inverse χ² law of c̄², the variance of the coefficients.

    The defaults are worth the two coefficients 1 that the linear network shows. They
    are close to the best for 18 activations, none of them of the nets that the model
    was then tried on: docs/truncation.md.

    Args:
        degrees_of_freedom: ν_0, how many coefficients the prior is worth.
        scale: τ_0, their root mean square.
    """

    degrees_of_freedom: float = 2.0
    scale: float = 1.0


class Known(NamedTuple):
    """What the couplings of each draw say about the expansion.

    Args:
        parameter: Q.
        degrees_of_freedom: ν, those of the prior and of the coefficients known.
        scale: τ.
    """

    parameter: Float[np.ndarray, "*batch"]
    degrees_of_freedom: float
    scale: Float[np.ndarray, "*batch"]


def reference_connected(propagator: Matrix, order: int) -> Packed:
    """G^(k)_c of the linear network with this kernel, without its power of Q.

    f = Σ_j a_j h_j(x)/√N with h_j a Gaussian process: Q = 2/N. At one input G4c =
    3 K² Q, G6c = 30 K³ Q², G8c = 630 K⁴ Q³. Absolute values of the kernel are taken,
    so that it is a size, without accidental zeros where terms of both signs cancel.

    Args:
        propagator: (point, point) kernel without the output bias.
        order: Even order k.

    Source: theory.md §2, with Gaussian neurons.
    """
    size = np.abs(propagator)
    moments = {
        k: normal_moment(k) * gaussian_moment(size, k) for k in range(2, order + 1, 2)
    }
    cumulant = connected_from_moments(moments, len(size), order)[0]
    return np.asarray(cumulant / 2 ** (order // 2 - 1))


def reference_terms(
    kernel: Matrix, propagator: Matrix, order: int
) -> Float[np.ndarray, "power entry"]:
    """T_n, the part of G^(k) of the linear network that goes with Q^n.

    At one input without output bias T_n/T_0 is the elementary symmetric polynomial
    e_n(1, …, k/2 − 1), because E f^k = (k−1)!! K^{k/2} Π_j (1 + j Q).

    Args:
        kernel: (point, point), output bias included.
        propagator: The same without it.
        order: Even order k.
    """
    packed = np.abs(pack_kernel(kernel))
    connected = {k: reference_connected(propagator, k) for k in range(4, order + 1, 2)}
    sums = [
        full_map(packed, order, power).apply(connected) for power in range(order // 2)
    ]
    return np.diff(np.stack(sums), axis=0, prepend=0.0)


def coefficient_correlation(propagator: Matrix, order: int) -> Matrix:
    r"""Correlation of c_n between the entries of G^(k).

    .. math:: r(e, e') = \exp(-\tfrac14 \sum_{ij} d_i\, \rho_{ij}^2\, d_j)

    with ρ the correlation of the field between inputs and d_i by how many legs e and e'
    differ at input i. One leg moved from x to x' costs exp(−(1−ρ²)/2), near ρ itself;
    entries at equivalent inputs (ρ = ±1) have the same coefficient.

    Args:
        propagator: (point, point) kernel without the output bias.
        order: k.
    """
    std = np.sqrt(np.diag(propagator))
    scale = np.divide(1.0, std, out=np.zeros_like(std), where=std > 0)
    squared = (propagator * np.outer(scale, scale)) ** 2
    np.fill_diagonal(squared, 1.0)
    table = entries(len(squared), order)
    legs = (table[:, :, None] == np.arange(len(squared))).sum(axis=1)
    product = legs @ squared @ legs.T
    norm = np.diag(product)
    return np.asarray(np.exp(-(norm[:, None] + norm - 2 * product) / 4))


def effective_number(correlation: Matrix) -> float:
    """Number of independent values behind correlated ones: (tr r)²/tr r²."""
    return float(np.trace(correlation) ** 2 / np.sum(correlation**2))


def known_coefficients(
    connected: Mapping[int, Float[np.ndarray, "*batch entry"]],
    propagator: Matrix,
    prior: TruncationPrior,
) -> Known:
    """Q from the lowest connected correlator, c̄² from those above it.

    Q^{k/2−1} is the root mean square over entries of G^(k)_c over the linear network's.
    The next correlators, if the action has them, give coefficients c, worth as many
    as there are independent entries: ν = ν_0 + n, ν τ² = ν_0 τ_0² + n ⟨c²⟩.

    Args:
        connected: Order (4, 6, …) -> packed connected correlators of the couplings.
        propagator: (point, point) kernel without the output bias.
        prior: Of c̄².
    """
    ratios = {
        k: _root_mean_square_ratio(connected[k], reference_connected(propagator, k))
        for k in sorted(connected)
    }
    lowest, *higher = ratios
    parameter = ratios[lowest] ** (1 / (lowest // 2 - 1))
    freedom = prior.degrees_of_freedom
    total = freedom * prior.scale**2 + np.zeros_like(parameter)
    for k in higher:
        number = effective_number(coefficient_correlation(propagator, k))
        coefficient = ratios[k] / parameter ** (k // 2 - 1)
        freedom, total = freedom + number, total + number * coefficient**2
    return Known(parameter, freedom, np.sqrt(total / freedom))


def truncation_draws(
    known: Known,
    kernel: Matrix,
    propagator: Matrix,
    order: int,
    max_power: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "draw cutoff entry"]:
    """Draws of Σ_{n > max_power} c_n Q^n T_n, one for each draw of the couplings.

    The sum ends at n = k/2 − 1, the power of G^(k)_c itself; no geometric series, which
    at Q > 1 would not converge, is needed.

    Args:
        known: From `known_coefficients`, batch (draw, cutoff); the cutoffs of one draw
            share the random numbers.
        kernel: (point, point), output bias included.
        propagator: The same without it.
        order: Even order k of the prediction.
        max_power: Highest power of 1/N that the prediction has.
        rng: Random numbers.

    Source: Furnstahl, Klco, Phillips, Wesolowski, arXiv:1506.01343, for the posterior
        of the coefficients left out; Melendez et al., arXiv:1904.10581, for the
        conjugate law of c̄² and the correlation. T_n in place of the reference scale
        y_ref, and the finite sum, are ours.
    """
    terms = reference_terms(kernel, propagator, order)
    num_draws = len(known.parameter)
    chi_squared = rng.chisquare(known.degrees_of_freedom, num_draws)
    spread = known.scale * np.sqrt(known.degrees_of_freedom / chi_squared)[:, None]
    factor = factored(coefficient_correlation(propagator, order))
    total = np.zeros((*known.parameter.shape, terms.shape[1]))
    for power in range(max_power + 1, len(terms)):
        normals = rng.standard_normal((num_draws, factor.shape[1])) @ factor.T
        size = spread * known.parameter**power
        shape = normals * terms[power]
        for cutoff in range(size.shape[1]):  # one at a time: all are large together
            total[:, cutoff] += size[:, cutoff, None] * shape
    return total


def _root_mean_square_ratio(values: np.ndarray, reference: Packed) -> np.ndarray:
    """Over the entries where the field does not vanish."""
    alive = reference > 0
    ratio = values[..., alive] / reference[alive]
    return np.asarray(np.sqrt(np.mean(ratio**2, axis=-1)))


def factored(correlation: Matrix) -> Matrix:
    """F with F Fᵀ = the correlation, without the columns that are rounding."""
    values, vectors = np.linalg.eigh(correlation)
    keep = values > _NEGLIGIBLE * values[-1]
    return np.asarray(vectors[:, keep] * np.sqrt(values[keep]))
