"""Which action: evidence and leave-one-out, at one cutoff, on the same data."""

from collections.abc import Sequence

import jax
import numpy as np
import pandas as pd

from nnft_ppl._errors import SpecError
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.diagnostics.cutoffs import loo_at
from nnft_ppl.eft.action import Action
from nnft_ppl.inference.fit import fit_couplings
from nnft_ppl.inference.priors import Prior

_DRAWS = 1000
_CHAINS = 4


def compare_actions(
    correlators: Correlators,
    actions: Sequence[Action],
    cutoff: float,
    *,
    prior: Prior | None = None,
) -> pd.DataFrame:
    """Evidence, leave-one-out and misfit of each action, best evidence first.

    The evidence is in closed form with the discrepancy integrated on a grid;
    leave-one-out is ArviZ's, over eigenmodes of the data, on independent draws of the
    closed form.

    Args:
        correlators: The data, the same for all.
        actions: At least two, that predict correlators of the same orders.
        cutoff: Λ.
        prior: Scales; `Prior()` when `None`.

    Returns:
        Columns: action, log_evidence, elpd, elpd_se, num_high_pareto_k, discrepancy
        (median), relative_misfit, verdict. Differences of log_evidence are log Bayes
        factors.

    Raises:
        SpecError: Fewer than two actions, or data of different orders.
    """
    if not isinstance(actions, (list, tuple)) or not all(
        isinstance(action, Action) for action in actions
    ):
        raise SpecError(f"`actions` is {actions!r}; expected a list of nnft_ppl.Action")
    if len(actions) < 2:
        raise SpecError(f"{len(actions)} actions given; comparing needs at least two")
    orders = {action.orders for action in actions}
    if len(orders) > 1:
        raise SpecError(
            "the actions predict connected correlators of different orders "
            f"{sorted(orders)}, so their evidence is of different data; compare those "
            "whose operators have the same numbers of fields"
        )
    rows = []
    for action in actions:
        fit = fit_couplings(
            correlators,
            action,
            [cutoff],
            key=jax.random.key(0),
            num_samples=_DRAWS,
            num_chains=_CHAINS,
            sampler="conjugate",
            prior=prior,
        )
        loo = loo_at(fit, cutoff)
        adequacy = fit.adequacy().iloc[0]
        rows.append(
            {
                "action": " + ".join(action.names),
                "log_evidence": float(fit.log_evidence[0]),
                "elpd": float(loo.elpd),
                "elpd_se": float(loo.se),
                "num_high_pareto_k": int(np.sum(loo.pareto_k > loo.good_k)),
                "discrepancy": adequacy["discrepancy"],
                "relative_misfit": adequacy["relative_misfit"],
                "verdict": adequacy["verdict"],
            }
        )
    table = pd.DataFrame(rows).sort_values("log_evidence", ascending=False)
    return table.reset_index(drop=True)
