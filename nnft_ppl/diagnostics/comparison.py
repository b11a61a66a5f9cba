"""Which action: evidence and leave-tuple-out, at one cutoff, on the same data."""

import warnings
from collections import Counter
from collections.abc import Sequence

import arviz as az
import jax
import pandas as pd

from nnft_ppl._errors import SpecError
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.diagnostics.evidence import nested_evidence
from nnft_ppl.diagnostics.leave_out import leave_tuple_out, num_high_pareto_k
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.integrals import check_cutoffs
from nnft_ppl.inference.fit import infer_couplings
from nnft_ppl.inference.identifiability import NOT_IDENTIFIABLE, null_combination
from nnft_ppl.inference.likelihood import build_likelihood
from nnft_ppl.inference.priors import Prior

EVIDENCE = ("auto", "closed form", "nested")
_WARMUP = 500
_DRAWS = 1000
_CHAINS = 4


def compare_actions(
    correlators: Correlators,
    actions: Sequence[Action],
    cutoff: float,
    *,
    prior: Prior | None = None,
    evidence: str = "auto",
) -> pd.DataFrame:
    """Evidence, leave-tuple-out and misfit of each action, best evidence first.

    Where predictions are linear in the couplings the evidence is in closed form, with
    the discrepancy integrated on a grid, and the draws are independent; elsewhere the
    evidence is by nested sampling and the draws are by NUTS. Leave-tuple-out is by
    ArviZ, over the entries of the correlators given all others.

    Args:
        correlators: The data, the same for all.
        actions: At least two, that predict correlators of the same orders.
        cutoff: Λ.
        prior: `Prior()` when `None`.
        evidence: `auto`; `closed form`, which refuses an action that has none; or
            `nested` for all.

    Returns:
        Columns: action, log_evidence, log_evidence_error (0 in closed form), elpd,
        elpd_se, elpd_diff (elpd less the best one, so ≤ 0) and elpd_diff_se (smaller
        than elpd_se, because all predict the same data), num_high_pareto_k, discrepancy
        (median), relative_misfit, verdict, which for operators that make the same
        prediction here says so instead. Differences of log_evidence are log Bayes
        factors.

    Raises:
        SpecError: Fewer than two actions, the same twice, data of different orders, or
            `evidence` is unknown or cannot be had.
        UnavailableError: Nested sampling is needed and dynesty is not installed.
    """
    _check(actions)
    if evidence not in EVIDENCE:
        raise SpecError(f"`evidence` is {evidence!r}; choose one of {list(EVIDENCE)}")
    rows, left_out = [], {}
    for action in actions:
        values = tuple(float(c) for c in check_cutoffs([cutoff]))
        likelihood = build_likelihood(correlators, action, values)
        is_linear = likelihood.is_linear
        if evidence == "closed form" and not is_linear:
            raise SpecError(
                f"{action} predicts correlators that are not linear in its couplings, "
                "so its evidence has no closed form; choose evidence='auto'"
            )
        name = " + ".join(action.names)
        # Not `fit_couplings`, which refuses couplings that cannot be told apart: the
        # action's evidence and predictions are as good as any.
        fit = infer_couplings(
            correlators,
            action,
            values,
            likelihood,
            Prior() if prior is None else prior,
            key=jax.random.key(0),
            num_warmup=_WARMUP,
            num_samples=_DRAWS,
            num_chains=_CHAINS,
            discrepancy=True,
            sampler="conjugate" if is_linear else "nuts",
        )
        log_evidence, error = float(fit.log_evidence[0]), 0.0
        if evidence == "nested" or not is_linear:
            found = nested_evidence(fit, fit.cutoffs[0], key=jax.random.key(1))
            log_evidence, error = found.log_evidence, found.error
        left_out[name] = leave_tuple_out(fit, fit.cutoffs[0])
        adequacy = fit.adequacy().iloc[0]
        rows.append(
            {
                "action": name,
                "log_evidence": log_evidence,
                "log_evidence_error": error,
                "num_high_pareto_k": num_high_pareto_k(left_out[name]),
                "discrepancy": adequacy["discrepancy"],
                "relative_misfit": adequacy["relative_misfit"],
                "verdict": adequacy["verdict"]
                if null_combination(likelihood, 0) is None
                else NOT_IDENTIFIABLE,
            }
        )
    table = pd.DataFrame(rows).merge(_differences(left_out), on="action")
    table = table.sort_values("log_evidence", ascending=False).reset_index(drop=True)
    return table[
        [
            "action",
            "log_evidence",
            "log_evidence_error",
            "elpd",
            "elpd_se",
            "elpd_diff",
            "elpd_diff_se",
            "num_high_pareto_k",
            "discrepancy",
            "relative_misfit",
            "verdict",
        ]
    ]


def _check(actions: Sequence[Action]) -> None:
    """Refuse comparisons that mean nothing."""
    if not isinstance(actions, (list, tuple)) or not all(
        isinstance(action, Action) for action in actions
    ):
        raise SpecError(f"`actions` is {actions!r}; expected a list of nnft_ppl.Action")
    if len(actions) < 2:
        raise SpecError(f"{len(actions)} actions given; comparing needs at least two")
    counts = Counter(frozenset(action.names) for action in actions)
    twice = [sorted(names) for names, count in counts.items() if count > 1]
    if twice:
        raise SpecError(f"the action {twice[0]} is given more than once")
    orders = {action.orders for action in actions}
    if len(orders) > 1:
        raise SpecError(
            "the actions predict connected correlators of different orders "
            f"{sorted(orders)}, so their evidence is of different data; compare those "
            "whose operators have the same numbers of fields"
        )


def _differences(left_out: dict[str, az.ELPDData]) -> pd.DataFrame:
    """ArviZ's comparison: elpd and its distance from the best, with their errors."""
    with warnings.catch_warnings():
        # High Pareto k are counted in the table.
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto")
        # Not stacking: its weights are not used, and its optimiser takes exp of a log
        # density of −10⁴.
        table = az.compare(left_out, method="pseudo-BMA", round_to="none")
    return pd.DataFrame(
        {
            "action": table.index,
            "elpd": table["elpd"].to_numpy(dtype=float),
            "elpd_se": table["se"].to_numpy(dtype=float),
            "elpd_diff": table["elpd_diff"].to_numpy(dtype=float),
            "elpd_diff_se": table["dse"].to_numpy(dtype=float),
        }
    )
