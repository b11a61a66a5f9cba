"""Simulation-based calibration: does inference recover what the model draws?

In: the design and the noise of given correlators, as a `Likelihood`. Parameters are
drawn from the prior, data from the likelihood, and a posterior is computed from these
data, many times over. If model and sampler are right the rank of each parameter among
its posterior draws is uniform. Nothing is said about real data here: that the noise is
normal, and that the prior fits, is assumed.
"""

import dataclasses
from collections.abc import Mapping

import jax
import numpy as np
import xarray as xr
from scipy import stats

from nnft_ppl._arguments import check_choice, check_kind, check_whole
from nnft_ppl._typing import Key
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.integration.pair_sums import check_cutoffs
from nnft_ppl.ensemble.model import check_key
from nnft_ppl.inference.couplings.conjugate import solve
from nnft_ppl.inference.couplings.fit import SAMPLERS, side_by_side
from nnft_ppl.inference.couplings.nuts import problem_at, run_nuts
from nnft_ppl.inference.identifiability import check_identifiable
from nnft_ppl.inference.least_squares import along_response, least_squares
from nnft_ppl.inference.likelihood import Likelihood, build_likelihood
from nnft_ppl.inference.mcmc.sampling import Sampling
from nnft_ppl.inference.priors import Parameters, Prior, prior_or_default

