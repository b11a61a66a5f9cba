"""Couplings from raw outputs: the likelihood of the field itself, no correlators.

In: an `Ensemble` and an `Action`. Out: a `FunctionSpaceFit`. Every draw of the network
enters by its density to first order in the couplings (`eft.density`), at each cutoff.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from nnft_ppl._arguments import check_kind
from nnft_ppl._errors import FitError, SpecError, UnavailableError
from nnft_ppl._typing import Key, Matrix
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.density import EdgeworthDensity
from nnft_ppl.eft.integration.pair_sums import check_distinct_cutoffs
from nnft_ppl.ensemble.model import check_key
from nnft_ppl.ensemble.not_finite import not_finite, which_are_not_finite
from nnft_ppl.ensemble.sample import Ensemble
from nnft_ppl.inference.identifiability import check_identifiable
from nnft_ppl.inference.mcmc.chains import arviz_statistics
from nnft_ppl.inference.mcmc.sampling import Sampling
from nnft_ppl.inference.outputs.design import scaled_design
from nnft_ppl.inference.outputs.model import Problem, run_nuts
from nnft_ppl.inference.outputs.result import FunctionSpaceFit
from nnft_ppl.inference.priors import Prior, prior_or_default

_BLOCK_SIZE = 1 << 16
"""Draws whose Hermite functions are held at once."""
_POSTERIOR_DRAWS = 200
"""Posterior draws, evenly spaced, at which negative brackets are counted."""
_INTEGRAL_LIMIT = 1e-2
"""Relative error of a column in the kept modes beyond which no fit is made."""
_VARIANCE_LIMIT = 0.5
"""A mode's variance may differ from one by this and six standard errors."""


class Projected(NamedTuple):
    """What all draws say, in the Hermite functions of the kept modes.

    Attributes:
        response: (draw, column) b of every draw.
        mean: (entry,) of the functions over draws.
        covariance: (entry, entry) of the functions of one draw.
    """

    response: np.ndarray
    mean: np.ndarray
    covariance: Matrix


def fit_function_space(
    ensemble: Ensemble,
    action: Action,
    cutoffs: Sequence[float],
    *,
    key: Key,
    num_warmup: int = 500,
    num_samples: int = 1000,
    num_chains: int = 4,
    prior: Prior | None = None,
    mode_tolerance: float = 1e-6,
) -> FunctionSpaceFit:
    """Infer the couplings of `action` from the outputs of an ensemble, draw by draw.

    log p(f) = log N(f; 0, K) + log[1 + Σ_i g_i b_i(f)], summed over draws, K the full
    kernel with the output bias, in the eigenmodes that it determines. Where the bracket
    is below 0.1 its logarithm is continued by a parabola, so that one draw cannot
    forbid a coupling; see `log_bracket`. No model discrepancy is inferred: look at
    `p_value`, and at `negative_fraction` for where first order breaks down.

    It is right to relative order 1/N, as the theory is. Measured: while the bracket's
    standard deviation t = √(g·I·g), I the information per draw, is below 0.01 the
    posterior reaches the bound of `FunctionSpaceFit.bound` and is unbiased; at t = 0.15
    (ReLU units, N = 20, one input) it is 12 % low, and several inputs at moderate N are
    worse (t = 0.5: 33 % low), though no bracket is negative there. The score form
    (Σ ε − ½⟨ε²⟩, which is the correlator fit with the Wick-ordered estimator and the
    Gaussian process's covariance) stays unbiased but its error, then, is up to several
    times what it claims.

    Where the last layer is Gaussian the correlators of estimator `conditional` do
    better than any fit to outputs, because they use the hidden features too.

    Args:
        ensemble: Draws of a network with one output whose kernel is known.
        action: Operators of four fields.
        cutoffs: Λ > 0 of the measure; `math.inf` where the integrals converge.
        key: A JAX random key, the same at every cutoff.
        num_warmup: Adaptation steps of NUTS.
        num_samples: Draws kept per chain.
        num_chains: Number of chains.
        prior: Its `coupling_scales` are the standard deviations of normal priors of c;
            `Prior()` when `None`. The discrepancy scale is not used.
        mode_tolerance: Eigenmodes of the kernel below this share of the largest are
            left out. More modes hold more information, of shorter distances.

    Returns:
        `FunctionSpaceFit`.

    Source: theory.md §6; Demirtas, Halverson, Maiti, Schwartz, Stoner,
    arXiv:2307.03223.

    Raises:
        SpecError: An argument is out of range, the network has several outputs, or
            there are more couplings than the kept modes can tell apart.
        UnavailableError: The architecture gives no kernel, its odd correlators may not
            vanish, or an operator has other than four fields: at second order, 1/N²,
            the density holds (G4c)² terms beside G6c, which this likelihood leaves out.
        FitError: An integral, the kernel or the posterior is not usable.
    """
    _check(ensemble, action)
    sampling = Sampling(num_warmup, num_samples, num_chains)
    values = check_distinct_cutoffs(cutoffs)
    prior = prior_or_default(prior)
    key = check_key(key)
    network, x = ensemble.network, ensemble.x
    design, scale, error = scaled_design(action, network, x, values)
    # Cutoff and operator make one axis of columns: the draws are expanded once.
    columns = np.moveaxis(design, 1, 0).reshape(design.shape[1], -1)
    density = EdgeworthDensity.build(
        network.kernel(x), columns, mode_tolerance=mode_tolerance
    )
    _check_density(density, error, action, mode_tolerance)
    outputs = ensemble.values[..., 0]
    _check_kernel(density, outputs)
    projected = _project(density, outputs)
    shape = (len(values), len(action.operators))
    amplitudes = np.moveaxis(density.amplitudes.reshape(-1, *shape), 1, 0)
    check_identifiable(amplitudes, action.names, values)
    response = np.moveaxis(projected.response.reshape(-1, *shape), 1, 0)
    tau = np.asarray(prior.coupling_scales(network.width, action))
    centre, factor = _near_gaussian(amplitudes, projected.mean, tau, len(outputs))
    inverse = np.linalg.inv(factor)
    problems = Problem(
        response=response,
        centre=centre,
        factor=factor,
        prior_loc=-np.einsum("cij,cj->ci", inverse, centre),
        prior_factor=inverse * tau,
    )
    drawn = run_nuts(problems, key=key, sampling=sampling)
    couplings = drawn["dimensionless"]
    if not np.isfinite(couplings).all():
        raise FitError(
            "the posterior draws are not finite; the draws or the prior scales are "
            "extreme: look at the ensemble"
        )
    at_mean, over_posterior = _negative_fractions(response, couplings)
    return FunctionSpaceFit(
        network=network,
        x=x,
        num_draws=len(outputs),
        action=action,
        cutoffs=values,
        prior=prior,
        scale=scale,
        dimensionless=couplings,
        statistics=arviz_statistics(drawn),
        bound=np.linalg.norm(factor, axis=-1),
        p_value=np.array(
            [_p_value(columns, projected, len(outputs)) for columns in amplitudes]
        ),
        negative_at_mean=at_mean,
        negative_over_posterior=over_posterior,
        modes_kept=density.num_modes,
        modes_dropped=density.num_dropped,
    )


