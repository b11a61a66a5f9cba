"""Leave a tuple of inputs out: cross-validation when the data are correlated.

In: a `CouplingFit`. Out: ArviZ's `ELPDData` at one cutoff. ArviZ needs the density of
each datum given the others and the parameters; for a correlated normal that is not the
density of the datum alone, and it has no function for it. A datum here is one entry of
a correlator, that is one tuple of inputs, or all entries in which one input occurs.

In natural units the covariance is Σ(s) = R (V + s² (1 + A Aᵀ)) Rᵀ with R orthogonal, V
diagonal and A of as many columns as there are couplings (`along_response`): the misfit
is as large along the response as across it. So no draw of s needs a matrix of its own.
"""

import dataclasses
import warnings

import arviz_stats as az
import numpy as np
import xarray as xr
from scipy.special import logsumexp

from nnft_ppl._arguments import check_choice, check_kind
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.inference.couplings.arviz_tree import entry_coordinates
from nnft_ppl.inference.couplings.conjugate import solve
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.inference.least_squares import along_response
from nnft_ppl.inference.likelihood import Likelihood
from nnft_ppl.inference.posterior import cutoff_number

UNITS = ("entry", "input")
_PRIOR_DRAWS = 1000
_LOG_2PI = np.log(2 * np.pi)


def leave_tuple_out(
    fit: CouplingFit, cutoff: float, *, by: str = "entry"
) -> az.ELPDData:
    r"""PSIS leave-one-out at one cutoff, over tuples of inputs.

    .. math:: \log p(y_i | y_{-i}, θ) = \log N(y_i; y_i - [Pr]_i / P_{ii}, 1/P_{ii}),
        \quad P = Σ(s)^{-1}, \; r = y - G_c(c),

    for every posterior draw θ = (c, s), which ArviZ then weights.

    Args:
        fit: From `fit_couplings`.
        cutoff: One of its cutoffs.
        by: `entry` leaves out one tuple of inputs at a time. `input` leaves out every
            entry that an input occurs in, all at once: prediction at an input never
            seen. With few inputs that is most of the data, and importance sampling from
            the full posterior fails (tried: off by 1 at a Pareto k of 0.6), so each
            input is left out by a refit in closed form, and `pareto_k` is 0 as after
            ArviZ's `reloo`. Where there is no closed form look at `pareto_k`.

    Returns:
        ArviZ's result, pointwise, densities in natural units (data over `size`), with
        coordinates `order` and `legs` per entry, or `point` per input. Entries at which
        the field vanishes carry no data and are not listed.

    Raises:
        SpecError: The fit has no such cutoff, or `by` is unknown.

    Source: Bürkner, Gabry, Vehtari, Computational Statistics 36 (2021) 1243,
        arXiv:1810.10559 §3; Sundararajan, Keerthi, Neural Computation 13 (2001) 1103.
    """
    check_kind("fit", fit, CouplingFit, "what fit_couplings returns")
    check_choice("by", by, UNITS)
    which = cutoff_number(fit.cutoffs, cutoff)
    likelihood = fit.likelihood
    residual = likelihood.amplitudes - likelihood.expected(
        which, fit.dimensionless[:, :, which]
    )
    s = fit.discrepancy[:, :, which]
    along = along_response(likelihood, which, fit.centre(which))
    num_points = len(fit.correlators.x)
    groups = _entries_of_inputs(likelihood, num_points)
    sampled = ("chain", "draw")
    if by == "entry":
        density = entry_conditionals(likelihood, along, residual, s)
        units = xr.Dataset(coords=entry_coordinates(likelihood, num_points))
        units = units.isel(entry=_alive(likelihood))
        pointwise = units.assign(connected=((*sampled, "entry"), density))
    else:
        density = np.stack(
            [
                block_conditional(likelihood, along, residual, s, left_out)
                for left_out in groups.values()
            ],
            axis=-1,
        )
        units = xr.Dataset(coords={"point": list(groups)})
        pointwise = units.assign(connected=((*sampled, "point"), density))
    posterior = xr.Dataset(
        {
            "dimensionless": (
                (*sampled, "operator"),
                fit.dimensionless[:, :, which],
            )
        }
    )
    if fit.has_discrepancy:
        posterior["discrepancy"] = (sampled, s)
    if fit.prior.is_hierarchical:
        posterior["natural_size"] = (sampled, fit.natural_size[:, :, which])
    tree = xr.DataTree.from_dict({"posterior": posterior, "log_likelihood": pointwise})
    with warnings.catch_warnings():
        # Whoever asks gets `pareto_k`, and our tables count the high ones.
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto")
        loo = az.loo(tree, pointwise=True)
    if by == "entry" or not likelihood.is_linear:
        return loo
    return _refitted(fit, which, loo, list(groups.values()))


