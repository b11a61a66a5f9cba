"""The density of the field itself, to first order in the couplings (Edgeworth).

In: the kernel at a set of inputs and the response of the connected 4-pt function to
each coupling. Out: `EdgeworthDensity`, which weighs any values of the field; where the
values come from is not its business. A singular kernel is projected on the eigenmodes
that it determines.
"""

from dataclasses import dataclass
from math import factorial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float

from nnft_ppl._arguments import check_number
from nnft_ppl._arrays import real_numbers
from nnft_ppl._compile import compiled
from nnft_ppl._errors import SpecError
from nnft_ppl._typing import Matrix
from nnft_ppl.correlators.symmetric import entries, num_entries, positions
from nnft_ppl.correlators.wick import pack_kernel, wick_powers

_BLOCK_SIZE = 1 << 20
"""Hermite functions evaluated at once; 8 MB, which the processor's cache likes."""


@dataclass(frozen=True, eq=False)
class EdgeworthDensity:
    r"""p(f) = N(f; 0, K) [1 + Σ_i g_i b_i(f)], with G4c = Σ_i g_i A_i.

    .. math:: b_i(f) = \frac{1}{4!} \sum_{abcd} (A_i)_{abcd} H_{abcd}(f)

    H is the Hermite tensor with respect to K, K⁻¹ contracted on each leg. In the
    whitened eigenmodes u of the kernel it is the Wick-ordered product :u_a u_b u_c u_d:
    of independent unit normals. Divided by its standard deviation under the Gaussian
    it is orthonormal there, so that b_i = Σ_entry functions · amplitudes and
    E_GP[b_i b_j] = amplitudesᵀ amplitudes. p integrates to one, has covariance K and
    the fourth cumulant G4c, exactly and whatever g; but it is negative where the
    bracket is, which is where the first order has broken down.

    Attributes:
        whitening: (mode, point): u = whitening · f.
        amplitudes: (entry, coupling) of b_i in the orthonormal Hermite functions of the
            kept modes, packed.
        eigenvalues: (mode,) kept eigenvalues of the kernel, largest first.
        num_dropped: Eigenmodes left out.

    Source: theory.md §6; Demirtas, Halverson, Maiti, Schwartz, Stoner,
    arXiv:2307.03223.
    """

    whitening: Float[np.ndarray, "mode point"]
    amplitudes: Float[np.ndarray, "entry coupling"]
    eigenvalues: Float[np.ndarray, " mode"]
    num_dropped: int

    @staticmethod
    def build(
        kernel: Matrix, columns: ArrayLike, *, mode_tolerance: float = 1e-6
    ) -> "EdgeworthDensity":
        """The density for one kernel and any number of couplings.

        Args:
            kernel: K (point, point), output bias included.
            columns: A_i = ∂G4c/∂g_i, packed (entry, coupling).
            mode_tolerance: Eigenmodes of K below this share of the largest are left
                out: they are lost in the rounding of the field or of the columns.

        Raises:
            SpecError: Shapes disagree, numbers are not finite, the kernel is not
                positive, or the tolerance is not between 0 and 1.
        """
        kernel = real_numbers("entries of the kernel", kernel, "(point, point)")
        tensor = real_numbers("the columns", columns, "(entry, coupling)")
        if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or not kernel.size:
            raise SpecError(
                f"the kernel has shape {kernel.shape}; expected (point, point)"
            )
        num_points = len(kernel)
        if tensor.ndim != 2 or len(tensor) != num_entries(num_points, 4):
            raise SpecError(
                f"the columns have shape {tensor.shape}; expected "
                f"({num_entries(num_points, 4)}, couplings): the packed 4-pt function "
                f"of {num_points} points"
            )
        if not (np.isfinite(kernel).all() and np.isfinite(tensor).all()):
            raise SpecError("the kernel or the columns hold values that are not finite")
        check_number(
            "mode_tolerance",
            mode_tolerance,
            lambda tolerance: 0 < tolerance < 1,
            "a number between 0 and 1",
        )
        values, vectors = np.linalg.eigh((kernel + kernel.T) / 2)
        if not values[-1] > 0 or values[0] < -1e-8 * values[-1]:
            raise SpecError(
                f"the kernel has eigenvalues between {values[0]:.3g} and "
                f"{values[-1]:.3g}; a covariance has none below zero"
            )
        kept = np.flatnonzero(values > mode_tolerance * values[-1])[::-1]
        whitening = (vectors[:, kept] / np.sqrt(values[kept])).T
        square = np.indices((num_points,) * 4).reshape(4, -1).T
        whitened = tensor[positions(num_points, square)]
        whitened = whitened.reshape(*(num_points,) * 4, -1)
        for _ in range(4):  # each turn moves one whitened leg behind the couplings
            whitened = np.tensordot(whitened, whitening, axes=(0, 1))
        packed = np.moveaxis(whitened, 0, -1)[tuple(entries(len(kept), 4).T)]
        return EdgeworthDensity(
            whitening=whitening,
            amplitudes=packed * _norms(len(kept))[:, None],
            eigenvalues=values[kept],
            num_dropped=num_points - len(kept),
        )

    @property
    def num_modes(self) -> int:
        """Eigenmodes kept."""
        return len(self.eigenvalues)

    @property
    def information(self) -> Matrix:
        """Fisher information about the couplings per draw, (coupling, coupling).

        E_GP[b_i b_j] = (1/24) A_i·(K⁻¹)^⊗4·A_j: near the Gaussian process M draws leave
        each coupling a variance of at least the inverse's diagonal over M.

        Source: theory.md §6, "Efficiency".
        """
        return np.asarray(self.amplitudes.T @ self.amplitudes)

    def functions(self, fields: ArrayLike) -> Float[np.ndarray, "draw entry"]:
        """Orthonormal Hermite functions of the kept modes, float64.

        Args:
            fields: (draw, point).

        Raises:
            SpecError: The fields are not of this many points.
        """
        values = self._check(fields)
        block = max(1, _BLOCK_SIZE // len(self.amplitudes))
        out = np.empty((len(values), len(self.amplitudes)))
        with jax.enable_x64(True):
            for start in range(0, len(values), block):
                part = values[start : start + block]
                # Padded when there are several blocks, so that one program serves all.
                missing = block - len(part) if len(values) > block else 0
                modes = np.pad(part, ((0, missing), (0, 0))) @ self.whitening.T
                out[start : start + block] = _functions(modes)[: len(part)]
        return out

    def response(self, fields: ArrayLike) -> Float[np.ndarray, "draw coupling"]:
        """b_i(f): the bracket is 1 + Σ_i g_i b_i(f).

        Args:
            fields: (draw, point).

        Raises:
            SpecError: See `functions`.
        """
        return np.asarray(self.functions(fields) @ self.amplitudes)

    def log_density(
        self, fields: ArrayLike, couplings: ArrayLike
    ) -> Float[np.ndarray, " draw"]:
        """Log of p(f), −∞ where the bracket is not positive.

        With modes left out it is the density of the field's components along the kept
        orthonormal eigenvectors.

        Args:
            fields: (draw, point).
            couplings: (coupling,) g.

        Raises:
            SpecError: See `functions`, or there are not as many couplings as columns.
        """
        given = real_numbers("the couplings", couplings, "(coupling,)")
        if given.shape != self.amplitudes.shape[1:]:
            raise SpecError(
                f"the couplings have shape {given.shape}; expected "
                f"{self.amplitudes.shape[1:]}, one per column"
            )
        modes = self._check(fields) @ self.whitening.T
        gaussian = -0.5 * np.sum(modes**2, axis=1)
        gaussian = gaussian - 0.5 * np.sum(np.log(2 * np.pi * self.eigenvalues))
        bracket = 1 + self.response(fields) @ given
        positive = bracket > 0
        return np.asarray(
            np.where(
                positive, gaussian + np.log(np.where(positive, bracket, 1)), -np.inf
            )
        )

    def _check(self, fields: ArrayLike) -> Float[np.ndarray, "draw point"]:
        values = real_numbers("the fields", fields, "(draw, point)")
        if values.ndim != 2 or values.shape[1] != self.whitening.shape[1]:
            raise SpecError(
                f"the fields have shape {values.shape}; expected (draws, "
                f"{self.whitening.shape[1]}), one value per input"
            )
        return values


def _norms(num_modes: int) -> Float[np.ndarray, " entry"]:
    """Times :u_a u_b u_c u_d:, the orthonormal function: 1/√(Π multiplicity!).

    The same factor turns a packed tensor component into its share of (1/4!) Σ_abcd: an
    entry with 4!/Π m! permutations and E[:…:²] = Π m! contributes 1/Π m! times the
    plain product, which is √(1/Π m!) of the orthonormal one.
    """
    repeats = [
        [factorial(count) for count in np.unique(row, return_counts=True)[1]]
        for row in entries(num_modes, 4)
    ]
    return np.array([1 / np.sqrt(np.prod(row)) for row in repeats])


def _hermite_functions(modes: jax.Array) -> jax.Array:
    """(draw, mode) independent unit normals -> (draw, entry)."""
    num_modes = modes.shape[1]
    products = wick_powers(modes.T, jnp.asarray(pack_kernel(np.eye(num_modes))), (4,))
    functions: jax.Array = (products[4] * _norms(num_modes)[:, None]).T
    return functions


_functions = compiled(_hermite_functions)
