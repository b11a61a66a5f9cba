"""The running of couplings fitted at all cutoffs at once, data counted once.

In: correlators, an action and cutoffs. Out: a `RunningFit` with the posterior of one
power law per coupling. The same data serve every cutoff, so the couplings at different
cutoffs share their errors: with couplings ĉ_k = B_k d, linear in the one data vector d,

    Cov(ĉ_k, ĉ_l) = B_k Σ_stat B_lᵀ,

not zero for k ≠ l. A law is fitted to all ĉ_k with this joint covariance. What the
cutoffs share, the noise of the amplitude, is then counted once and does not enter the
exponent; adding cutoffs adds no data.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from nnft_ppl._arguments import check_kind
from nnft_ppl._compile import compiled
from nnft_ppl._errors import FitError, SpecError
from nnft_ppl._host import on_host
from nnft_ppl._typing import Key
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.integration.pair_sums import check_cutoffs
from nnft_ppl.ensemble.model import check_key
from nnft_ppl.inference.couplings.conjugate import require_settled, solve
from nnft_ppl.inference.identifiability import check_identifiable
from nnft_ppl.inference.law.model import (
    Estimates,
    Problem,
    joint_estimates,
    law_problem,
    running_model,
    unshared_noise,
)
from nnft_ppl.inference.law.result import RunningFit
from nnft_ppl.inference.likelihood import build_likelihood
from nnft_ppl.inference.mcmc.chains import arviz_statistics, run_chains
from nnft_ppl.inference.mcmc.sampling import Sampling
from nnft_ppl.inference.own_propagator import as_fitted
from nnft_ppl.inference.priors import Prior, prior_or_default
from nnft_ppl.inference.propagator_error import PerCoupling

_MAX_ERROR = 0.3
"""Relative error of a coupling beyond which its logarithm is not nearly normal."""
_TARGET_ACCEPTANCE = 0.95  # a scatter near zero has a sharp corner in its logarithm


def fit_running(
    correlators: Correlators,
    action: Action,
    cutoffs: Sequence[float],
    *,
    key: Key,
    curvature: bool = False,
    num_warmup: int = 500,
    num_samples: int = 1000,
    num_chains: int = 4,
    discrepancy: bool = True,
    prior: Prior | None = None,
) -> RunningFit:
    r"""Fit one power law per coupling to all cutoffs at once.

    .. math:: \log|g_i(Λ)| = \log|g_i^*| + e_i \log(Λ/Λ^*)
        + \tfrac12 q_i \log^2(Λ/Λ^*) + t_i η_{iΛ}, \quad η \sim N(0, 1),

    Λ* the geometric mean of the cutoffs. e is the exponent (−γ in the notation
    Λ^{−γ}), q, with `curvature`, lets it run, and t is the misfit of the law itself:
    the relative scatter of the couplings about it. Couplings at different cutoffs come
    from the same data and share their errors, so the data count once however many
    cutoffs there are. Sampling noise is part of the model: it is no misfit of the law.
    The discrepancy of the action is not noise that a law could explain; other inputs
    would give other least-squares couplings, and this ambiguity is carried over to the
    law's parameters as it stands. Both enter as relative errors
    of the couplings, to first order; the discrepancy with its posterior root mean
    square at each cutoff, its pattern over entries common to all cutoffs.

    Priors: e, q ~ N(0, 30²), t ~ HalfNormal(1), log|g*| within e^±10 of the data.
    Exponents and amplitudes are sampled given t in closed-form coordinates, so that
    data which pin them to 10⁻⁹ cost no more than any.

    Args:
        correlators: Measured or exact, of a network whose kernel is known.
        action: The operators.
        cutoffs: Finite Λ, at least 4 (5 with `curvature`).
        key: A JAX random key.
        curvature: Let the exponents run linearly in log Λ.
        num_warmup: Adaptation steps.
        num_samples: Draws kept per chain.
        num_chains: Number of chains.
        discrepancy: Infer the action's discrepancy; else it is taken to be exact.
        prior: Of the couplings at each cutoff, for the discrepancy; see `Prior`.

    Raises:
        SpecError: An argument is out of range, or no data on these inputs could tell
            the couplings apart.
        UnavailableError: The architecture gives no kernel.
        FitError: A coupling's sign is not determined or changes between the cutoffs, or
            a cutoff integral did not converge.

    Source: theory.md §5; correlated fits as in lattice field theory.
    """
    check_kind("correlators", correlators, Correlators)
    check_kind("action", action, Action)
    prior = prior_or_default(prior)
    check_kind("curvature", curvature, bool, "True or False")
    check_kind("discrepancy", discrepancy, bool, "True or False")
    sampling = Sampling(num_warmup, num_samples, num_chains)
    values = _check_law_cutoffs(cutoffs, curvature)
    key = check_key(key)
    correlators = as_fitted(correlators, with_mean=action.makes_mean)
    likelihood = build_likelihood(correlators, action, tuple(values))
    check_identifiable(likelihood.design, action.names, tuple(values))
    forms = [
        solve(
            likelihood,
            which,
            prior.coupling_scales(correlators.network.width, action),
            prior.discrepancy_scale if discrepancy else None,
        )
        for which in range(len(values))
    ]
    require_settled(
        forms, values.tolist(), "use fewer cutoffs, or actions without trees"
    )
    estimates = joint_estimates(
        likelihood,
        np.array([np.sqrt(form.weight @ form.discrepancy**2) for form in forms]),
        np.array([form.weight @ form.mean for form in forms]),
    )
    _check_estimates(estimates, action, values)
    problem, centre = law_problem(estimates, likelihood.scale, values, curvature)
    chain_key, ambiguity_key = jax.random.split(key)
    out = sample_law(problem, chain_key, sampling)
    sampled = out["parameters"].shape[:2]
    law = centre + out["parameters"][..., : centre.size].reshape(
        *sampled, *centre.shape
    )
    law = law + _ambiguity(
        problem, estimates, likelihood.error_from_kernel, ambiguity_key, sampled
    ).reshape(law.shape)
    return RunningFit(
        correlators=correlators,
        action=action,
        cutoffs=tuple(float(c) for c in values),
        has_curvature=curvature,
        coupling=estimates.dimensionless / likelihood.scale,
        relative_error=estimates.relative_error,
        noise=unshared_noise(problem, centre.size),
        log_amplitude=law[..., 0, :],
        exponent=law[..., 1, :],
        curvature=law[..., 2, :] if curvature else np.zeros_like(law[..., 0, :]),
        scatter=out["scatter"],
        statistics=arviz_statistics(out),
    )


def sample_law(problem: Problem, key: Key, sampling: Sampling) -> dict[str, np.ndarray]:
    """NUTS draws of the law and the sampler's statistics, (chain, draw, …)."""
    with on_host(), jax.enable_x64(True):
        given = jax.tree.map(jnp.asarray, problem)
        out = _run(key, given, sampling)
        return {name: np.asarray(values) for name, values in out.items()}


