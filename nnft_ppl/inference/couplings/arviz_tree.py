"""The groups that ArviZ reads, from a fit: one cutoff at a time, or stacked.

`log_likelihood` holds the density of the statistics that the posterior is made from
(`inference.least_squares`): the estimate of each coupling, then the misfit's norm. The
entries of a correlator are not independent data; to leave these out one at a time is
`leave_tuple_out`'s.

The stack holds couplings, predictions and likelihoods of all cutoffs, for summaries and
plots. What ArviZ computes by summing over a whole group (loo, psense,
predictive checks) must be given one cutoff: `CouplingFit.at`.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.eft.action import Action
from nnft_ppl.inference.least_squares import along_response, log_density
from nnft_ppl.inference.likelihood import Likelihood
from nnft_ppl.inference.priors import Parameters, Prior

type Variable = tuple[tuple[str, ...], np.ndarray]

_SAMPLED = ("chain", "draw")
_PRIOR_DRAWS = 1000


def build_groups(
    likelihood: Likelihood,
    which: int,
    prior: Prior,
    width: int,
    action: Action,
    num_points: int,
    posterior: Parameters,
    centre: np.ndarray,
    sampler_statistics: Mapping[str, np.ndarray],
    rng: np.random.Generator,
) -> dict[str, xr.Dataset]:
    """Group name -> Dataset at one cutoff.

    Args:
        likelihood: The problem that was fitted.
        which: Number of the cutoff.
        prior: Of all parameters.
        width: N.
        action: The operators.
        num_points: Number of inputs.
        posterior: The draws, (chain, draw) and operator.
        centre: (operator,) couplings c about which the likelihood was linearised.
        sampler_statistics: ArviZ name -> (chain, draw).
        rng: For the prior and the predictive draws.
    """
    scale, names = likelihood.scale[which], action.names
    before = prior.draw(
        rng,
        (1, _PRIOR_DRAWS),
        width,
        action,
        discrepancy=posterior.discrepancy is not None,
    )

    along = along_response(likelihood, which, centre)

    def parameters(draws: Parameters) -> xr.Dataset:
        variables: dict[str, Variable] = {
            "coupling": ((*_SAMPLED, "operator"), draws.couplings / scale),
            "dimensionless": ((*_SAMPLED, "operator"), draws.couplings),
        }
        if draws.discrepancy is not None:
            variables["discrepancy"] = (_SAMPLED, draws.discrepancy)
        if draws.natural_size is not None:
            variables["natural_size"] = (_SAMPLED, draws.natural_size)
        return xr.Dataset(variables, coords={"operator": list(names)})

    def predictive(draws: Parameters) -> xr.Dataset:
        expected = likelihood.expected(which, draws.couplings)
        noise = np.sqrt(likelihood.variance) * rng.standard_normal(expected.shape)
        replicate = expected + noise
        if draws.discrepancy is not None:
            misfit = rng.standard_normal(expected.shape)
            shared = rng.standard_normal((*expected.shape[:2], along.shape[1]))
            misfit += shared @ along.T
            replicate += draws.discrepancy[..., None] * misfit
        return xr.Dataset({"amplitude": ((*_SAMPLED, "mode"), replicate)})

    statistics = log_density(
        likelihood,
        which,
        centre,
        posterior.couplings,
        np.zeros(posterior.couplings.shape[:2])
        if posterior.discrepancy is None
        else posterior.discrepancy,
    )

    groups = {
        "posterior": parameters(posterior),
        "sample_stats": xr.Dataset(
            {name: (_SAMPLED, values) for name, values in sampler_statistics.items()}
        ),
        "prior": parameters(before),
        "prior_predictive": predictive(before),
        "posterior_predictive": predictive(posterior),
        "log_likelihood": xr.Dataset(
            {"statistics": ((*_SAMPLED, "statistic"), statistics)},
            coords={"statistic": [*names, "misfit"][: statistics.shape[-1]]},
        ),
        "log_prior": xr.Dataset(
            {
                name: (
                    (*_SAMPLED, "operator") if name == "dimensionless" else _SAMPLED,
                    values,
                )
                for name, values in prior.log_density(posterior, width, action).items()
            },
            coords={"operator": list(names)},
        ),
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


def entry_coordinates(likelihood: Likelihood, num_points: int) -> dict[str, object]:
    """Order and input indices of every entry of the data, as text such as `0-0-2-5`."""
    order, legs = [], []
    for k in likelihood.orders:
        table = entries(num_points, k)
        order += [k] * len(table)
        legs += ["-".join(map(str, row)) for row in table]
    return {"order": ("entry", order), "legs": ("entry", legs)}
