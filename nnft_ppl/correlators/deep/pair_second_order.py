"""The random kernel at two inputs, to second order in 1/width, for smooth activations.

In: the covariances of the first preactivation at pairs of inputs and the layers above.
Out: how large the second order of the output's kernel is, entry by entry. Derivatives
of Gaussian means are means of derivatives (Price), of which the activation must have
eight; those of a kink are not seen.
"""

from collections.abc import Callable, Sequence
from math import comb

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from nnft_ppl._host import on_host
from nnft_ppl.activations import Activation
from nnft_ppl.correlators.deep.layer_recursion import LayerStep

type PerPair = Float[np.ndarray, "pair 3"]

_LEGS = ((0, 0), (0, 1), (1, 1))
"""The three entries aa, ab, bb of the kernel of a pair."""

_DERIVATIVES = 8
_STEP, _REACH = 0.15, 7.0
"""Of the trapezoidal rule along both normal numbers; an estimate needs no more."""

_PAIRS = 16
"""Pairs at a time, for the memory that derivatives at all nodes take."""


def pair_second_order(
    steps: Sequence[LayerStep], first: PerPair
) -> tuple[PerPair, PerPair]:
    """Magnitudes of the second order of mean and variance of K̂ at aa, ab, bb.

    The terms are those of `second_order`, with K̂ a vector of three: J, H, D and E the
    first four derivatives of F, N the covariance of the layer's own noise, T its third
    cumulant. Each goes on to the output by J and H, and their magnitudes add there.

    Args:
        steps: From the first hidden layer to the output; the activation is smooth.
        first: Covariance of the first preactivation at aa, ab, bb.

    Source: the law of total cumulance (theory.md §3), expanded.
    """
    parts = [
        _second_order(steps, first[start : start + _PAIRS])
        for start in range(0, len(first), _PAIRS)
    ]
    mean, variance = zip(*parts, strict=True)
    return np.concatenate(mean), np.concatenate(variance)


def _second_order(
    steps: Sequence[LayerStep], first: PerPair
) -> tuple[PerPair, PerPair]:
    """The same of a few pairs."""
    num_pairs = len(first)
    kernel, m1 = first, np.zeros((num_pairs, 3))
    c1, skew = np.zeros((num_pairs, 3, 3)), np.zeros((num_pairs, 3, 3, 3))
    # Terms of the second order, (term, pair, 3) and (term, pair, 3, 3).
    m2, c2 = np.zeros((0, num_pairs, 3)), np.zeros((0, num_pairs, 3, 3))
    for step in steps:
        w, n = step.weight_variance, step.width
        means = _Means(step.activation, kernel)
        products = means.of_products()
        value, j, h, d, e = (w * part for part in products)
        noise, noise1, noise2 = (w**2 / n * part for part in means.noise(products))
        third = w**3 / n**2 * means.third_cumulant(products[0])
        half = _ein("pik,pjab,pkab->pij", j, h, skew) / 2
        mixed = _ein("pia,pab,pjbc,pc->pij", j, c1, h, m1)
        steep = _ein("pia,pab,pjbcd,pcd->pij", j, c1, d, c1) / 2
        c2_terms = [
            half + _turned(half),
            mixed + _turned(mixed),
            _ein("piab,pbc,pjcd,pda->pij", h, c1, h, c1) / 2,
            steep + _turned(steep),
            _ein("pija,pa->pij", noise1, m1),
            _ein("pijab,pab->pij", noise2, c1) / 2,
        ]
        m2_terms = [
            _ein("piab,pa,pb->pi", h, m1, m1) / 2,
            _ein("piabc,pabc->pi", d, skew) / 6,
            _ein("piabc,pa,pbc->pi", d, m1, c1) / 2,
            _ein("piabcd,pab,pcd->pi", e, c1, c1) / 8,
        ]
        bent = _ein("pja,pab,pibc,pcd,pkd->pijk", j, c1, h, c1, j)
        loud = _ein("pia,pab,pjkb->pijk", j, c1, noise1)
        skew = _ein("pia,pjb,pkc,pabc->pijk", j, j, j, skew) + third
        for axes in ((0, 1, 2), (1, 0, 2), (2, 1, 0)):
            skew = skew + np.transpose(bent + loud, (0, *(1 + a for a in axes)))
        carried, bend = _ein("pia,tpa->tpi", j, m2), _ein("piab,tpab->tpi", h, c2) / 2
        m2 = np.concatenate([carried, bend, m2_terms])
        c2 = np.concatenate([_ein("pia,tpab,pjb->tpij", j, c2, j), c2_terms])
        m1 = _ein("pia,pa->pi", j, m1) + _ein("piab,pab->pi", h, c1) / 2
        c1 = _ein("pia,pab,pjb->pij", j, c1, j) + noise
        kernel = step.bias_variance + value
    variances = np.diagonal(c2, axis1=2, axis2=3)
    return np.abs(m2).sum(axis=0), np.abs(variances).sum(axis=0)


def _ein(formula: str, *arrays: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum(formula, *arrays, optimize=True))


def _turned(square: np.ndarray) -> np.ndarray:
    return np.swapaxes(square, 1, 2)


