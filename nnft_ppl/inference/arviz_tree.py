"""The groups that ArviZ reads, from a fit: one cutoff at a time, or stacked.

The stack holds couplings, predictions and pointwise likelihoods of all cutoffs, for
summaries and plots. What ArviZ computes by summing over a whole group (loo, psense,
predictive checks) must be given one cutoff: `CouplingFit.at`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.inference.likelihood import Likelihood

type Variable = tuple[tuple[str, ...], np.ndarray]

_SAMPLED = ("chain", "draw")
_PRIOR_DRAWS = 1000
_LOG_2PI = np.log(2 * np.pi)


class Sampled(NamedTuple):
    """Draws at one cutoff.

    Attributes:
        couplings: Dimensionless, (chain, draw, operator).
        discrepancy: (chain, draw); `None` when s was not inferred.
    """

    couplings: np.ndarray
    discrepancy: np.ndarray | None


def build_groups(
    likelihood: Likelihood,
    which: int,
    names: tuple[str, ...],
    num_points: int,
    coupling_scales: np.ndarray,
    discrepancy_scale: float,
    posterior: Sampled,
    statistics: Mapping[str, np.ndarray],
    rng: np.random.Generator,
) -> dict[str, xr.Dataset]:
    """Group name -> Dataset at one cutoff.

    Args:
        likelihood: The problem that was fitted.
        which: Number of the cutoff.
        names: Of the operators.
        num_points: Number of inputs.
        coupling_scales: (operator,) prior standard deviations of c.
        discrepancy_scale: Scale of the half-normal prior of s.
        posterior: The draws.
        statistics: ArviZ name -> (chain, draw).
        rng: For the prior and the predictive draws.
    """
    scale = likelihood.scale[which]
    shape = (1, _PRIOR_DRAWS)
    prior = Sampled(
        coupling_scales * rng.standard_normal((*shape, len(names))),
        None
        if posterior.discrepancy is None
        else discrepancy_scale * np.abs(rng.standard_normal(shape)),
    )

    def spread(draws: Sampled) -> np.ndarray:
        s = 0.0 if draws.discrepancy is None else draws.discrepancy[..., None]
        return np.asarray(np.sqrt(likelihood.variance + np.square(s)))

    def parameters(draws: Sampled) -> xr.Dataset:
        variables: dict[str, Variable] = {
            "coupling": ((*_SAMPLED, "operator"), draws.couplings / scale),
            "dimensionless": ((*_SAMPLED, "operator"), draws.couplings),
        }
        if draws.discrepancy is not None:
            variables["discrepancy"] = (_SAMPLED, draws.discrepancy)
        return xr.Dataset(variables, coords={"operator": list(names)})

    def predictive(draws: Sampled) -> xr.Dataset:
        expected = likelihood.expected(which, draws.couplings)
        replicate = expected + spread(draws) * rng.standard_normal(expected.shape)
        return xr.Dataset({"amplitude": ((*_SAMPLED, "mode"), replicate)})

    groups = {
        "posterior": parameters(posterior),
        "sample_stats": xr.Dataset(
            {name: (_SAMPLED, values) for name, values in statistics.items()}
        ),
        "prior": parameters(prior),
        "prior_predictive": predictive(prior),
        "posterior_predictive": predictive(posterior),
        "log_likelihood": xr.Dataset(
            {
                "amplitude": (
                    (*_SAMPLED, "mode"),
                    _normal(
                        likelihood.amplitudes
                        - likelihood.expected(which, posterior.couplings),
                        spread(posterior),
                    ),
                )
            }
        ),
        "log_prior": _log_prior(posterior, names, coupling_scales, discrepancy_scale),
        "observed_data": xr.Dataset({"amplitude": ("mode", likelihood.amplitudes)}),
        "constant_data": xr.Dataset(
            {
                "connected": (
                    "entry",
                    likelihood.to_entries(likelihood.amplitudes),
                ),
                "scale": ("operator", scale),
                "size": ("entry", likelihood.size),
                "variance": ("mode", likelihood.variance),
                "resolved": ("mode", likelihood.resolved),
            },
            coords={
                "operator": list(names),
                **entry_coordinates(likelihood, num_points),
            },
        ),
    }
    return {
        name: group.assign_coords(
            {dim: np.arange(group.sizes[dim]) for dim in _SAMPLED if dim in group.dims}
        )
        for name, group in groups.items()
    }


def stack(
    cutoffs: tuple[float, ...], groups: list[dict[str, xr.Dataset]]
) -> xr.DataTree:
    """All cutoffs as one tree; what no cutoff changes gets no `cutoff` dimension."""
    shared = {"observed_data", "constant_data"}
    along = xr.Variable("cutoff", list(cutoffs))
    tree = {
        name: groups[0][name]
        if name in shared
        else xr.concat([group[name] for group in groups], dim=along)
        for name in groups[0]
    }
    per_cutoff = [group["constant_data"]["scale"] for group in groups]
    scales = xr.concat(per_cutoff, dim=along)
    tree["constant_data"] = (
        tree["constant_data"].drop_vars("scale").assign(scale=scales)
    )
    # ArviZ expects the dimensions of sampling first.
    first = ("chain", "draw", "cutoff")
    return xr.DataTree.from_dict(
        {
            name: group.transpose(*first, ..., missing_dims="ignore")
            for name, group in tree.items()
        }
    )


def _normal(deviation: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Log density of a normal distribution."""
    return np.asarray(-0.5 * ((deviation / spread) ** 2 + _LOG_2PI) - np.log(spread))


def _log_prior(
    draws: Sampled,
    names: tuple[str, ...],
    coupling_scales: np.ndarray,
    discrepancy_scale: float,
) -> xr.Dataset:
    """Log prior density of every parameter, which ArviZ's psense needs."""
    variables: dict[str, Variable] = {
        "dimensionless": (
            (*_SAMPLED, "operator"),
            _normal(draws.couplings, coupling_scales),
        )
    }
    if draws.discrepancy is not None:
        twice = np.log(2.0)  # the half-normal density is that of one side, doubled
        variables["discrepancy"] = (
            _SAMPLED,
            _normal(draws.discrepancy, np.array(discrepancy_scale)) + twice,
        )
    return xr.Dataset(variables, coords={"operator": list(names)})


def entry_coordinates(likelihood: Likelihood, num_points: int) -> dict[str, object]:
    """Order and input indices of every entry of the data, as text such as `0-0-2-5`."""
    order, legs = [], []
    for k in likelihood.orders:
        table = entries(num_points, k)
        order += [k] * len(table)
        legs += ["-".join(map(str, row)) for row in table]
    return {"order": ("entry", order), "legs": ("entry", legs)}
