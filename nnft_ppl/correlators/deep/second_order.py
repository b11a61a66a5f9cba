"""The random kernel at one input by itself, to second order in 1/width.

In: the variance of the first preactivation and the layers above. Out: what the first
order leaves out there, exactly to the next order. At one input the random kernel is a
number, so that integrals over a line are all it takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from nnft_ppl._host import on_host
from nnft_ppl.correlators.deep.layer_recursion import LayerStep

type PerPoint = Float[np.ndarray, " point"]

_REACH, _PANELS, _NODES = 14.0, 112, 8
"""Gauss–Legendre panels on both sides of 0, where a kink may be."""


@dataclass(frozen=True)
class SecondOrder:
    """Cumulants of K̂(x, x), each (point,).

    Attributes:
        limit: Mean at infinite width.
        mean: First and second order of the mean, (2, point).
        variance: First and second order of the variance, (2, point).
        skew: Third cumulant, which begins at second order.
        mean_terms: The magnitudes of the terms that add to the mean's second order.
        variance_terms: The same of the variance.
    """

    limit: PerPoint
    mean: Float[np.ndarray, "2 point"]
    variance: Float[np.ndarray, "2 point"]
    skew: PerPoint
    mean_terms: PerPoint
    variance_terms: PerPoint


def second_order(steps: Sequence[LayerStep], first: PerPoint) -> SecondOrder:
    r"""Mean and variance of the output's K̂(x, x) to second order in 1/width.

    With F(K) = σ_b² + σ_W²⟨φ²⟩, and V and T the second and third cumulants of σ_W² φ²,
    the cumulants of F(K̂) + noise follow from the laws of total cumulance; for the
    variance C₁ + C₂, the mean's shift m₁ + m₂ and the third cumulant κ,

    .. math::
        C_2' &= F'^2 C_2 + F' F'' (\kappa + 2 m_1 C_1) + \tfrac12 F''^2 C_1^2
            + F' F''' C_1^2 + \tfrac1n (V' m_1 + \tfrac12 V'' C_1) \\
        \kappa' &= F'^3 \kappa + 3 F'^2 F'' C_1^2 + \tfrac3n F' V' C_1
            + \tfrac1{n^2} T

    Args:
        steps: From the first hidden layer to the output.
        first: Variance of the first preactivation, (point,).

    Source: the law of total cumulance (theory.md §3), expanded.
    """
    zero = np.zeros_like(first)
    kernel, m1, m2, c1, c2, skew = first, zero, zero, zero, zero, zero
    m2_terms, c2_terms = zero, zero
    for step in steps:
        square, fourth, sixth = (
            _derivatives(step, kernel, power) * step.weight_variance ** (power // 2)
            for power in (2, 4, 6)
        )
        _, f1, f2, f3, f4 = square
        noise = (fourth[0] - square[0] ** 2) / step.width
        noise1 = (fourth[1] - 2 * square[0] * f1) / step.width
        noise2 = (fourth[2] - 2 * f1**2 - 2 * square[0] * f2) / step.width
        third = sixth[0] - 3 * fourth[0] * square[0] + 2 * square[0] ** 3
        mean_terms = [
            f2 * m1**2 / 2,
            f3 * skew / 6,
            f3 * m1 * c1 / 2,
            f4 * c1**2 / 8,
        ]
        variance_terms = [
            f1 * f2 * skew,
            2 * f1 * f2 * m1 * c1,
            f2**2 / 2 * c1**2,
            f1 * f3 * c1**2,
            noise1 * m1,
            noise2 * c1 / 2,
        ]
        kernel, m1, m2, c1, c2, skew, m2_terms, c2_terms = (
            step.bias_variance + square[0],
            f1 * m1 + f2 * c1 / 2,
            f1 * m2 + f2 * c2 / 2 + sum(mean_terms),
            f1**2 * c1 + noise,
            f1**2 * c2 + sum(variance_terms),
            f1**3 * skew
            + 3 * f1**2 * f2 * c1**2
            + 3 * f1 * noise1 * c1
            + third / step.width**2,
            np.abs(f1) * m2_terms + np.abs(f2) * c2_terms / 2 + _size(mean_terms),
            f1**2 * c2_terms + _size(variance_terms),
        )
    return SecondOrder(
        kernel, np.stack([m1, m2]), np.stack([c1, c2]), skew, m2_terms, c2_terms
    )


def _size(terms: Sequence[PerPoint]) -> PerPoint:
    """Σ |term|."""
    return np.asarray(np.sum(np.abs(terms), axis=0))


def _derivatives(
    step: LayerStep, variance: PerPoint, power: int
) -> Float[np.ndarray, "5 point"]:
    """⟨φ^power⟩ and its derivatives by the variance, to the fourth.

    By the heat equation and parts ∂^k/∂K^k ⟨g(√K z)⟩ = (2K)^{−k} ⟨g(√K z) He_2k(z)⟩.
    """
    edges = np.linspace(-_REACH, _REACH, _PANELS + 1)
    x, w = np.polynomial.legendre.leggauss(_NODES)
    half = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + half * (x + 1)).ravel()
    density = (half * w).ravel() * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    with on_host(), jax.enable_x64(True):
        phi = step.activation.function(jnp.asarray(np.outer(np.sqrt(variance), z)))
        values = np.asarray(phi) ** power
    per_twice = np.divide(
        0.5, variance, out=np.zeros_like(variance), where=variance > 0
    )
    hermite = [np.polynomial.hermite_e.hermeval(z, [0] * 2 * k + [1]) for k in range(5)]
    return np.stack(
        [per_twice**k * (values @ (density * hermite[k])) for k in range(5)]
    )
