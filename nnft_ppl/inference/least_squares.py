r"""What the likelihood is made of: natural least squares, and the norm it leaves.

In natural units every entry counts alike. With D the response and y the data, at one
cutoff, the data enter as

    m = (DᵀD)⁻¹ Dᵀ y,   Q = |y − D m|²,

the least-squares couplings and what they leave. The truth is *defined* in the same way:
the couplings are those of exact data, the discrepancy s their relative misfit, n s² =
|δ|² with δ ⟂ D. So m is right on average at every size of the ensemble, whatever the
misfit, and Q measures s and nothing else. Given c and s

    m ~ N(c, H V Hᵀ + s² H A Aᵀ Hᵀ),   Q ~ scaled χ² of mean tr V⊥ + n s²,

V the covariance of the noise, V⊥ of what is left of it across D, H = (DᵀD)⁻¹Dᵀ. The
second term of the first is what other inputs would give: along the response, where it
cannot be seen, the misfit is taken to be as large as across it, in each order by
itself. With one order and p couplings it is (n/p) s² (DᵀD)⁻¹: a relative error s of a
single coupling.

Weights 1/(v + s²), mode by mode, would be more efficient if the action were exact. It
never is: most modes have next to no noise, they pin s near zero, and the couplings then
follow modes in which the misfit, small as it is, dominates (docs/calibration.md).

Source: theory.md §6; weights and error apart are the sandwich of H. White, Econometrica
    48, 817 (1980); the scaled χ² is F. E. Satterthwaite's, Biometrics Bulletin 2, 110
    (1946).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy import stats
from scipy.special import gammaln

from nnft_ppl._typing import Packed
from nnft_ppl.inference.likelihood import Likelihood

MISFIT_FREEDOM = 50.0
"""Degrees of freedom of the misfit's norm: s is meant to a tenth, not to the rounding
of exact data on just these inputs."""
RESOLVED_SHAPES = 5.0
"""Independent shapes in a smooth misfit, the couplings' own included: how many data
the evidence counts it as (docs/calibration.md)."""
_LOG_2PI = np.log(2 * np.pi)
_NOTHING = 1e-60
"""A power below the rounding of any data."""


class LeastSquares(NamedTuple):
    """The statistics of one cutoff and their law; float64 arrays.

    Attributes:
        estimate: (operator,) m, in units of c.
        residual: () Q, no less than rounding.
        projection: (operator, mode) H.
        along: (operator,) the data along an orthonormal basis B of the response, D = B
            R: on average R c, and defined where couplings cannot be told apart, too.
        response_root: (operator, operator) upper R with RᵀR = DᵀD.
        noise_root: (operator, operator) upper N with NᵀN = Bᵀ V B.
        misfit_root: (operator, operator) upper M with MᵀM = Bᵀ A Aᵀ B.
        noise_power: () tr V⊥, rounding included.
        noise_square: () half the variance of the noise's share of Q: tr V⊥².
        num_modes: () n.
        freedom: () degrees of freedom of the misfit's norm.
    """

    estimate: Any
    residual: Any
    projection: Any
    along: Any
    response_root: Any
    noise_root: Any
    misfit_root: Any
    noise_power: Any
    noise_square: Any
    num_modes: Any
    freedom: Any

    @property
    def sees_misfit(self) -> bool:
        """Whether data are left over to measure a misfit by."""
        number, modes = self.projection.shape[-2:]
        return bool(modes > number)


def least_squares(
    likelihood: Likelihood, cutoff: int, centre: Float[np.ndarray, " operator"]
) -> LeastSquares:
    """The statistics at one cutoff.

    Args:
        likelihood: From `build_likelihood`.
        cutoff: Index into its cutoffs.
        centre: Couplings c around which predictions are linearised, where they are not
            linear.
    """
    design = likelihood.response(cutoff, centre)
    basis, root = np.linalg.qr(design)
    projection = np.linalg.solve(root, basis.T)
    left = likelihood.amplitudes - likelihood.expected(cutoff, centre)
    across = left - basis @ (basis.T @ left)
    noise, rounding = likelihood.noise, likelihood.rounding
    along = (basis.T * noise) @ basis
    lost = float(np.sum(rounding) - np.trace((basis.T * rounding) @ basis))
    n, norms = len(design), misfit_norms(likelihood, cutoff, centre)
    power = max(float(np.sum(noise) - np.trace(along)) + lost, _NOTHING)
    square = float(
        np.sum(noise**2) - 2 * np.trace((basis.T * noise**2) @ basis) + np.sum(along**2)
    )
    return LeastSquares(
        estimate=centre + projection @ left,
        residual=max(float(across @ across), lost, _NOTHING),
        projection=projection,
        along=root @ centre + basis.T @ left,
        response_root=root,
        noise_root=_root(basis.T * np.sqrt(noise + rounding)),
        misfit_root=_root(basis.T @ likelihood.rotation.T * norms),
        noise_power=power,
        # Rounding may move all modes together: one degree of freedom.
        noise_square=max(square + lost**2, power**2 / n),
        num_modes=float(n),
        freedom=min(MISFIT_FREEDOM, max(float(n - len(root)), 1.0)),
    )


def _root(factor: np.ndarray) -> np.ndarray:
    """Upper U with UᵀU = factor factorᵀ."""
    return np.asarray(np.linalg.qr(factor.T, mode="r"))


def misfit_law(statistics: LeastSquares, discrepancy: Any) -> tuple[Any, Any]:
    r"""Shape and rate of the gamma distribution of Q, given s.

    .. math:: E Q = T + n s^2, \quad
        \tfrac12 \mathrm{var}\, Q = T_2 + 2 n s^2 T_2/T + (n s^2)^2/ν

    with T = tr V⊥ and T_2 = tr V⊥². The middle term is 2 δᵀV⊥δ for a misfit δ that is
    spread over the modes as the noise is; both are smooth.

    Args:
        statistics: From `least_squares`.
        discrepancy: s, NumPy or JAX, any shape.
    """
    power = statistics.num_modes * discrepancy**2
    mean = statistics.noise_power + power
    half = (
        statistics.noise_square * (1 + 2 * power / statistics.noise_power)
        + power**2 / statistics.freedom
    )
    return mean**2 / (2 * half), mean / (2 * half)


def estimate_factor(statistics: LeastSquares, discrepancy: jax.Array) -> jax.Array:
    """(operator, operator) lower F with FFᵀ the covariance of m, given s ().

    By QR of the roots: squares would lose operators that predict nearly the same.
    """
    rows = jnp.concatenate(
        [statistics.noise_root, discrepancy * statistics.misfit_root]
    )
    rows = jax.scipy.linalg.solve_triangular(statistics.response_root, rows.T).T
    upper = jnp.linalg.qr(rows, mode="r")
    return (upper * jnp.sign(jnp.diagonal(upper))[:, None]).T


def estimate_factors(
    statistics: LeastSquares, discrepancy: Float[np.ndarray, " s"]
) -> Float[np.ndarray, "s operator operator"]:
    """`estimate_factor` for many s, in NumPy."""
    rows = _roots(statistics, discrepancy)
    return _lower(rows @ np.linalg.inv(statistics.response_root).T)


def along_factors(
    statistics: LeastSquares, discrepancy: Float[np.ndarray, " s"]
) -> Float[np.ndarray, "s operator operator"]:
    """Lower G with GGᵀ the covariance of `along`, for many s."""
    return _lower(_roots(statistics, discrepancy))


def _roots(
    statistics: LeastSquares, discrepancy: Float[np.ndarray, " s"]
) -> Float[np.ndarray, "s row operator"]:
    """Rows whose squares are the covariance of `along`."""
    noise = np.broadcast_to(
        statistics.noise_root, (len(discrepancy), *statistics.noise_root.shape)
    )
    misfit = discrepancy[:, None, None] * statistics.misfit_root
    return np.concatenate([noise, misfit], axis=1)


def _lower(rows: Float[np.ndarray, "s row operator"]) -> np.ndarray:
    """Lower L with LLᵀ = rowsᵀ rows."""
    upper = np.linalg.qr(rows, mode="r")
    sign = np.sign(np.diagonal(upper, axis1=1, axis2=2))
    return np.asarray(np.swapaxes(upper * sign[:, :, None], 1, 2))


def log_volume(statistics: LeastSquares) -> float:
    r"""Logarithm of the data's volume per unit of (m, Q), for comparing actions.

    Evidences of actions are comparable as densities of the same data. A smooth misfit
    has few independent shapes: of the n data, `RESOLVED_SHAPES` count, the couplings
    take one each, and the others, d of them, are left to Q:

    .. math:: \sqrt{|D^T D|} \; \frac{π^{d/2}}{Γ(d/2)} Q^{d/2-1}.

    With d = n − (number of couplings) and white noise it would be the ordinary
    evidence.
    """
    diagonal = np.abs(np.diag(statistics.response_root))
    return float(np.sum(np.log(diagonal))) + log_norm_volume(statistics)


def log_norm_volume(statistics: LeastSquares) -> float:
    """The same per unit of (`along`, Q)."""
    if not statistics.sees_misfit:
        return 0.0
    half = max(RESOLVED_SHAPES - len(statistics.response_root), 1.0) / 2
    return float(
        half * np.log(np.pi) - gammaln(half) + (half - 1) * np.log(statistics.residual)
    )


def log_density(
    likelihood: Likelihood,
    cutoff: int,
    centre: Float[np.ndarray, " operator"],
    couplings: Float[np.ndarray, "*batch operator"],
    discrepancy: Float[np.ndarray, "*batch"],
) -> Float[np.ndarray, "*batch statistic"]:
    """Log density of the statistics: each component of m given those before it, then Q.

    Args:
        likelihood: From `build_likelihood`.
        cutoff: Index into its cutoffs.
        centre: As of `least_squares`.
        couplings: c.
        discrepancy: s.
    """
    statistics = least_squares(likelihood, cutoff, centre)
    shape = np.shape(discrepancy)
    factors = estimate_factors(statistics, np.ravel(discrepancy))
    if likelihood.is_linear:
        left = statistics.estimate - couplings
    else:
        data = likelihood.amplitudes - likelihood.expected(cutoff, couplings)
        left = data @ statistics.projection.T
    z = np.linalg.solve(factors, np.reshape(left, (len(factors), -1))[..., None])[
        ..., 0
    ]
    sd = np.diagonal(factors, axis1=1, axis2=2)
    parts = -0.5 * z**2 - np.log(sd) - 0.5 * _LOG_2PI
    if statistics.sees_misfit:
        law = misfit_law(statistics, np.ravel(discrepancy))
        norm = stats.gamma.logpdf(statistics.residual, law[0], scale=1 / law[1])
        parts = np.concatenate([parts, norm[:, None]], axis=1)
    return np.asarray(parts.reshape(*shape, -1))


def misfit_norms(
    likelihood: Likelihood, cutoff: int, centre: Float[np.ndarray, " operator"]
) -> Packed:
    """(entry,) size, at s = 1, of the misfit along the response in that entry's order.

    Its square is n times the order's share of Q, because what is off in the 6-pt
    function says nothing of the 4-pt function, over the number of couplings: the norm
    along the response, in all its directions together, is that across it.

    Args:
        likelihood: From `build_likelihood`.
        cutoff: Index into its cutoffs.
        centre: As of `least_squares`.
    """
    basis = np.linalg.qr(likelihood.response(cutoff, centre))[0]
    left = likelihood.amplitudes - likelihood.expected(cutoff, centre)
    across = likelihood.rotation @ (left - basis @ (basis.T @ left))
    norms = np.empty(len(across))
    for span in likelihood.spans:
        norms[span] = np.linalg.norm(across[span])
    whole = max(float(np.linalg.norm(across)), np.finfo(float).tiny)
    if len(likelihood.orders) == 1:
        norms[:] = whole
    return np.asarray(
        np.sqrt(len(likelihood.amplitudes) / likelihood.design.shape[-1])
        * norms
        / whole
    )


def along_response(
    likelihood: Likelihood, cutoff: int, centre: Float[np.ndarray, " operator"]
) -> Float[np.ndarray, "mode operator"]:
    """A, with s² A Aᵀ the covariance of the misfit along the response.

    B Mᵀ, with B an orthonormal basis of the response and M the `misfit_root`: nothing
    of it lies across the response, where Q has the misfit.
    """
    basis = np.linalg.qr(likelihood.response(cutoff, centre))[0]
    norms = misfit_norms(likelihood, cutoff, centre)
    return np.asarray(basis @ _root(basis.T @ likelihood.rotation.T * norms).T)
