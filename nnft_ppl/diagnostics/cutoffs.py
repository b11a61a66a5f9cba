"""ArviZ functions that are wrong on a tree stacked over cutoffs, done per cutoff.

On a stacked tree `loo` sums over cutoffs, `psense_summary` sums priors and likelihoods,
and predictive plots pool, without a word. Each function here gives ArviZ one cutoff's
own tree and returns a table with one block per cutoff.
"""

import arviz_stats as az
import pandas as pd

from nnft_ppl.diagnostics.comparison.leave_out import leave_tuple_out, num_high_pareto_k
from nnft_ppl.inference.couplings.result import CouplingFit


def loo_by_cutoff(fit: CouplingFit) -> pd.DataFrame:
    """Leave-one-entry-out expected log predictive density at each cutoff.

    Columns: cutoff, elpd, se, p, num_high_pareto_k; see `leave_tuple_out`.
    """
    rows = []
    for cutoff in fit.cutoffs:
        loo = leave_tuple_out(fit, cutoff)
        rows.append(
            {
                "cutoff": cutoff,
                "elpd": float(loo.elpd),
                "se": float(loo.se),
                "p": float(loo.p),
                "num_high_pareto_k": num_high_pareto_k(loo),
            }
        )
    return pd.DataFrame(rows)


def prior_sensitivity(fit: CouplingFit) -> pd.DataFrame:
    """ArviZ's power-scaling sensitivity of all parameters, per cutoff.

    Where the natural size is inferred, the priors that are scaled are its own and that
    of the discrepancy: the prior of the couplings given the size is, to the size, a
    likelihood. The natural size itself always feels its prior, which one coupling or
    two inform little; look at the couplings.

    Columns: cutoff, parameter, prior, likelihood, diagnosis.

    Source: Kallioinen, Paananen, Bürkner, Vehtari, Statistics and Computing 34 (2024)
        57, arXiv:2107.14054: of hierarchical priors, scale the top level.
    """
    hierarchical = fit.prior.is_hierarchical
    scaled = ["natural_size"] if hierarchical else ["dimensionless"]
    scaled += ["discrepancy"] if fit.has_discrepancy else []
    names = ["dimensionless", *(name for name in scaled if name != "dimensionless")]
    blocks: list[pd.DataFrame] = []
    for cutoff in fit.cutoffs:
        table: pd.DataFrame = az.psense_summary(
            fit.at(cutoff), var_names=names, prior_var_names=scaled
        )
        table = table.rename_axis("parameter").reset_index()
        table.insert(0, "cutoff", cutoff)
        blocks.append(table)
    return pd.concat(blocks, ignore_index=True)