def _project(density: EdgeworthDensity, outputs: np.ndarray) -> Projected:
    """Expand all draws in Hermite functions, block by block."""
    num_draws, num_functions = len(outputs), len(density.amplitudes)
    if num_draws <= num_functions:
        raise SpecError(
            f"the ensemble has {num_draws} draws, too few for the {num_functions} "
            f"4-pt functions of {density.num_modes} modes; draw more than that"
        )
    response = np.empty((num_draws, density.amplitudes.shape[1]))
    total, square = np.zeros(num_functions), np.zeros((num_functions, num_functions))
    for start in range(0, num_draws, _BLOCK_SIZE):
        part = slice(start, start + _BLOCK_SIZE)
        functions = density.functions(outputs[part])
        response[part] = functions @ density.amplitudes
        total += functions.sum(axis=0)
        square += functions.T @ functions
    mean = total / num_draws
    return Projected(response, mean, square / num_draws - np.outer(mean, mean))


def _near_gaussian(
    amplitudes: np.ndarray, mean: np.ndarray, tau: np.ndarray, num_draws: int
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and covariance factor per cutoff at the Gaussian process.

    There Σ log bracket = M (c·Aᵀh̄ − ½ c·AᵀA·c), h̄ the mean Hermite functions: least
    squares of unit variance, whose covariance is the bound. By QR, because operators
    that predict nearly the same would be lost in AᵀA.
    """
    num_operators = len(tau)
    prior_rows = np.diag(1 / tau)
    table = np.zeros((len(amplitudes), len(mean) + num_operators, num_operators + 1))
    table[:, : len(mean), :-1] = np.sqrt(num_draws) * amplitudes
    table[:, : len(mean), -1] = np.sqrt(num_draws) * mean
    table[:, len(mean) :, :-1] = prior_rows
    r = np.linalg.qr(table, mode="r")
    triangle = r[:, :num_operators, :-1]
    centre = np.linalg.solve(triangle, r[:, :num_operators, -1:])[..., 0]
    inverse = np.linalg.inv(triangle)
    # Covariance R⁻¹R⁻ᵀ = FFᵀ with F lower triangular, as the prior's factor must be.
    factor = np.swapaxes(np.linalg.qr(np.swapaxes(inverse, 1, 2), mode="r"), 1, 2)
    return centre, factor * np.sign(np.diagonal(factor, axis1=1, axis2=2))[:, None, :]


def _p_value(columns: Matrix, projected: Projected, num_draws: int) -> float:
    """P of a misfit as large as that of the best couplings, whatever these are.

    Hotelling's T² of the mean Hermite functions against the span of the columns, with
    the covariance that the draws themselves show.
    """
    size = len(projected.covariance)  # draws of few distinct values are degenerate
    rounding = 1e-12 * np.trace(projected.covariance) * np.eye(size)
    root = np.linalg.cholesky(projected.covariance + rounding)
    target = np.linalg.solve(root, projected.mean) * np.sqrt(num_draws)
    predictions = np.linalg.solve(root, columns)
    predictions = predictions / np.linalg.norm(predictions, axis=0)
    left, singular, _ = np.linalg.svd(predictions, full_matrices=False)
    basis = left[:, singular > 1e-10]
    freedom = len(target) - basis.shape[1]
    if freedom == 0:
        return 1.0
    left_over = target - basis @ (basis.T @ target)
    ratio = left_over @ left_over * (num_draws - freedom) / (freedom * (num_draws - 1))
    return float(stats.f.sf(ratio, freedom, num_draws - freedom))


def _negative_fractions(
    response: np.ndarray, couplings: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(cutoff,) share of draws with a negative bracket, at the mean and on average."""
    flat = couplings.reshape(-1, *couplings.shape[2:])
    some = flat[:: max(1, len(flat) // _POSTERIOR_DRAWS)]
    mean = flat.mean(axis=0)
    at_mean, over_posterior = np.empty(len(response)), np.empty(len(response))
    for which, table in enumerate(response):
        at_mean[which] = np.mean(1 + table @ mean[which] <= 0)
        over_posterior[which] = np.mean(
            [np.mean(1 + table @ row <= 0) for row in some[:, which]]
        )
    return at_mean, over_posterior


def _check(ensemble: Ensemble, action: Action) -> None:
    """Refuse what the density here does not describe, before any work."""
    check_kind(
        "ensemble", ensemble, Ensemble, "nnft_ppl.Ensemble, from sample_ensemble"
    )
    check_kind("action", action, Action)
    network = ensemble.network
    if ensemble.values.shape[2] != 1:
        raise SpecError(
            f"the ensemble has {ensemble.values.shape[2]} outputs; the density is that "
            "of one output: build the network with output_dim=1"
        )
    bad = which_are_not_finite(ensemble.values)
    if bad.any():
        what = not_finite(network, bad)
        raise SpecError(f"the ensemble holds outputs that are not finite: {what}")
    if not network.has_kernel:
        raise UnavailableError(
            f"architecture {network.name!r} gives no GP kernel, which the density of "
            "the field is expanded around; give the architecture a kernel"
        )
    declared = network.architecture
    if declared.readout is None and "sign" not in declared.symmetries:
        raise UnavailableError(
            f"architecture {network.name!r} declares neither a Gaussian readout nor "
            "the symmetry 'sign'; its odd correlators may not vanish, as the density "
            "of the field here assumes"
        )
    if action.is_bare:
        raise UnavailableError(
            f"{action!r} shifts the 2-pt function, and the density is expanded around "
            "the exact one; use the renormalised scheme, or fit_couplings"
        )
    if action.orders != (4,):
        names = [o.name for o in action.operators if o.num_fields != 4]
        raise UnavailableError(
            f"operators {names} have other than four fields; six enter at order 1/N², "
            "where the density also holds (G4c)² terms that this likelihood leaves "
            "out: fit them to correlators with fit_couplings"
        )


def _check_density(
    density: EdgeworthDensity, error: float, action: Action, mode_tolerance: float
) -> None:
    """Refuse columns that the kept modes cannot tell apart or that rounding spoils."""
    num_functions, num_operators = len(density.amplitudes), len(action.operators)
    if num_operators > num_functions:
        raise SpecError(
            f"{action!r} has {num_operators} couplings, but the kernel at these inputs "
            f"determines {density.num_modes} modes and so {num_functions} 4-pt "
            "functions; use fewer operators, or inputs that differ more"
        )
    smallest = np.linalg.norm(density.amplitudes, axis=0).min() * np.sqrt(24)
    if not error / density.eigenvalues[-1] ** 2 <= _INTEGRAL_LIMIT * smallest:
        raise FitError(
            f"the cutoff integrals are good to {error:.1e} of the natural size, too "
            f"little for {density.num_modes} modes of the kernel, the smallest "
            f"{density.eigenvalues[-1] / density.eigenvalues[0]:.1e} of the largest; "
            f"raise `mode_tolerance` above {mode_tolerance:g}"
        )


def _check_kernel(density: EdgeworthDensity, outputs: np.ndarray) -> None:
    """Refuse draws whose variance is not the kernel's."""
    square = (outputs @ density.whitening.T) ** 2
    error = square.std(axis=0) / np.sqrt(len(square))
    gap = np.abs(square.mean(axis=0) - 1)
    if (gap > _VARIANCE_LIMIT + 6 * error).any():
        worst = int(np.argmax(gap))
        raise FitError(
            f"the draws have {square[:, worst].mean():.3g} times the kernel's variance "
            f"in mode {worst + 1} of {density.num_modes}; either the kernel is not "
            "that of these draws, or the mode is rounding: raise `mode_tolerance`"
        )