def num_high_pareto_k(loo: az.ELPDData) -> int:
    """How many left-out units the importance weights cannot be trusted for."""
    return int(np.sum(np.asarray(loo.pareto_k) > loo.good_k))


def entry_conditionals(
    likelihood: Likelihood,
    along: np.ndarray,
    residual: np.ndarray,
    discrepancy: np.ndarray,
) -> np.ndarray:
    """Conditional log p(y_i | y_−i, θ) of every entry and draw, natural units.

    Args:
        likelihood: Gives R and V.
        along: (mode, operator) A.
        residual: (chain, draw, mode) data less prediction.
        discrepancy: (chain, draw) s.

    Returns:
        (chain, draw, entry), entries of size zero left out.
    """
    rotation = likelihood.rotation[_alive(likelihood)]
    variance = likelihood.variance + np.square(discrepancy)[..., None]
    # Σ⁻¹ = W − W B Bᵀ W with W diagonal, B = s A L⁻ᵀ and L Lᵀ = 1 + s² AᵀWA.
    weighted, _ = _update(variance, discrepancy, along)
    pull = residual / variance
    shared = np.einsum("...mo,...m->...o", weighted, residual)
    pull -= np.einsum("...mo,...o->...m", weighted, shared)
    diagonal = (1 / variance) @ np.square(rotation).T
    for column in range(along.shape[1]):
        diagonal -= np.square(weighted[..., column] @ rotation.T)
    pull = pull @ rotation.T
    return np.asarray(0.5 * (np.log(diagonal) - _LOG_2PI - np.square(pull) / diagonal))


def block_conditional(
    likelihood: Likelihood,
    along: np.ndarray,
    residual: np.ndarray,
    discrepancy: np.ndarray,
    left_out: np.ndarray,
) -> np.ndarray:
    """Conditional log p(y_B | y_−B, θ) of one block of entries, for every draw.

    The density of all modes less that of the entries kept, in whose eigenvectors of
    R_k V R_kᵀ + s² only A is not diagonal.

    Args:
        likelihood: Gives R and V.
        along: (mode, operator) A.
        residual: (…, mode) data less prediction.
        discrepancy: (…) s.
        left_out: (entry,) true for the entries of the block.

    Returns:
        (…) natural units.
    """
    kept = likelihood.rotation[_alive(likelihood) & ~left_out]
    whole = _log_normal(residual, likelihood.variance, discrepancy, along)
    if not len(kept):
        return np.asarray(whole)
    variance, basis = _modes_of(kept, likelihood.variance)
    rest = _log_normal(residual @ basis.T, variance, discrepancy, basis @ along)
    return np.asarray(whole - rest)


def _refitted(
    fit: CouplingFit, which: int, loo: az.ELPDData, blocks: list[np.ndarray]
) -> az.ELPDData:
    """The same result with log p(y_B | y_−B) of each block from a fit without it."""
    density = loo.elpd_i.copy(data=[_refit(fit, which, block) for block in blocks])
    mean_density = float(loo.elpd) + float(loo.p)  # at the posterior, nothing left out
    elpd = float(density.sum())
    return dataclasses.replace(
        loo,
        elpd=elpd,
        se=float(np.sqrt(len(blocks) * np.var(density.to_numpy()))),
        p=mean_density - elpd,
        elpd_i=density,
        pareto_k=xr.zeros_like(loo.pareto_k),
        warning=False,
    )