_RANKED_DRAWS = 199
_NUTS_THINNING = 8
"""Ranks need independent draws; NUTS forgets in fewer steps than this."""
_NUTS_CHAINS = 2
_NUTS = Sampling(500, -(-_RANKED_DRAWS // _NUTS_CHAINS) * _NUTS_THINNING, _NUTS_CHAINS)
_LARGEST_NUM_BINS = 20
_SIMULATIONS_PER_BIN = 15
MIN_SIMULATIONS = 4 * _SIMULATIONS_PER_BIN
_OPERATOR = ("operator",)


def simulation_based_calibration(
    correlators: Correlators,
    action: Action,
    cutoff: float,
    *,
    key: Key,
    num_simulations: int = 1000,
    sampler: str = "conjugate",
    prior: Prior | None = None,
    discrepancy: bool = True,
) -> xr.DataTree:
    """Ranks of parameters drawn from the prior among their posterior draws.

    Only the inputs, the noise and the network of `correlators` are used, not the values
    measured. With NUTS all simulations run side by side in one compiled program.

    Args:
        correlators: Give inputs and noise.
        action: The operators.
        cutoff: Λ.
        key: A JAX random key.
        num_simulations: At least 60. A thousand find a standard deviation that is wrong
            by a tenth.
        sampler: `conjugate` or `nuts`.
        prior: `Prior()` when `None`.
        discrepancy: Infer a relative model discrepancy too.

    Returns:
        DataTree. `prior_sbc`: fractional rank of each parameter, uniform on [0, 1] when
        calibrated, dims (chain, draw) with one draw per simulation, which is what
        `arviz.plot_ecdf_pit` takes. `simulated`: the parameters drawn. `uniformity`:
        p-value of each parameter's ranks, χ² over equal bins. Variables are
        `dimensionless` (operator), and `discrepancy` and `natural_size` where inferred.

    Raises:
        SpecError: An argument is out of range.
        UnavailableError: The architecture gives no kernel.

    Source: Talts, Betancourt, Simpson, Vehtari, Gelman, arXiv:1804.06788.
    """
    check_kind("correlators", correlators, Correlators)
    check_kind("action", action, Action)
    prior = prior_or_default(prior)
    check_kind("discrepancy", discrepancy, bool, "True or False")
    check_whole("num_simulations", num_simulations, MIN_SIMULATIONS)
    check_choice("sampler", sampler, SAMPLERS)
    values = tuple(check_cutoffs([cutoff]).tolist())
    likelihood = build_likelihood(correlators, action, values)
    check_identifiable(likelihood.design, action.names, values)
    return calibrate(
        likelihood,
        action,
        correlators.network.width,
        prior,
        key=check_key(key),
        num_simulations=int(num_simulations),
        sampler=sampler,
        discrepancy=discrepancy,
    )


def calibrate(
    likelihood: Likelihood,
    action: Action,
    width: int,
    prior: Prior,
    *,
    key: Key,
    num_simulations: int,
    sampler: str,
    discrepancy: bool,
) -> xr.DataTree:
    """`simulation_based_calibration` of a likelihood, at its first cutoff.

    Args:
        likelihood: Its amplitudes are not used.
        action: The operators.
        width: N.
        prior: Of all parameters.
        key: A JAX random key.
        num_simulations: How many.
        sampler: `conjugate` or `nuts`.
        discrepancy: Infer s.
    """
    simulation_key, posterior_key = jax.random.split(key)
    rng = np.random.default_rng([int(w) for w in jax.random.key_data(simulation_key)])
    true = prior.draw(rng, (num_simulations,), width, action, discrepancy=discrepancy)
    simulated = _simulate(likelihood, true, rng)
    forms = [
        solve(
            each,
            0,
            prior.scales_at(prior.natural_size, width, action),
            prior.discrepancy_scale if discrepancy else None,
            prior.size_prior(action),
        )
        for each in simulated
    ]
    if sampler == "conjugate":
        drawn = [form.draw(rng, _RANKED_DRAWS) for form in forms]
        posterior = side_by_side(drawn, prior)
    else:
        out = run_nuts(
            [
                problem_at(each, 0, prior, width, action, form)
                for each, form in zip(simulated, forms, strict=True)
            ],
            discrepancy=discrepancy,
            hierarchical=prior.is_hierarchical,
            # One for each: simulations that share the sampler's random numbers are not
            # independent of one another, and their ranks are not uniform.
            key=jax.random.split(posterior_key, num_simulations),
            sampling=_NUTS,
        )
        posterior = {
            name: np.concatenate(draws[:, ::_NUTS_THINNING])
            for name, draws in out.items()
        }
    parameters = {
        name: values
        for name, values in (
            ("dimensionless", true.couplings),
            ("discrepancy", true.discrepancy),
            ("natural_size", true.natural_size),
        )
        if values is not None
    }
    ranks = {
        name: fractional_rank(values, posterior[name], rng)
        for name, values in parameters.items()
    }
    return _tree(parameters, ranks, action)


def fractional_rank(
    values: np.ndarray, draws: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(R + U)/(L + 1): R of L draws (draw, …) lie below the value; U uniform on [0, 1].

    The random part makes the rank uniform on an interval instead of on L + 1 points.
    """
    below = np.sum(draws < values, axis=0)
    return np.asarray((below + rng.uniform(size=values.shape)) / (len(draws) + 1))


def uniformity(ranks: np.ndarray) -> float:
    """P-value of χ² over equal bins of [0, 1] that ranks (simulation,) are uniform."""
    bins = min(_LARGEST_NUM_BINS, len(ranks) // _SIMULATIONS_PER_BIN)
    counts, _ = np.histogram(ranks, bins=bins, range=(0.0, 1.0))
    return float(stats.chisquare(counts).pvalue)


def _simulate(
    likelihood: Likelihood, true: Parameters, rng: np.random.Generator
) -> list[Likelihood]:
    """The problem with data drawn from it, once for each draw of the parameters."""
    expected = likelihood.expected(0, true.couplings)
    data = expected + np.sqrt(likelihood.noise) * rng.standard_normal(expected.shape)
    if true.discrepancy is not None:
        data += [
            s * _misfit(likelihood, couplings, rng)
            for s, couplings in zip(true.discrepancy, true.couplings, strict=True)
        ]
    return [dataclasses.replace(likelihood, amplitudes=each) for each in data]


def _misfit(
    likelihood: Likelihood, couplings: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(mode,) a misfit at s = 1, as `least_squares` takes it to be.

    Across the response its norm has a few degrees of freedom and its shape follows the
    noise; along it, it is as large as its norm.
    """
    response = np.linalg.qr(likelihood.response(0, couplings))[0]
    n = len(response)
    shape = np.sqrt(likelihood.noise + likelihood.rounding) * rng.standard_normal(n)
    shape -= response @ (response.T @ shape)
    freedom = least_squares(likelihood, 0, couplings).freedom
    norm = np.sqrt(n * rng.chisquare(freedom) / freedom)
    across = norm * shape / max(np.linalg.norm(shape), np.finfo(float).tiny)
    expected = likelihood.expected(0, couplings)
    left = dataclasses.replace(likelihood, amplitudes=expected + across)
    along = along_response(left, 0, couplings)
    return np.asarray(across + along @ rng.standard_normal(along.shape[1]))


def _tree(
    parameters: Mapping[str, np.ndarray],
    ranks: Mapping[str, np.ndarray],
    action: Action,
) -> xr.DataTree:
    """The groups, with dimensions as ArviZ expects them."""

    def group(variables: Mapping[str, np.ndarray]) -> xr.Dataset:
        return xr.Dataset(
            {
                name: (("chain", "draw", *_OPERATOR[: values.ndim - 1]), values[None])
                for name, values in variables.items()
            },
            coords={"operator": list(action.names)},
        )

    p_values = {
        name: (
            _OPERATOR[: values.ndim - 1],
            np.apply_along_axis(uniformity, 0, values),
        )
        for name, values in ranks.items()
    }
    return xr.DataTree.from_dict(
        {
            "prior_sbc": group(ranks),
            "simulated": group(parameters),
            "uniformity": xr.Dataset(p_values, coords={"operator": list(action.names)}),
        }
    )
