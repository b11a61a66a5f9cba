"""How far a network is from its Gaussian process on a few inputs, in two measures.

In: 2-pt and connected 4-pt functions at the inputs, by how much they differ from those
of the Gaussian process. Out: the relative 4-pt function, and the total variation
distance by the first terms of the Edgeworth series.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from nnft_ppl._errors import SpecError
from nnft_ppl._typing import Matrix, Packed
from nnft_ppl.correlators.symmetric import entries, entry_size, num_entries
from nnft_ppl.eft.density import EdgeworthDensity

_NUM_FIELDS = 100_000
"""Draws of the Gaussian process that the distance is averaged over: half a per cent."""


@dataclass(frozen=True, eq=False)
class Distance:
    """A distance, and the linear function of the correlators that it is.

    Attributes:
        value: The distance, dimensionless.
        weight: value = weight · (2-pt excess, connected 4-pt function), packed and
            concatenated; near these correlators, so that errors propagate through it.
        error: Standard error of the average that the distance is; 0 where it is none.
    """

    value: float
    weight: Packed
    error: float = 0.0


@dataclass(frozen=True, eq=False)
class GPDistance:
    r"""Both measures at one set of inputs, for any deviation from the Gaussian process.

    The relative 4-pt function is the largest over the entries of

    .. math:: |G^{(4)}_c(x_1 \dots x_4)| / (3 \prod_i \sqrt{K(x_i, x_i)}),

    the denominator the largest that a Gaussian 4-pt function of these variances can be;
    at a single input it is the relative deviation of E f⁴ from its Gaussian value.

    The total variation distance is half the mean of |b(f)| over the Gaussian process,

    .. math:: b(f) = \tfrac{1}{2} \sum \Delta_{ij} H_{ij}(f)
        + \tfrac{1}{4!} \sum G^{(4)}_{c,ijkl} H_{ijkl}(f),

    Δ the excess of the 2-pt function: the largest difference in probability of any
    event, to first order. Eigenmodes of K too small to be determined are left out.

    Attributes:
        kernel: K (point, point).
        response: (draw, quantity) b(f) of each unit of Δ and of G4c, packed and
            concatenated, at draws of the Gaussian process.
        num_modes: How many eigenmodes of K count.

    Source: theory.md §6; for the distance, p − p_GP = p_GP b.
    """

    kernel: Matrix
    response: Float[np.ndarray, "draw quantity"]
    num_modes: int

    @staticmethod
    def at(kernel: Matrix, mode_tolerance: float) -> "GPDistance":
        """The measures at inputs with the (point, point) kernel K.

        Eigenmodes below `mode_tolerance` times the largest are left out.
        """
        num_points = len(kernel)
        if not (np.diag(kernel) > 0).all():
            at = int(np.argmin(np.diag(kernel)))
            raise SpecError(
                f"the kernel of input {at} of this group with itself is "
                f"{kernel[at, at]:.3g}: the field is 0 there in every network, and has "
                "no distance from a Gaussian; leave the input out"
            )
        density = EdgeworthDensity.build(
            kernel, np.eye(num_entries(num_points, 4)), mode_tolerance=mode_tolerance
        )
        modes = np.random.default_rng(0).normal(size=(_NUM_FIELDS, density.num_modes))
        fields = modes @ np.linalg.pinv(density.whitening).T
        response = [
            _two_point_response(modes, density.whitening),
            density.response(fields),
        ]
        return GPDistance(kernel, np.concatenate(response, axis=1), density.num_modes)

    def relative_four_point(self, excess: Packed, connected: Packed) -> Distance:
        """Largest |G4c| over its natural size, from packed correlators."""
        size = 3 * entry_size(np.diag(self.kernel), 4)
        ratio = connected / size
        worst = int(np.argmax(np.abs(ratio)))
        weight = np.zeros(len(excess) + len(connected))
        weight[len(excess) + worst] = np.sign(ratio[worst]) / size[worst]
        return Distance(float(np.abs(ratio[worst])), weight)

    def total_variation(self, excess: Packed, connected: Packed) -> Distance:
        """½ E|b| for the packed 2-pt excess Δ and the connected 4-pt function."""
        bracket = self.response @ np.concatenate([excess, connected])
        weight = 0.5 * np.sign(bracket) @ self.response / len(bracket)
        error = 0.5 * np.abs(bracket).std() / np.sqrt(len(bracket))
        return Distance(float(0.5 * np.abs(bracket).mean()), weight, float(error))


def _two_point_response(
    modes: Float[np.ndarray, "draw mode"], whitening: Float[np.ndarray, "mode point"]
) -> Float[np.ndarray, "draw pair"]:
    """½ H_ij of each packed entry: ½ Σ_ab (u_a u_b − δ_ab) w_ai w_bj, both orders."""
    rows, columns = entries(whitening.shape[1], 2).T
    projected = modes @ whitening
    inverse = whitening.T @ whitening
    products = projected[:, rows] * projected[:, columns] - inverse[rows, columns]
    return np.asarray(np.where(rows == columns, 0.5, 1.0) * products)