def _refit(fit: CouplingFit, which: int, left_out: np.ndarray) -> float:
    """Log p(y_B | y_−B), averaged over the closed form of the entries kept."""
    likelihood, prior, action = fit.likelihood, fit.prior, fit.action
    width = fit.correlators.network.width
    if np.sum(_alive(likelihood) & ~left_out) > len(action.names):
        without = solve(
            _restricted(likelihood, left_out),
            which,
            prior.scales_at(prior.natural_size, width, action),
            prior.discrepancy_scale if fit.has_discrepancy else None,
            prior.size_prior(action),
        )
        weight, s = without.weight, without.discrepancy
        mean, factor = without.mean, without.factor
    else:  # nothing to fit, so the prior
        before = prior.draw(
            np.random.default_rng(fit.seed),
            (_PRIOR_DRAWS,),
            width,
            action,
            discrepancy=fit.has_discrepancy,
        )
        weight = np.full(_PRIOR_DRAWS, 1 / _PRIOR_DRAWS)
        s = np.zeros(_PRIOR_DRAWS) if before.discrepancy is None else before.discrepancy
        size = (
            np.full(_PRIOR_DRAWS, prior.natural_size)
            if before.natural_size is None
            else before.natural_size
        )
        scales = prior.scales_at(size, width, action)
        mean, factor = np.zeros_like(scales), scales[..., None] * np.eye(len(scales[0]))
    density = _averaged_conditional(fit, which, left_out, s, mean, factor)
    return float(logsumexp(density, b=weight))


def _averaged_conditional(
    fit: CouplingFit,
    which: int,
    left_out: np.ndarray,
    discrepancy: np.ndarray,
    mean: np.ndarray,
    factor: np.ndarray,
) -> np.ndarray:
    """`block_conditional` averaged over couplings c = mean + factor·u, u ~ N(0, 1).

    The logarithm of the conditional is −(g + 2 hᵀu + uᵀGu)/2 and a constant, so the
    average of it is normal too.

    Args:
        fit: Gives data, noise and predictions, linear in the couplings.
        which: Number of the cutoff.
        left_out: (entry,) true for the entries of the block.
        discrepancy: (component,) s.
        mean: (component, operator).
        factor: (component, operator, operator).
    """
    likelihood = fit.likelihood
    design = likelihood.design[which]
    along = along_response(likelihood, which, fit.centre(which))
    columns = np.concatenate(
        [(likelihood.amplitudes - mean @ design.T)[..., None], -design @ factor],
        axis=-1,
    )
    alive = _alive(likelihood)
    gram, log_det = _gram(columns, likelihood.variance, discrepancy, along)
    kept = likelihood.rotation[alive & ~left_out]
    if len(kept):
        variance, basis = _modes_of(kept, likelihood.variance)
        rest = _gram(basis @ columns, variance, discrepancy, basis @ along)
        gram, log_det = gram - rest[0], log_det - rest[1]
    pull, precision = gram[..., 1:, :1], np.eye(factor.shape[-1]) + gram[..., 1:, 1:]
    square = gram[..., 0, 0] - np.sum(
        pull * np.linalg.solve(precision, pull), axis=(-2, -1)
    )
    log_det = log_det + np.linalg.slogdet(precision)[1]
    return np.asarray(-0.5 * (square + log_det + np.sum(alive & left_out) * _LOG_2PI))


