"""What the posteriors of all fits share: tables of couplings, and files.

A file holds draws and data. What follows from them is computed again when it is read,
with the plugins then installed; where these give other integrals the file is refused.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import arviz_stats as az
import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from nnft_ppl import store
from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl.eft.action import Action
from nnft_ppl.ensemble.fingerprint import network_record

INTERVAL = 0.9
"""Probability of the equal-tailed intervals in every table."""
LIKELIHOOD = "least squares"
"""What couplings of correlators are inferred from, as files name it."""
_EARLIER = "weighted by noise"
"""What up to version 0.2 they were, whose files do not say."""


class EarlierFitWarning(UserWarning):
    """A file holds a fit by the likelihood of an earlier version."""


def recorded_likelihood(record: Mapping[str, Any], function: str) -> str:
    """What a fit in a file was inferred from; the warning is of an earlier version's.

    Args:
        record: Of the file.
        function: The public function that makes such fits.
    """
    found = str(record.get("likelihood", _EARLIER))
    if found != LIKELIHOOD:
        warnings.warn(
            "the file holds a fit by an earlier version, which weighted correlators by "
            "their noise; its couplings stand as they were, and may be wrong where the "
            "action is not exact. Fit again: "
            f"{function}(fit.correlators, fit.action, fit.cutoffs, key=...)",
            EarlierFitWarning,
            stacklevel=4,
        )
    return found


def cutoff_number(cutoffs: Sequence[float], cutoff: float) -> int:
    """Which of a fit's cutoffs this is.

    Raises:
        SpecError: None of them.
    """
    if cutoff not in cutoffs:
        raise SpecError(f"the fit has no cutoff {cutoff!r}; it has {list(cutoffs)}")
    return cutoffs.index(cutoff)


def sample_coordinates(draws: Float[np.ndarray, "chain draw ..."]) -> dict[str, Any]:
    """Numbers of the chains and of the draws."""
    return {name: np.arange(draws.shape[i]) for i, name in enumerate(("chain", "draw"))}


def coupling_table(
    at: Callable[[float], xr.DataTree],
    cutoffs: Sequence[float],
    operators: Sequence[str],
) -> pd.DataFrame:
    """Estimates of the couplings g, and how their chains converged.

    Args:
        at: Cutoff -> its own tree, with `coupling` in its posterior.
        cutoffs: Λ of each fit.
        operators: Their names.

    Returns:
        One row per cutoff and operator: cutoff, operator, mean, sd, lower, upper
        (equal-tailed), rhat, ess_bulk, ess_tail, num_divergent (0 of independent
        draws).
    """
    percent = round(100 * INTERVAL)
    ours = {f"eti{percent}_lb": "lower", f"eti{percent}_ub": "upper", "r_hat": "rhat"}
    kept = ["mean", "sd", *ours.values(), "ess_bulk", "ess_tail"]
    tables = []
    for cutoff in cutoffs:
        tree = at(cutoff)
        table: pd.DataFrame = az.summary(
            tree,
            var_names=["coupling"],
            ci_kind="eti",
            ci_prob=INTERVAL,
            round_to="none",
        ).rename(columns=ours)
        statistics = tree["sample_stats"]
        divergent = statistics["diverging"].sum() if "diverging" in statistics else 0
        table = table[kept].assign(num_divergent=int(divergent))
        table.insert(0, "cutoff", cutoff)
        table.insert(1, "operator", list(operators))
        tables.append(table)
    together: pd.DataFrame = pd.concat(tables, ignore_index=True)
    return together


def provenance(
    holds: str, network: Network, action: Action, **fields: Any
) -> dict[str, str]:
    """Root attributes of a fit's tree and file: what was fitted to what, `fields`."""
    return store.provenance(
        holds, **network_record(network), **action.record(), **fields
    )


def save(
    path: str | Path,
    action: Action,
    groups: Mapping[str, xr.Dataset | xr.DataTree],
    attributes: Mapping[Any, Any],
) -> None:
    """Write the groups of a fit as netCDF, in one step.

    Raises:
        SpecError: An operator or the measure would not come back from its name in a
            file (`Action.check_is_saved`); or there is no such folder.
    """
    action.check_is_saved()
    tree = xr.DataTree.from_dict({"/": xr.Dataset(), **groups})
    tree.attrs = dict(attributes)
    store.write(tree, path)


def saved_statistics(tree: xr.DataTree) -> dict[str, np.ndarray]:
    """The sampler's statistics in a file: ArviZ name -> (chain, draw, …)."""
    statistics = store.child(tree, "sample_stats")
    return {str(name): v.to_numpy() for name, v in statistics.data_vars.items()}


def check_integrals(
    network: Network,
    action: Action,
    found: np.ndarray,
    saved: np.ndarray,
    absolute: float = 0.0,
) -> None:
    """Refuse a file whose numbers are not those of what is installed now.

    Raises:
        SpecError: What network and action give, `found`, is farther from what was
            `saved` than `absolute` and 10⁻⁶ of it.
    """
    if not np.allclose(found, saved, rtol=1e-6, atol=absolute):
        raise SpecError(
            f"{action!r} of {network!r} does not give the integrals in the file; a "
            "plugin of the same name has changed since it was written"
        )