class _Means:
    """Gaussian means of products of φ and its derivatives at pairs of arguments."""

    def __init__(self, activation: Activation, kernel: PerPair) -> None:
        """Evaluate φ and its derivatives at the nodes of both arguments."""
        along = np.arange(-_REACH, _REACH + _STEP / 2, _STEP)
        u, v = (part.ravel() for part in np.meshgrid(along, along))
        self._weights = _STEP**2 / (2 * np.pi) * np.exp(-(u**2 + v**2) / 2)
        std = np.sqrt(kernel[:, [0, 2]])
        size = std[:, 0] * std[:, 1]
        rho = np.divide(kernel[:, 1], size, out=np.zeros(len(size)), where=size > 0)
        rho = rho.clip(-1, 1)[:, None]
        z = (std[:, :1] * u, std[:, 1:] * (rho * u + np.sqrt(1 - rho**2) * v))
        tower = _tower(activation.function)
        with on_host(), jax.enable_x64(True):
            both = [np.asarray(tower(jnp.asarray(one))) for one in z]
        # φ^p and its derivatives, (derivative, pair, node), by Leibniz.
        self._powers = [{1: phi} for phi in both]
        for powers in self._powers:
            one = powers[1]
            for power in (2, 3, 4, 5, 6):
                top = {2: 9, 3: 5, 4: 5}.get(power, 1)
                powers[power] = np.stack(
                    [
                        sum(
                            comb(k, i) * powers[power - 1][i] * one[k - i]
                            for i in range(k + 1)
                        )
                        for k in range(top)
                    ]
                )

    def mean(self, powers: tuple[int, int], moves: Sequence[int]) -> np.ndarray:
        """A derivative of E[φ_a^p φ_b^q], by the entries of K in `moves`: (pair,)."""
        by_a, by_b = (sum(_LEGS[m].count(leg) for m in moves) for leg in (0, 1))
        product = self._weights
        for leg, (power, order) in enumerate(zip(powers, (by_a, by_b), strict=True)):
            if power:
                product = product * self._powers[leg][power][order]
            elif order:
                return np.zeros(self._powers[0][1].shape[1])
        halves = 0.5 ** sum(m != 1 for m in moves)
        return np.asarray(halves * product.sum(axis=-1))

    def derivative(self, powers: tuple[int, int], order: int) -> np.ndarray:
        """All derivatives of one order, (pair, 3, …)."""
        found = {}
        shape = (3,) * order
        for moves in np.ndindex(*shape):
            key = tuple(sorted(moves))
            if key not in found:
                found[key] = self.mean(powers, key)
        table = [found[tuple(sorted(moves))] for moves in np.ndindex(*shape)]
        return np.stack(table, axis=-1).reshape(-1, *shape)

    def of_products(self) -> list[np.ndarray]:
        """F without σ_W², and its derivatives to the fourth, (pair, 3, …)."""
        return [
            np.stack([self.derivative(_powers(i), k) for i in range(3)], axis=1)
            for k in range(5)
        ]

    def noise(self, f: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Cov(φφ, φφ) of a unit and its derivatives to the second, (pair, 3, 3, …)."""
        four = [
            np.stack(
                [
                    np.stack([self.derivative(_powers(i, j), k) for j in range(3)], 1)
                    for i in range(3)
                ],
                axis=1,
            )
            for k in range(3)
        ]
        value, j, h = f[:3]
        product = np.einsum("pi,pj->pij", value, value)
        slope = np.einsum("pia,pj->pija", j, value)
        bend = np.einsum("piab,pj->pijab", h, value)
        bend = bend + np.einsum("pia,pjb->pijab", j, j)
        return [
            four[0] - product,
            four[1] - slope - _turned(slope),
            four[2] - bend - _turned(bend),
        ]

    def third_cumulant(self, value: np.ndarray) -> np.ndarray:
        """Of φφ, φφ, φφ of one unit, (pair, 3, 3, 3)."""
        four = np.stack(
            [
                np.stack([self.mean(_powers(i, j), ()) for j in range(3)], axis=1)
                for i in range(3)
            ],
            axis=1,
        )
        cumulant = np.empty((len(value), 3, 3, 3))
        for i, j, k in np.ndindex(3, 3, 3):
            cumulant[:, i, j, k] = (
                self.mean(_powers(i, j, k), ())
                - four[:, i, j] * value[:, k]
                - four[:, i, k] * value[:, j]
                - four[:, j, k] * value[:, i]
                + 2 * value[:, i] * value[:, j] * value[:, k]
            )
        return cumulant


def _powers(*kernel_entries: int) -> tuple[int, int]:
    """How often φ_a and φ_b occur in a product of entries."""
    legs = [leg for entry in kernel_entries for leg in _LEGS[entry]]
    return legs.count(0), legs.count(1)


def _tower(
    function: Callable[[jax.Array], jax.Array],
) -> Callable[[jax.Array], jax.Array]:
    """φ and its derivatives, elementwise, (derivative, …)."""

    def at(z: jax.Array) -> list[jax.Array]:
        found, slope = [], function
        for _ in range(_DERIVATIVES + 1):
            found.append(slope(z))
            slope = _slope(slope)
        return found

    return jax.jit(lambda z: jnp.stack(at(z)))


def _slope(function: Callable[[jax.Array], jax.Array]) -> Callable[..., jax.Array]:
    return lambda z: jax.jvp(function, (z,), (jnp.ones_like(z),))[1]