def _restricted(likelihood: Likelihood, left_out: np.ndarray) -> Likelihood:
    """The likelihood of the other entries, in modes in which noise is independent."""
    kept = likelihood.rotation[_alive(likelihood) & ~left_out]
    noise, basis = _modes_of(kept, likelihood.noise)
    rotation = np.zeros((len(likelihood.size), len(kept)))
    rotation[_alive(likelihood) & ~left_out] = kept @ basis.T
    return dataclasses.replace(
        likelihood,
        rotation=rotation,
        amplitudes=basis @ likelihood.amplitudes,
        noise=noise,
        rounding=np.square(basis) @ likelihood.rounding,
        variance=np.square(basis) @ likelihood.variance,
        resolved=noise > 0,
        design=basis @ likelihood.design,
    )


def _modes_of(kept: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Independent modes of some entries, whatever s.

    Args:
        kept: (kept, mode) rows R_k of the rotation.
        variance: (mode,) V.

    Returns:
        Eigenvalues of R_k V R_kᵀ, and the matrix (kept, mode) from all modes to these.
    """
    # The smallest variance is split off so that a constant V stays exact.
    floor = variance.min()
    values, vectors = np.linalg.eigh((kept * (variance - floor)) @ kept.T)
    return np.maximum(values, 0) + floor, vectors.T @ kept


def _update(
    variance: np.ndarray, discrepancy: np.ndarray, along: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """W s A L⁻ᵀ (…, mode, operator) and the diagonal of L (…, operator).

    W = 1/variance and L Lᵀ = 1 + s² AᵀWA, lower triangular: what A adds to a diagonal
    covariance, by Sherman, Morrison and Woodbury.
    """
    columns = np.asarray(discrepancy)[..., None, None] * along / variance[..., None]
    inner = np.eye(along.shape[1]) + np.einsum(
        "...mo,...,mp->...op", columns, discrepancy, along
    )
    lower = np.linalg.cholesky(inner)
    scaled = np.swapaxes(np.linalg.solve(lower, np.swapaxes(columns, -1, -2)), -1, -2)
    return scaled, np.diagonal(lower, axis1=-2, axis2=-1)


def _gram(
    columns: np.ndarray,
    variance: np.ndarray,
    discrepancy: np.ndarray,
    along: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """XᵀΣ⁻¹X (…, k, k) of columns X (…, mode, k), and log |Σ| (…).

    Σ = V + s² (1 + A Aᵀ).
    """
    spread = variance + np.square(discrepancy)[..., None]
    weighted, lower = _update(spread, discrepancy, along)
    shared = np.swapaxes(weighted, -1, -2) @ columns
    transposed = np.swapaxes(columns, -1, -2)
    gram = (transposed / spread[..., None, :]) @ columns
    gram = gram - np.swapaxes(shared, -1, -2) @ shared
    log_det = np.sum(np.log(spread), axis=-1) + 2 * np.sum(np.log(lower), axis=-1)
    return gram, log_det


def _log_normal(
    deviation: np.ndarray,
    variance: np.ndarray,
    discrepancy: np.ndarray,
    along: np.ndarray,
) -> np.ndarray:
    """Log density of a normal law of covariance V + s² (1 + A Aᵀ)."""
    gram, log_det = _gram(deviation[..., None], variance, discrepancy, along)
    return np.asarray(
        -0.5 * (gram[..., 0, 0] + log_det + deviation.shape[-1] * _LOG_2PI)
    )


def _alive(likelihood: Likelihood) -> np.ndarray:
    """(entry,) where the field does not vanish."""
    return np.asarray(likelihood.size > 0)


def _entries_of_inputs(
    likelihood: Likelihood, num_points: int
) -> dict[int, np.ndarray]:
    """Input -> (entry,) true where it occurs; inputs without data left out."""
    alive = _alive(likelihood)
    groups = {}
    for point in range(num_points):
        holds = np.concatenate(
            [
                (entries(num_points, order) == point).any(axis=1)
                for order in likelihood.orders
            ]
        )
        if (holds & alive).any():
            groups[point] = holds
    return groups
