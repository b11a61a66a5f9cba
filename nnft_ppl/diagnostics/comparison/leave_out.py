"""Leave a tuple of inputs out: cross-validation when the data are correlated.

In: a `CouplingFit`. Out: ArviZ's `ELPDData` at one cutoff. ArviZ needs the density of
each datum given the others and the parameters; for a correlated normal that is not the
density of the datum alone, and it has no function for it. A datum here is one entry of
a correlator, that is one tuple of inputs, or all entries in which one input occurs.

In natural units the covariance is Σ(s) = R (V + s²) Rᵀ with R orthogonal and V
diagonal, so no draw of s needs a matrix of its own.
"""

import dataclasses
import warnings

import arviz as az
import numpy as np
import xarray as xr

from nnft_ppl._arguments import check_choice, check_kind
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.inference.couplings.arviz_tree import entry_coordinates
from nnft_ppl.inference.couplings.conjugate import solve
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.inference.likelihood import Likelihood
from nnft_ppl.inference.posterior import cutoff_number

UNITS = ("entry", "input")
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
    num_points = len(fit.correlators.x)
    groups = _entries_of_inputs(likelihood, num_points)
    sampled = ("chain", "draw")
    if by == "entry":
        density = entry_conditionals(likelihood, residual, s)
        units = xr.Dataset(coords=entry_coordinates(likelihood, num_points))
        units = units.isel(entry=_alive(likelihood))
        pointwise = units.assign(connected=((*sampled, "entry"), density))
    else:
        density = np.stack(
            [block_conditional(likelihood, residual, s, g) for g in groups.values()],
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
    likelihood: Likelihood, residual: np.ndarray, discrepancy: np.ndarray
) -> np.ndarray:
    """Conditional log p(y_i | y_−i, θ) of every entry and draw, natural units.

    Args:
        likelihood: Gives R and V.
        residual: (chain, draw, mode) data less prediction.
        discrepancy: (chain, draw) s.

    Returns:
        (chain, draw, entry), entries of size zero left out.
    """
    rotation = likelihood.rotation[_alive(likelihood)]
    precision = 1 / (likelihood.variance + np.square(discrepancy)[..., None])
    diagonal = precision @ np.square(rotation).T
    pull = (precision * residual) @ rotation.T
    return np.asarray(0.5 * (np.log(diagonal) - _LOG_2PI - np.square(pull) / diagonal))


def block_conditional(
    likelihood: Likelihood,
    residual: np.ndarray,
    discrepancy: np.ndarray,
    left_out: np.ndarray,
) -> np.ndarray:
    """Conditional log p(y_B | y_−B, θ) of one block of entries, for every draw.

    The density of all modes less that of the entries kept, whose covariance
    R_k V R_kᵀ + s² has the same eigenvectors for every s.

    Args:
        likelihood: Gives R and V.
        residual: (chain, draw, mode) data less prediction.
        discrepancy: (chain, draw) s.
        left_out: (entry,) true for the entries of the block.

    Returns:
        (chain, draw), natural units.
    """
    kept = likelihood.rotation[_alive(likelihood) & ~left_out]
    squared = np.square(discrepancy)[..., None]
    whole = _log_normal(residual, likelihood.variance + squared)
    if not len(kept):
        return whole
    variance, basis = _modes_of(kept, likelihood.variance)
    return np.asarray(whole - _log_normal(residual @ basis.T, variance + squared))


def _refitted(
    fit: CouplingFit, which: int, loo: az.ELPDData, blocks: list[np.ndarray]
) -> az.ELPDData:
    """The same result with log p(y_B | y_−B) of each block as a ratio of evidences."""
    density = loo.elpd_i.copy(
        data=[
            fit.log_evidence[which] - _evidence_without(fit, which, block)
            for block in blocks
        ]
    )
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


def _evidence_without(fit: CouplingFit, which: int, left_out: np.ndarray) -> float:
    """Log evidence of the entries that are not left out; 0 when that is none."""
    likelihood = fit.likelihood
    kept = likelihood.rotation[_alive(likelihood) & ~left_out]
    if not len(kept):
        return 0.0
    variance, basis = _modes_of(kept, likelihood.variance)
    prior, width = fit.prior, fit.correlators.network.width
    return solve(
        dataclasses.replace(
            likelihood,
            amplitudes=basis @ likelihood.amplitudes,
            variance=variance,
            design=basis @ likelihood.design,
        ),
        which,
        prior.scales_at(prior.natural_size, width, fit.action),
        prior.discrepancy_scale if fit.has_discrepancy else None,
        prior.size_prior(fit.action),
    ).log_evidence


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


def _log_normal(deviation: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Log density of independent normals, summed over the last axis."""
    terms = np.square(deviation) / variance + np.log(variance) + _LOG_2PI
    return np.asarray(-0.5 * np.sum(terms, axis=-1))


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
