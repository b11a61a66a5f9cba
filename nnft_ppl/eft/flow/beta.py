"""Beta functions of a whole action: how its couplings mix as the cutoff moves.

In: an action, a network and couplings. Out: dg/d log Λ, the matrix that mixes the
couplings, its eigenvalues, and how much of the running the action cannot follow.
"""

import numpy as np
import xarray as xr
from jaxtyping import ArrayLike, Float

from nnft_ppl._arrays import real_numbers
from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.flow.exponents import Response, responses
from nnft_ppl.eft.integration.pair_sums import check_cutoffs

_BATCH_AXES = ("chain", "draw")
_MAX_ERROR = 1e-3
"""Relative error of the mixing, from that of the integrals, above which it is NaN."""
_ROUNDING = 16 * float(np.finfo(np.float64).eps)


def beta_functions(
    action: Action,
    network: Network,
    x: ArrayLike,
    cutoffs: ArrayLike,
    couplings: Float[ArrayLike, "*batch cutoff operator"],
) -> xr.Dataset:
    r"""Beta functions β_i = dg_i/d log Λ of an action, leading order in the couplings.

    The correlators A(Λ) g(Λ), A the response of the connected correlators to the
    couplings, must not move with Λ:

    .. math:: A \frac{dg}{d\log Λ} = -\frac{dA}{d\log Λ} g, \qquad
        β = M g, \quad M = -A^{+} \frac{dA}{d\log Λ}.

    dA/dΛ is the exact boundary term of the integrals, not a difference. A⁺ is the least
    squares inverse in the natural units Π_i √K_W(x_i, x_i) of the fit. What the span of
    A cannot follow is left over: an operator that the action lacks would be generated.
    Operators with different numbers of fields do not mix at this order.

    For a fit with leftover misfit d − A g, the fitted couplings run with M g plus a
    term in the misfit, (AᵀA)⁻¹ (dA/d log Λ)ᵀ (d − A g), which is not a property of the
    action and not included.

    Args:
        action: The operators.
        network: Supplies the propagator.
        x: Distinct inputs (point, input_dim).
        cutoffs: Λ; at `math.inf` nothing runs.
        couplings: g at each cutoff; leading axes are chain and draw.

    Returns:
        `beta` (…, cutoff, operator). `mixing` M (cutoff, operator, source): the part of
        β of `operator` per unit coupling of `source`; for one operator M is its local
        exponent. `eigenvalue` (cutoff, mode), complex, largest real part first: the
        exponents of the combinations of couplings that run by themselves. `residual`
        (…, cutoff): the relative rate, per unit of log Λ, at which the correlators
        would still move (root mean square over entries, orders joined). `condition`
        (cutoff): of the design. NaN at cutoffs where the operators predict correlators
        so nearly proportional that the integrals do not tell their couplings apart.

    Raises:
        SpecError: The couplings have the wrong shape or are not finite, the operators
            are proportional at every cutoff, or see `local_exponent`.
        UnavailableError: See `first_order`.

    Source: theory.md §5.
    """
    given = check_cutoffs(cutoffs)
    values = _check_couplings(couplings, len(given), len(action.operators))
    found = responses(action, network, x, given)
    number = len(action.operators)
    mixing = np.zeros((len(given), number, number))
    condition = np.ones(len(given))
    moved, size = [], []
    for order in action.orders:
        members = [
            i for i, one in enumerate(action.operators) if one.num_fields == order
        ]
        block = [found[i] for i in members]
        a = np.stack([one.values for one in block], axis=-1)
        slope = np.stack([one.slope for one in block], axis=-1)
        log_size = np.stack([one.log_size for one in block], axis=-1)
        worst = _condition(a)
        condition = np.maximum(condition, worst)
        inverse = np.linalg.pinv(a)
        # In couplings scaled to responses of size 1, and back to g.
        scaled = -inverse @ slope
        ratio = np.exp(log_size[:, None, :] - log_size[:, :, None])
        known = _is_determined(worst, block)
        mixing[np.ix_(range(len(given)), members, members)] = np.where(
            known[:, None, None], scaled * ratio, np.nan
        )
        # Sizes relative to one operator, the largest: couplings alone may overflow.
        top = log_size.max(axis=1, keepdims=True)
        unit = values[..., members] * np.exp(log_size - top)
        left = np.einsum("cei,...ci->...ce", slope + a @ scaled, unit)
        left[..., ~known, :] = np.nan
        moved.append(np.mean(left**2, axis=-1))
        size.append(np.mean(np.einsum("cei,...ci->...ce", a, unit) ** 2, axis=-1))
    if np.isnan(mixing).any(axis=(1, 2)).all():
        raise SpecError(
            f"operators {list(action.names)} predict proportional correlators at these "
            "inputs, so that their couplings do not run separately; leave one out, or "
            "give inputs that tell them apart"
        )
    names = list(action.names)
    batch = _BATCH_AXES[-(values.ndim - 2) :] if values.ndim > 2 else ()
    return xr.Dataset(
        {
            "beta": (
                (*batch, "cutoff", "operator"),
                np.einsum("cij,...cj->...ci", mixing, values),
            ),
            "mixing": (("cutoff", "operator", "source"), mixing),
            "eigenvalue": (("cutoff", "mode"), _eigenvalues(mixing)),
            "residual": ((*batch, "cutoff"), _relative(moved, size)),
            "condition": ("cutoff", condition),
        },
        coords={"cutoff": list(given), "operator": names, "source": names},
    )


