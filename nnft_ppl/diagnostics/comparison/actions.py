"""Which action: evidence and leave-tuple-out, at one cutoff, on the same data."""

import dataclasses
import warnings
from collections import Counter
from collections.abc import Sequence

import arviz_stats as az
import pandas as pd

from nnft_ppl._arguments import check_choice, check_kind
from nnft_ppl._errors import SpecError
from nnft_ppl._seed import seed_key
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.diagnostics.comparison.evidence import nested_evidence
from nnft_ppl.diagnostics.comparison.leave_out import leave_tuple_out, num_high_pareto_k
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.integration.pair_sums import check_cutoffs
from nnft_ppl.inference.couplings.fit import infer_couplings
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.inference.identifiability import NOT_IDENTIFIABLE, null_combination
from nnft_ppl.inference.likelihood import Likelihood, build_likelihood
from nnft_ppl.inference.mcmc.sampling import Sampling
from nnft_ppl.inference.own_propagator import as_fitted
from nnft_ppl.inference.priors import Prior, prior_or_default
from nnft_ppl.inference.verdict import TOLERANCE, check_tolerance

EVIDENCE = ("auto", "closed form", "nested")
COLUMNS = (
    "action",
    "log_evidence",
    "log_evidence_error",
    "elpd",
    "elpd_se",
    "elpd_diff",
    "elpd_diff_se",
    "num_high_pareto_k",
    "p_value",
    "discrepancy",
    "relative_misfit",
    "verdict",
    "behind",
)
_SAMPLING = Sampling(num_warmup=500, num_samples=1000, num_chains=4)


def compare_actions(
    correlators: Correlators,
    actions: Sequence[Action],
    cutoff: float,
    *,
    prior: Prior | None = None,
    evidence: str = "auto",
    tolerance: float = TOLERANCE,
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
        tolerance: Relative misfit up to which an action describes the network.

    Returns:
        Columns: action, log_evidence, log_evidence_error (0 in closed form), elpd,
        elpd_se, elpd_diff (elpd less the best one, so ≤ 0) and elpd_diff_se (smaller
        than elpd_se, because all predict the same data), num_high_pareto_k, p_value,
        discrepancy (median), relative_misfit, verdict (or that its couplings cannot be
        told apart, which spoils neither evidence nor predictions), behind (by how much
        log_evidence is less than the best one; no action far behind is good, whatever
        its verdict). Differences of log_evidence are log Bayes factors.

    Raises:
        SpecError: Fewer than two actions, the same twice, data of different orders,
            `evidence` is unknown or cannot be had, or `tolerance` is not a number > 0.
        UnavailableError: Nested sampling is needed and dynesty is not installed.
    """
    check_choice("evidence", evidence, EVIDENCE)
    _check(actions)
    tolerance = check_tolerance(tolerance)
    fits = fit_alike(correlators, actions, cutoff, prior)
    return compare_fits(fits, evidence, tolerance)


def fit_alike(
    correlators: Correlators,
    actions: Sequence[Action],
    cutoff: float,
    prior: Prior | None,
) -> list[CouplingFit]:
    """One fit per action, at one cutoff, all with the same model of the noise.

    How the noise of measured data is modelled depends on the responses of the operators
    (`inference.covariance`). Each fit here takes the model for the operators of all
    actions together: densities of data under different noise could not be compared.

    Args:
        correlators: The data.
        actions: Whose operators have the same numbers of fields.
        cutoff: Λ.
        prior: `Prior()` when `None`.
    """
    check_kind("correlators", correlators, Correlators)
    prior = prior_or_default(prior)
    value = float(check_cutoffs([cutoff])[0])
    operators = {o.name: o for action in actions for o in action.operators}
    one = actions[0]
    together = Action(operators.values(), measure=one.measure, scheme=one.scheme)
    correlators = as_fitted(correlators, with_mean=together.makes_mean)
    likelihood = build_likelihood(correlators, together, (value,))
    # Not `fit_couplings`, which refuses couplings that cannot be told apart: the
    # evidence and the predictions of such an action are as good as any.
    return [
        infer_couplings(
            correlators,
            action,
            (value,),
            _restricted(likelihood, [together.names.index(n) for n in action.names]),
            prior,
            key=seed_key(0),
            sampling=_SAMPLING,
            discrepancy=True,
            sampler="conjugate" if likelihood.is_linear else "nuts",
        )
        for action in actions
    ]


def _restricted(likelihood: Likelihood, columns: list[int]) -> Likelihood:
    """The same data and noise with some of the operators."""
    quadratic = likelihood.quadratic
    return dataclasses.replace(
        likelihood,
        design=likelihood.design[..., columns],
        quadratic=None
        if quadratic is None
        else quadratic[..., columns, :][..., columns],
        scale=likelihood.scale[..., columns],
    )


def compare_fits(
    fits: Sequence[CouplingFit], evidence: str = "auto", tolerance: float = TOLERANCE
) -> pd.DataFrame:
    """The table of `compare_actions` from what `fit_alike` returns."""
    rows, left_out = [], {}
    for fit in fits:
        cutoff, name = fit.cutoffs[0], " + ".join(fit.action.names)
        log_evidence, error = float(fit.log_evidence[0]), 0.0
        is_linear = fit.likelihood.is_linear
        if evidence == "closed form" and not is_linear:
            raise SpecError(
                f"{fit.action} predicts correlators that are not linear in its "
                "couplings, so its evidence has no closed form; choose evidence='auto'"
            )
        if evidence == "nested" or not is_linear:
            found = nested_evidence(fit, cutoff, key=seed_key(1))
            log_evidence, error = found.log_evidence, found.error
        left_out[name] = leave_tuple_out(fit, cutoff)
        adequacy = fit.adequacy(tolerance=tolerance).iloc[0]
        apart = null_combination(fit.likelihood.design[0]) is None
        rows.append(
            {
                "action": name,
                "log_evidence": log_evidence,
                "log_evidence_error": error,
                "num_high_pareto_k": num_high_pareto_k(left_out[name]),
                "p_value": adequacy["p_value"],
                "discrepancy": adequacy["discrepancy"],
                "relative_misfit": adequacy["relative_misfit"],
                "verdict": adequacy["verdict"] if apart else NOT_IDENTIFIABLE,
            }
        )
    table = pd.DataFrame(rows).merge(_differences(left_out), on="action")
    table = table.sort_values("log_evidence", ascending=False).reset_index(drop=True)
    table["behind"] = table["log_evidence"].max() - table["log_evidence"]
    return table[list(COLUMNS)]


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
    settings = {(action.measure, action.scheme) for action in actions}
    if len(settings) > 1:
        raise SpecError(
            "the actions have different measures or schemes: "
            f"{sorted(map(repr, settings))}; compare actions that share both"
        )
    given = {operator for action in actions for operator in action.operators}
    names = Counter(operator.name for operator in given)
    ambiguous = [name for name, count in names.items() if count > 1]
    if ambiguous:
        raise SpecError(
            f"different operators are all called {ambiguous[0]!r}; give each its name"
        )
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
