"""Convergence of the chains, one row per cutoff."""

import arviz_stats as az
import numpy as np
import pandas as pd

from nnft_ppl.inference.couplings.result import CouplingFit

_PARAMETERS = ("dimensionless", "discrepancy", "natural_size")


def convergence(fit: CouplingFit) -> pd.DataFrame:
    """Worst convergence numbers over all parameters, per cutoff.

    Columns: cutoff, rhat, ess_bulk, ess_tail, divergences, bfmi. The last two are NaN
    for independent draws. Divergences are counted per cutoff, because a count pooled
    over cutoffs is compared with one fit's draws by ArviZ.
    """
    rows = []
    for cutoff in fit.cutoffs:
        tree = fit.at(cutoff)
        names = [n for n in _PARAMETERS if n in tree["posterior"]]

        def worst(result: object, reduce: object, names: list[str] = names) -> float:
            values = np.concatenate(
                [np.ravel(result[name].to_numpy()) for name in names]  # type: ignore[index]
            )
            return float(reduce(values))  # type: ignore[operator]

        nuts = fit.sampler == "nuts"
        rows.append(
            {
                "cutoff": cutoff,
                "rhat": worst(az.rhat(tree), np.max),
                "ess_bulk": worst(az.ess(tree, method="bulk"), np.min),
                "ess_tail": worst(az.ess(tree, method="tail"), np.min),
                "divergences": float(tree["sample_stats"]["diverging"].sum())
                if nuts
                else np.nan,
                "bfmi": float(np.min(az.bfmi(tree)["energy"])) if nuts else np.nan,
            }
        )
    return pd.DataFrame(rows)