def _check_couplings(
    couplings: ArrayLike, num_cutoffs: int, num_operators: int
) -> np.ndarray:
    expected = (num_cutoffs, num_operators)
    shape = f"(cutoff, operator) = {expected}"
    values = real_numbers("`couplings`", couplings, shape)
    most = len(expected) + len(_BATCH_AXES)
    if values.shape[-2:] != expected or values.ndim > most:
        raise SpecError(
            f"`couplings` have shape {values.shape}; expected {shape}, "
            f"with chain and draw before them if there are any"
        )
    if not np.isfinite(values).all():
        raise SpecError("`couplings` hold a value that is not finite; give finite ones")
    return values


def _condition(a: np.ndarray) -> np.ndarray:
    """Ratio of extreme singular values at every cutoff; infinite where it is rank."""
    singular = np.linalg.svd(a, compute_uv=False)
    columns = a.shape[-1]
    if singular.shape[-1] < columns:  # fewer entries than operators
        return np.full(len(a), np.inf)
    smallest = np.maximum(singular[:, -1], np.finfo(np.float64).tiny)
    return np.asarray(singular[:, 0] / smallest)


def _is_determined(condition: np.ndarray, block: list[Response]) -> np.ndarray:
    """Whether the integrals are accurate enough to tell the operators apart."""
    error = np.max([one.error for one in block], axis=0) + _ROUNDING
    return np.asarray((condition * error <= _MAX_ERROR) | (len(block) == 1))


def _eigenvalues(mixing: np.ndarray) -> np.ndarray:
    """Sorted by real part, largest first; NaN where the matrix is."""
    values = np.full(mixing.shape[:2], np.nan, dtype=np.complex128)
    known = np.isfinite(mixing).all(axis=(1, 2))
    found = np.linalg.eigvals(mixing[known])
    order = np.argsort(-found.real, axis=1, kind="stable")
    values[known] = np.take_along_axis(found, order, axis=1)
    return values


def _relative(moved: list[np.ndarray], size: list[np.ndarray]) -> np.ndarray:
    """Root mean square over orders of moved/size; couplings of zero leave nothing."""
    parts = [
        np.divide(m, s, out=np.zeros_like(m), where=~(s == 0))
        for m, s in zip(moved, size, strict=True)
    ]
    return np.asarray(np.sqrt(np.mean(parts, axis=0)))
