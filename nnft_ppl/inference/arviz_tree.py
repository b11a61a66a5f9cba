"""The groups that ArviZ reads, from a fit: one DataTree stacked over `cutoff`.

Couplings, predictions and pointwise likelihoods of all cutoffs in one place, for
summaries and plots. What ArviZ computes by summing over a whole group (loo, psense,
predictive checks) must be given one cutoff at a time: `CouplingFit.at`.
"""

import numpy as np
import xarray as xr

from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.inference.likelihood import Likelihood
from nnft_ppl.inference.priors import Prior

type Variable = tuple[tuple[str, ...], np.ndarray]

_PRIOR_DRAWS = 1000
_LOG_2PI = np.log(2 * np.pi)


def build_groups(
    likelihood: Likelihood,
    prior: Prior,
    width: int,
    num_points: int,
    coords: dict[str, list[float] | list[str]],
    couplings: np.ndarray,
    discrepancy: np.ndarray,
    statistics: dict[str, np.ndarray],
    rng: np.random.Generator,
    *,
    has_discrepancy: bool,
) -> dict[str, xr.Dataset]:
    """Group name -> Dataset.

    Args:
        likelihood: The problem that was fitted.
        prior: The prior's scales.
        width: N.
        num_points: Number of inputs.
        coords: Values of `cutoff` and `operator`.
        couplings: Dimensionless, (chain, draw, cutoff, operator).
        discrepancy: (chain, draw, cutoff), zero when not inferred.
        statistics: ArviZ name -> (chain, draw, cutoff).
        rng: For the predictive draws.
        has_discrepancy: Whether s was inferred.
    """
    num_cutoffs, num_operators = likelihood.scale.shape
    sampled = ("chain", "draw", "cutoff")
    tau = prior.coupling_scale(width)
    prior_couplings = tau * rng.standard_normal(
        (1, _PRIOR_DRAWS, num_cutoffs, num_operators)
    )
    prior_s = prior.discrepancy_scale * np.abs(
        rng.standard_normal(prior_couplings.shape[:-1])
    )
    if not has_discrepancy:
        prior_s = np.zeros_like(prior_s)

    def parameters(c: np.ndarray, s: np.ndarray) -> xr.Dataset:
        variables: dict[str, Variable] = {
            "coupling": ((*sampled, "operator"), c / likelihood.scale),
            "dimensionless": ((*sampled, "operator"), c),
        }
        if has_discrepancy:
            variables["discrepancy"] = (sampled, s)
        return xr.Dataset(variables, coords=coords)

    def predictive(c: np.ndarray, s: np.ndarray) -> xr.Dataset:
        expected = np.einsum("cmo,kdco->kdcm", likelihood.design, c, optimize=True)
        spread = np.sqrt(likelihood.variance + s[..., None] ** 2)
        replicate = expected + spread * rng.standard_normal(expected.shape)
        return xr.Dataset(
            {
                "amplitude": ((*sampled, "mode"), replicate),
                "connected": ((*sampled, "entry"), likelihood.to_entries(replicate)),
            },
            coords=coords,
        ).assign_coords(entry_coordinates(likelihood, num_points))

    expected = np.einsum("cmo,kdco->kdcm", likelihood.design, couplings, optimize=True)
    variance = likelihood.variance + discrepancy[..., None] ** 2
    log_likelihood = -0.5 * (
        (likelihood.amplitudes - expected) ** 2 / variance + np.log(variance) + _LOG_2PI
    )
    log_prior: dict[str, Variable] = {
        "dimensionless": (
            (*sampled, "operator"),
            -0.5 * ((couplings / tau) ** 2 + _LOG_2PI) - np.log(tau),
        )
    }
    if has_discrepancy:
        ratio = discrepancy / prior.discrepancy_scale
        log_prior["discrepancy"] = (
            sampled,
            0.5 * np.log(2 / np.pi) - np.log(prior.discrepancy_scale) - 0.5 * ratio**2,
        )
    observed = xr.Dataset(
        {
            "amplitude": ("mode", likelihood.amplitudes),
            "connected": ("entry", likelihood.to_entries(likelihood.amplitudes)),
        }
    ).assign_coords(entry_coordinates(likelihood, num_points))
    constants = xr.Dataset(
        {
            "scale": (("cutoff", "operator"), likelihood.scale),
            "size": ("entry", likelihood.size),
            "variance": ("mode", likelihood.variance),
            "resolved": ("mode", likelihood.resolved),
        },
        coords=coords,
    )
    return {
        "posterior": parameters(couplings, discrepancy),
        "sample_stats": xr.Dataset(
            {name: (sampled, values) for name, values in statistics.items()},
            coords={"cutoff": coords["cutoff"]},
        ),
        "prior": parameters(prior_couplings, prior_s),
        "prior_predictive": predictive(prior_couplings, prior_s),
        "posterior_predictive": predictive(couplings, discrepancy),
        "log_likelihood": xr.Dataset(
            {"amplitude": ((*sampled, "mode"), log_likelihood)},
            coords={"cutoff": coords["cutoff"]},
        ),
        "log_prior": xr.Dataset(log_prior, coords=coords),
        "observed_data": observed,
        "constant_data": constants,
    }


def entry_coordinates(likelihood: Likelihood, num_points: int) -> dict[str, object]:
    """Order and input indices of every entry of the data, as text such as `0-0-2-5`."""
    order, legs = [], []
    for k in likelihood.orders:
        table = entries(num_points, k)
        order += [k] * len(table)
        legs += ["-".join(map(str, row)) for row in table]
    return {"order": ("entry", order), "legs": ("entry", legs)}
