r"""The posterior to first order in 1/N, from the cumulants of the random kernel.

With K̂ = K + m + δ, E δ = 0 and C = Cov δ, both m and C of order 1/N, and with the log
evidence L, the mean μ and the covariance Σ of a Gaussian process as functions of its
kernel, averages over K̂ with weights e^L give, all at K and primes by K,

.. math::
    \log Z &= L + L' m + \tfrac12 (L'' : C + L' C L') \\
    E f &= \mu + \mu' m + \tfrac12 \mu'' : C + \mu' C L' \\
    \mathrm{Cov} f &= \Sigma + \Sigma' m + \tfrac12 \Sigma'' : C + \Sigma' C L'
        + \mu' C \mu'^T

Written C = Σ_k D_k D_k, each term takes two derivatives along one direction D_k.

Source: theory.md §3; the expansion of E[e^L F]/E[e^L] to second order in δ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve
from jaxtyping import ArrayLike, Float

from nnft_ppl._compile import compiled
from nnft_ppl.bayes.data import Data
from nnft_ppl.correlators.symmetric import positions

_LARGEST = 0.2
"""Corrections relative to what they correct, beyond which a first order is none.

Of 108 problems below it none was off by a tenth of the standard deviation of the field;
of 20 above it 6 were (docs/posterior_methods.md).
"""


class Moments(NamedTuple):
    """What is said of the data and of f at the new inputs; float64.

    Arrays are JAX's within a compiled program, else NumPy's.

    Attributes:
        log_evidence: log p(y) of all outputs together.
        mean: (new, output).
        covariance: (output, new, new), without noise.
    """

    log_evidence: Any
    mean: Any
    covariance: Any

    @property
    def variance(self) -> Float[np.ndarray, "new output"]:
        """(new, output)."""
        return np.diagonal(np.asarray(self.covariance), axis1=1, axis2=2).T


class Terms(NamedTuple):
    """What one direction D of the kernel gives.

    Attributes:
        first: L'D, μ'D, Σ'D.
        second: The terms with C, for C = D D.
        squared_slope: (L'D)².
    """

    first: Moments
    second: Moments
    squared_slope: jax.Array


def gaussian_process(
    kernel: jax.Array,
    rows: ArrayLike,
    new_rows: ArrayLike,
    y: jax.Array,
    noise: ArrayLike,
) -> Moments:
    """Of a Gaussian process with this kernel at the different inputs.

    Args:
        kernel: (different, different).
        rows: Which of them the data are at.
        new_rows: Which the new inputs are.
        y: (point, output).
        noise: σ.
    """
    rows, new_rows = jnp.asarray(rows), jnp.asarray(new_rows)
    seen = kernel[rows][:, rows] + noise**2 * jnp.eye(len(rows))
    cross, new = kernel[rows][:, new_rows], kernel[new_rows][:, new_rows]
    root = jnp.linalg.cholesky(seen)
    solved, gain = cho_solve((root, True), y), cho_solve((root, True), cross)
    log_det = 2 * jnp.sum(jnp.log(jnp.diagonal(root))) + len(rows) * jnp.log(2 * jnp.pi)
    num_outputs = y.shape[1]
    return Moments(
        -(jnp.sum(y * solved) + num_outputs * log_det) / 2,
        _product(cross.T, solved),
        jnp.broadcast_to(new - _product(cross.T, gain), (num_outputs, *new.shape)),
    )


def _direction_terms(
    directions: jax.Array,
    kernel: jax.Array,
    rows: ArrayLike,
    new_rows: ArrayLike,
    y: ArrayLike,
    noise: ArrayLike,
) -> Terms:
    """`Terms` of every direction, (direction, …).

    Args:
        directions: (direction, different, different), symmetric.
        kernel: K at the different inputs.
        rows: Which of them the data are at.
        new_rows: Which the new inputs are.
        y: (point, output).
        noise: σ.
    """
    targets = jnp.asarray(y)

    def one(direction: jax.Array) -> Terms:
        def moved(step: jax.Array) -> Moments:
            return gaussian_process(
                kernel + step * direction, rows, new_rows, targets, noise
            )

        def slope(step: jax.Array) -> Moments:
            of_step: Moments = jax.jvp(moved, (step,), (jnp.ones_like(step),))[1]
            return of_step

        zero = jnp.zeros((), kernel.dtype)
        first, bend = jax.jvp(slope, (zero,), (jnp.ones_like(zero),))
        weight = first.log_evidence
        return Terms(
            first,
            Moments(
                (bend.log_evidence + weight**2) / 2,
                bend.mean / 2 + first.mean * weight,
                bend.covariance / 2
                + first.covariance * weight
                + jnp.einsum("ao,bo->oab", first.mean, first.mean),
            ),
            weight**2,
        )

    many: Terms = jax.lax.map(one, directions, batch_size=16)
    return many


direction_terms = compiled(_direction_terms, ())


@dataclass(frozen=True, eq=False)
class Expansion:
    """A posterior to first order in 1/N, and what tells whether that is enough.

    Attributes:
        source: `exact`, `recursion` or `measured`: where the cumulants are from; or
            `fit`, of an effective theory.
        gaussian: The Gaussian process of infinite width.
        correction: Of order 1/N, to be added.
        error: One standard error of it; 0 where nothing was sampled.
        spread: L' C L', the variance of networks' log evidences at first order.
    """

    source: str
    gaussian: Moments
    correction: Moments
    error: Moments
    spread: float

    @property
    def log_evidence(self) -> float:
        """Log p(y)."""
        return float(self.gaussian.log_evidence + self.correction.log_evidence)

    @property
    def mean(self) -> Float[np.ndarray, "new output"]:
        """E f."""
        return np.asarray(self.gaussian.mean + self.correction.mean)

    @property
    def covariance(self) -> Float[np.ndarray, "output new new"]:
        """Cov f, which need not be positive where the first order does not hold."""
        return np.asarray(self.gaussian.covariance + self.correction.covariance)

    @property
    def variance(self) -> Float[np.ndarray, "new output"]:
        """Var f, of which the same holds."""
        return np.asarray(self.gaussian.variance + self.correction.variance)

    @property
    def size(self) -> float:
        """The largest correction of the predictive relative to what it corrects.

        Of a mean to the standard deviation there, of a variance to the variance. What
        is left out is of the order of its square. Log evidences say little of it: one
        may be far off, and vary over networks by much, in directions of the kernel that
        no prediction depends on.
        """
        variance = self.gaussian.variance
        return max(
            float(np.max(np.abs(self.correction.mean) / np.sqrt(variance))),
            float(np.max(np.abs(self.correction.variance) / variance)),
        )

    @property
    def holds(self) -> bool:
        """Whether corrections are so small that the next order can be left out."""
        return self.size <= _LARGEST

    @property
    def message(self) -> str:
        """Its validity in a sentence."""
        size = f"largest correction {self.size:.2g} of what it corrects"
        if self.holds:
            return (
                f"first order in 1/N holds here: {size}, so that about "
                f"{self.size**2:.1g} is left out"
            )
        return (
            "by its own size the first order in 1/N is not to be relied on here: "
            f"{size}, at most {_LARGEST:g}"
        )


def _product(left: jax.Array, right: jax.Array) -> jax.Array:
    product: jax.Array = jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
    return product


def expand_known(
    kernel: Float[np.ndarray, "different different"],
    shift: Float[np.ndarray, "different different"],
    covariance: Sequence[Float[np.ndarray, "pair pair"]],
    data: Data,
    noise: float,
) -> tuple[Moments, list[Moments], float]:
    """From m and C that are known.

    Args:
        kernel: K at the different inputs.
        shift: m.
        covariance: Parts of C, each packed as `correlators.symmetric.entries`; they
            need not be positive.
        data: Targets and inputs.
        noise: σ.

    Returns:
        The Gaussian process; what m, and every part of C, adds; and L' C L'.
    """
    num_points, signs, directions = len(kernel), [np.ones(1)], [shift[None]]
    for part in covariance:
        values, vectors = np.linalg.eigh(part)
        size = np.abs(values)
        kept = size > len(values) * np.finfo(float).eps * size.max()
        signs.append(np.sign(values[kept]))
        packed = (vectors * np.sqrt(size)).T[kept]
        directions.append(unpacked(packed, num_points))
    with jax.enable_x64(True):
        where = (data.rows, data.new_rows, jnp.asarray(data.y), noise)
        gaussian = gaussian_process(jnp.asarray(kernel), *where)
        terms = jax.device_get(
            direction_terms(
                jnp.asarray(np.concatenate(directions)), jnp.asarray(kernel), *where
            )
        )
    added = [Moments(*(part[0] for part in terms.first))]
    spread, first = 0.0, 1
    for sign in signs[1:]:
        these = slice(first, first + len(sign))
        added.append(
            Moments(*(np.tensordot(sign, part[these], 1) for part in terms.second))
        )
        spread += float(sign @ terms.squared_slope[these])
        first += len(sign)
    return jax.device_get(gaussian), added, spread


def unpacked(packed: np.ndarray, num_points: int) -> np.ndarray:
    """(…, pair) as symmetric (…, point, point)."""
    index = np.indices((num_points, num_points)).transpose(1, 2, 0)
    return np.asarray(packed[..., positions(num_points, index)])


def total(parts: Sequence[Moments]) -> Moments:
    """Sum of moments, as NumPy."""
    return Moments(*(np.sum(each, axis=0) for each in zip(*parts, strict=True)))


def squared(moments: Moments) -> Moments:
    """Squares of moments."""
    return Moments(*(np.square(part) for part in moments))