def _run_chains(key: Key, problem: Problem, sampling: Sampling) -> dict[str, jax.Array]:
    start = {
        "scatter": problem.start,
        "standardized": jnp.zeros(problem.design.shape[1]),
    }
    return run_chains(
        running_model,
        start,
        key,
        problem,
        sampling=sampling,
        target_acceptance=_TARGET_ACCEPTANCE,
    )


_run = compiled(_run_chains, ("sampling",))


def _ambiguity(
    problem: Problem,
    estimates: Estimates,
    kernel_error: PerCoupling | float,
    key: Key,
    sampled: tuple[int, ...],
) -> np.ndarray:
    """Shifts of the law by the action's discrepancy and the kernel's error.

    The couplings say nothing about these directions, so they are drawn, not inferred:
    (*sampled, law). The kernel's error moves all cutoffs together, or each by itself.
    """
    rows, columns = len(problem.design), estimates.noise.shape[-1]
    law = problem.design[:, : problem.design.shape[1] - columns]
    error = np.broadcast_to(kernel_error, estimates.dimensionless.shape).ravel()
    shifts = np.column_stack(
        [estimates.ambiguity.reshape(rows, -1), error, np.diag(error)]
    )
    response = np.linalg.pinv(law) @ shifts
    rng = np.random.default_rng([int(word) for word in jax.random.key_data(key)])
    return np.asarray(rng.standard_normal((*sampled, response.shape[1])) @ response.T)


def _check_law_cutoffs(
    cutoffs: Sequence[float], curvature: bool
) -> Float[np.ndarray, " cutoff"]:
    values = np.unique(check_cutoffs(cutoffs))
    least = 5 if curvature else 4
    if len(values) < least or not np.isfinite(values).all():
        raise SpecError(
            f"`cutoffs` {list(cutoffs)} cannot show a law of running; give at least "
            f"{least} distinct finite ones"
        )
    return values


def _check_estimates(
    estimates: Estimates, action: Action, cutoffs: Float[np.ndarray, " cutoff"]
) -> None:
    """Refuse couplings whose noise leaves them without a logarithm."""
    noise = np.sqrt(np.sum(estimates.noise**2, axis=-1))
    columns = (estimates.dimensionless.T, noise.T)
    for name, couplings, errors in zip(action.names, *columns, strict=True):
        worst = int(np.argmax(errors))
        if not errors[worst] <= _MAX_ERROR:
            raise FitError(
                f"coupling {name!r} at cutoff {cutoffs[worst]:g} is determined to "
                f"{errors[worst]:.2g} of itself; its running needs {_MAX_ERROR} or "
                "better: measure more networks, or give inputs that tell the operators "
                "apart"
            )
        if (np.sign(couplings) != np.sign(couplings[0])).any():
            change = cutoffs[np.argmax(np.sign(couplings) != np.sign(couplings[0]))]
            raise FitError(
                f"coupling {name!r} changes sign between cutoffs {cutoffs[0]:g} and "
                f"{change:g}, so no power law describes it; fit fewer operators or a "
                "range of cutoffs in which it keeps its sign"
            )
