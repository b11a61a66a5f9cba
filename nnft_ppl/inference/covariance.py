"""The sampling noise of measured correlators as independent modes.

In: an estimated covariance in natural units, what the Gaussian process alone would make
of it, and the responses that couplings are to be read from. Out: an orthogonal basis
and one variance per mode.

The networks that give the correlators give their covariance too, and where tails are
heavy the two are correlated: a draw far out moves an entry and widens its error. Least
squares with weights from the inverse of that covariance then follows the entries that
happen to be low; with 126 entries the bias reaches 2 standard errors (Peelle's puzzle;
docs/calibration.md). So nothing that decides a weight is estimated here. Couplings are
read with equal weights (`least_squares`); what the responses span is one block, with
the covariance that the data give it, and what is left over is in modes of the kernel's,
each with the data's variance.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nnft_ppl._typing import Matrix, Packed
from nnft_ppl.correlators.symmetric import entries, positions

_ROUNDING = 1e-7
"""Rounding of second moments summed in float32, relative to the largest mode."""
_OWN_SHARE = 0.3
"""What an entry has to itself of an expansion's remainder, relative to all of it.

Of `recursion_error`, beside a factor common to all entries of the 4-pt function, where
a million networks and more were sampled (widths 10 and 30, depths 2 and 3, two scales
of weights, three inputs): 0.03 to 0.31 for a kinked activation, 0.02 to 0.16 for smooth
ones; the common factor 0.5 to 1.0 and 0.14 to 0.6.
"""
_FAINT = 1e-2
"""Responses smaller than this, in standard errors, need no mode of their own."""


class NoiseModes(NamedTuple):
    """Independent modes of the noise.

    Attributes:
        rotation: (entry, mode) orthogonal; modes = rotationᵀ (data / size).
        variance: (mode,) from sampling, or of what an expansion leaves out.
        rounding: Variance below which a mode is not trusted, added to every mode.
        relative_noise: Root mean square over entries of that error over size.
    """

    rotation: Matrix
    variance: Float[np.ndarray, " mode"]
    rounding: float
    relative_noise: float

    def plus(self, factor: Float[np.ndarray, "entry block"]) -> "NoiseModes":
        """With another, independent error of covariance F Fᵀ, in natural units."""
        own = self.rotation * np.sqrt(self.variance)
        rotation, sd, _ = np.linalg.svd(np.concatenate([own, factor], axis=1))
        relative = np.mean(np.sum(factor**2, axis=1))
        return NoiseModes(
            rotation,
            sd**2,
            self.rounding,
            float(np.sqrt(self.relative_noise**2 + relative)),
        )


def no_noise(num_entries: int) -> NoiseModes:
    """The modes of exact data: the entries themselves."""
    return NoiseModes(np.eye(num_entries), np.zeros(num_entries), 0.0, 0.0)


def common_factor(data: Packed, relative: float) -> NoiseModes:
    """The modes of what an expansion leaves out: one factor on all data, nearly.

    The next order in 1/width moves all entries together. Taken as independent between
    them it would be averaged down: with d the data and r its relative size, the
    covariance is r² (d dᵀ + share² ⟨d²⟩ 1).

    Args:
        data: (entry,) in natural units.
        relative: r.
    """
    rotation = np.linalg.svd(data[:, None])[0]  # the data's direction first
    own = _OWN_SHARE**2 * np.mean(data**2)
    variance = np.full(len(data), own)
    variance[0] += data @ data
    return NoiseModes(rotation, relative**2 * variance, 0.0, relative)


def noise_modes(
    covariance: Matrix,
    num_batches: int,
    models: Sequence[Matrix],
    responses: Float[np.ndarray, "entry response"],
) -> NoiseModes:
    """Modes of the noise: those that the responses span, then all others.

    With A an orthonormal basis of the responses, M the model and Σ̂ the data's
    covariance, the noise is

        A (AᵀΣ̂A) Aᵀ + Σ_k v_k u_k u_kᵀ

    with u_k the eigenvectors of M across A, and v_k the data's variance along them.
    Couplings whose response lies in A have, by least squares with equal weights, the
    error that the data give these weights.

    Args:
        covariance: Σ̂ of the estimates, in natural units (entry, entry).
        num_batches: Batch means it was estimated from.
        models: Covariances up to a factor, in natural units, one for each order in
            turn, taken as independent; see `gaussian_models`.
        responses: Columns that span what couplings can do to the data, natural units.

    Source: weights and error apart are the sandwich of H. White, Econometrica 48, 817
        (1980); AᵀΣ̂A is the compressed covariance of A. F. Heavens, R. Jimenez,
        O. Lahav, MNRAS 317, 965 (2000).
    """
    noise = _scaled_models(covariance, models)
    largest = float(np.linalg.eigvalsh(covariance)[-1])
    rounding = _ROUNDING * largest
    lower = np.linalg.cholesky(noise + rounding * np.eye(len(noise)))
    span = lower @ _span(np.linalg.solve(lower, responses))
    number = span.shape[1]
    frame = np.linalg.qr(span, mode="complete")[0]
    basis, rest = frame[:, :number], frame[:, number:]
    explained, turn = np.linalg.eigh(basis.T @ covariance @ basis)
    modes = rest @ np.linalg.eigh(rest.T @ noise @ rest)[1]
    left = np.einsum("ek,ef,fk->k", modes, covariance, modes, optimize=True)
    inflation = _widening(num_batches)
    return NoiseModes(
        rotation=np.concatenate([basis @ turn, modes], axis=1),
        variance=np.maximum(np.concatenate([inflation * explained, left]), 0.0),
        rounding=rounding,
        relative_noise=float(np.sqrt(np.mean(np.diag(covariance)))),
    )


def gaussian_models(kernel: Matrix, sizes: Mapping[int, Packed]) -> list[Matrix]:
    """`gaussian_covariance` of each order in natural units.

    Args:
        kernel: (point, point).
        sizes: order -> (entry,) natural size; entries of size zero are left out.
    """
    models = []
    for order, size in sizes.items():
        alive = size > 0
        model = gaussian_covariance(kernel, order)[np.ix_(alive, alive)]
        models.append(model / np.outer(size[alive], size[alive]))
    return models


def gaussian_covariance(kernel: Matrix, order: int) -> Matrix:
    """Covariance of Wick-ordered products of a Gaussian field.

    Σ over permutations of Π_i K(x_i, y_perm(i)), by recursion on the first field as a
    permanent is expanded along a row. The conditional estimator has the same, up to a
    factor, where features are Gaussian: Cov(K̂_ab, K̂_cd) ∝ K_ac K_bd + K_ad K_bc.

    Args:
        kernel: (point, point).
        order: Number k of fields.

    Returns:
        (entry, entry) over packed entries of order k.
    """
    num_points = len(kernel)
    total = np.ones((1, 1))
    for k in range(1, order + 1):
        table = entries(num_points, k)
        rest = positions(num_points, table[:, 1:])
        terms = [
            kernel[np.ix_(table[:, 0], table[:, m])]
            * total[np.ix_(rest, positions(num_points, np.delete(table, m, axis=1)))]
            for m in range(k)
        ]
        total = np.sum(terms, axis=0)
    return total


def _scaled_models(covariance: Matrix, models: Sequence[Matrix]) -> Matrix:
    """Block-diagonal model with the data's mean variance in each block."""
    scaled = np.zeros_like(covariance)
    start = 0
    for model in models:
        span = slice(start, start + len(model))
        factor = np.trace(covariance[span, span]) / np.trace(model)
        scaled[span, span] = factor * model
        start = span.stop
    return scaled


def _span(whitened: Float[np.ndarray, "entry response"]) -> Matrix:
    """Orthonormal basis of the responses that noise can tell from nothing."""
    left, singular, _ = np.linalg.svd(whitened, full_matrices=False)
    return left[:, singular > _FAINT * min(1.0, singular[0])]


def _widening(num_batches: int) -> float:
    """The variance of a t distribution over that of a normal one.

    The variance of a coupling is estimated from few batches, B, and so its error has
    B − 1 degrees of freedom.
    """
    return (num_batches - 1) / max(num_batches - 3, 1)
