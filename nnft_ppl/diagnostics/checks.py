"""`diagnose`: every check of a fit as a named result, and the verdict in words.

In: a `CouplingFit`. Out: a list of `Check`, the verdict last. Nothing is raised; a
numerical failure is a value.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nnft_ppl._arguments import check_kind
from nnft_ppl._html import card
from nnft_ppl._numbers import percent, percent_interval, significant
from nnft_ppl.correlators.correlators import MIN_EFFECTIVE_BATCHES
from nnft_ppl.correlators.origin import DRAWN
from nnft_ppl.diagnostics.answers import answer
from nnft_ppl.diagnostics.convergence import convergence
from nnft_ppl.diagnostics.six_point import ORDER, six_point
from nnft_ppl.diagnostics.symmetry import vanishing
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.inference.posterior import INTERVAL
from nnft_ppl.inference.verdict import SIGNIFICANCE, TOLERANCE, Verdict

MAX_RHAT = 1.01
MIN_ESS_PER_CHAIN = 100
MIN_BFMI = 0.3
MAX_KERNEL_ERROR = 0.03
"""Relative error of a coupling from that of the kernel, which no data lower."""
MAX_POSTERIOR_WIDTH = 0.3
"""Of the prior's; above, a coupling is not determined by the data."""
MAX_PRIOR_DISTANCE = 2.0
"""Standard deviations of the prior."""
_QUARTIC = 4
_EXCESS = 10.0
"""Over its numerical error: what is more is there."""
_LARGER = (
    "try Prior(natural_size=...) nearer to N times the couplings, or spread larger"
)
_LARGE_MEAN = (
    "the mean is large beside the field: leave out the operator of one field, and the "
    "field less its mean is fitted"
)
MIN_PREDICTED = 0.01
"""How often a prediction's own draws must be as far off as the measured values."""


@dataclass(frozen=True)
class Check:
    """One check of a fit.

    Attributes:
        name: What was checked.
        value: The worst value over cutoffs and couplings.
        threshold: What it was compared with.
        passed: Whether it is on the right side.
        message: What it means, for people, with the place of the worst value.
    """

    name: str
    value: float
    threshold: float
    passed: bool
    message: str

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        rows = [
            ("passed", "yes" if self.passed else "no"),
            ("value", f"{self.value:.4g}"),
            ("threshold", f"{self.threshold:.4g}"),
        ]
        return card(f"Check {self.name}", rows, self.message)


def diagnose(
    fit: CouplingFit,
    *,
    tolerance: float = TOLERANCE,
    comparison: pd.DataFrame | None = None,
) -> list[Check]:
    """Check the sampler, the data and the action, in this order; the verdict is last.

    Names: `rhat`, `ess_bulk`, `ess_tail`, `divergences`, `bfmi` (NUTS only), then
    `heavy_tails` (measured data only), `kernel` (where it has an error), `identified`,
    `prior`, `prediction` (where 6-pt data are there that were not fitted),
    `odd_orders` (where the data hold odd ones of which the action has no operator, of
    no higher power of 1/width than it keeps),
    `discrepancy` or `predictive`, `verdict`. The message of the last answers three
    questions: does the action fit within the noise, how large is its misfit, is another
    action better?

    Args:
        fit: From `fit_couplings`.
        tolerance: Relative misfit up to which the action describes the network.
        comparison: From `compare_actions`, where actions were compared.

    Raises:
        SpecError: `fit` is none, or `tolerance` is not a number > 0.
    """
    check_kind("fit", fit, CouplingFit, "what fit_couplings returns")
    checks = _sampler_checks(fit)
    if not fit.correlators.is_exact:
        checks.append(_heavy_tails(fit))
    if np.max(fit.likelihood.error_from_kernel) > 0:
        checks.append(_kernel_error(fit))
    checks += _coupling_checks(fit)
    checks += _prediction_check(fit)
    checks += _odd_orders_check(fit)
    checks += _action_checks(fit, tolerance, comparison)
    return checks


def verdict(checks: list[Check]) -> Check:
    """The check that states whether the action describes the network."""
    return next(check for check in checks if check.name == "verdict")


def _sampler_checks(fit: CouplingFit) -> list[Check]:
    table = convergence(fit)
    chains = fit.dimensionless.shape[0]
    checks = []
    for name, threshold, larger_is_worse in (
        ("rhat", MAX_RHAT, True),
        ("ess_bulk", MIN_ESS_PER_CHAIN * chains, False),
        ("ess_tail", MIN_ESS_PER_CHAIN * chains, False),
        ("divergences", 0, True),
        ("bfmi", MIN_BFMI, False),
    ):
        column = table[name].to_numpy(dtype=float)
        if name in ("divergences", "bfmi") and fit.sampler != "nuts":
            continue  # independent draws have neither
        if np.isnan(column).any():
            place = int(np.argmax(np.isnan(column)))
            checks.append(
                Check(
                    name,
                    float("nan"),
                    float(threshold),
                    False,
                    f"{name} cannot be computed at cutoff {fit.cutoffs[place]:g}: too "
                    "few draws, or chains that do not move; run more draws",
                )
            )
            continue
        place = int(np.argmax(column) if larger_is_worse else np.argmin(column))
        value = float(column[place])
        passed = value <= threshold if larger_is_worse else value >= threshold
        relation = "at most" if larger_is_worse else "at least"
        advice = "" if passed else "; run more warmup and draws, or look at the traces"
        checks.append(
            Check(
                name,
                value,
                float(threshold),
                bool(passed),
                f"{'largest' if larger_is_worse else 'smallest'} {name} {value:.4g}, "
                f"at cutoff {fit.cutoffs[place]:g}, wanted {relation} {threshold:g}"
                f"{advice}",
            )
        )
    return checks


def _heavy_tails(fit: CouplingFit) -> Check:
    orders, origin = fit.likelihood.orders, fit.correlators.origin
    batches = min(float(fit.correlators.effective_batches[k].min()) for k in orders)
    passed = batches >= MIN_EFFECTIVE_BATCHES
    meaning = (
        f"the sampling errors rest on many {origin.members}"
        if passed
        else f"too few {origin.members}, or a few that dominate a heavy tail; neither "
        "the correlators nor their errors can be trusted: "
        + (
            f"take far more draws, so that there are {MIN_EFFECTIVE_BATCHES}"
            if origin is DRAWN
            else "use exact_correlators, or far more networks"
        )
    )
    return Check(
        "heavy_tails",
        batches,
        float(MIN_EFFECTIVE_BATCHES),
        passed,
        f"effective number of batches behind the errors {batches:.3g}: {meaning}",
    )


def _kernel_error(fit: CouplingFit) -> Check:
    """What the kernel's error does to the couplings, beside their whole error."""
    error = np.broadcast_to(
        fit.likelihood.error_from_kernel, fit.likelihood.scale.shape
    )
    draws = fit.dimensionless
    spread = draws.std(axis=(0, 1)) / np.abs(draws.mean(axis=(0, 1)))
    which, worst = np.unravel_index(int(np.argmax(error)), error.shape)
    value = float(error[which, worst])
    passed = value <= MAX_KERNEL_ERROR
    advice = (
        ""
        if passed
        else "; scale the inputs down, or give the activation in closed form (`dual`)"
    )
    return Check(
        "kernel",
        value,
        MAX_KERNEL_ERROR,
        passed,
        f"the error of the kernel makes {fit.action.names[worst]} at cutoff "
        f"{fit.cutoffs[which]:g} uncertain by {percent(value)} of itself, a part of "
        f"its whole error of {percent(float(spread[which, worst]))}{advice}",
    )


def _coupling_checks(fit: CouplingFit) -> list[Check]:
    """Whether the data, and not the prior, decide the couplings."""
    prior, width = fit.prior, fit.correlators.network.width
    # Of couplings that the data leave open, the posterior is this wide.
    scales = np.sqrt(
        np.mean(prior.scales_at(fit.natural_size, width, fit.action) ** 2, axis=(0, 1))
    )
    spread = fit.dimensionless.std(axis=(0, 1)) / scales
    which, worst = np.unravel_index(int(np.argmax(spread)), spread.shape)
    value = float(spread[which, worst])
    identified = value <= MAX_POSTERIOR_WIDTH
    place = f"{fit.action.names[worst]} at cutoff {fit.cutoffs[which]:g}"
    means = np.abs(fit.dimensionless.mean(axis=(0, 1))) / scales
    far = float(means.max())
    of_mean = prior.powers(fit.action)[int(means.max(axis=0).argmax())] == 0
    held = "a coupling or their size"
    # No size of a prior in 1/N scales the coupling that makes the mean.
    advice = _LARGE_MEAN if of_mean else _LARGER
    if prior.is_hierarchical:
        # The size follows the couplings; what may hold them back is its own prior, if
        # it expects smaller ones. Wider than they need it holds nothing back.
        logs = np.log(fit.natural_size / prior.natural_size).mean(axis=(0, 1))
        of_size = float(logs.max()) / prior.spread
        if of_size > far:
            far, advice = of_size, _LARGER
    if fit.has_discrepancy:
        misfit = float(fit.discrepancy.mean(axis=(0, 1)).max())
        if misfit / prior.discrepancy_scale > far:
            far, held = misfit / prior.discrepancy_scale, "the discrepancy"
            advice = (
                "try Prior(discrepancy_scale=...) larger: intervals are too narrow "
            )
            advice += "with this"
    return [
        Check(
            "identified",
            value,
            MAX_POSTERIOR_WIDTH,
            identified,
            f"posterior of {place} has {percent(value)} of the prior's width"
            + (
                ""
                if identified
                else ": the data do not determine it, or only together with another "
                "operator that predicts nearly the same"
            ),
        ),
        Check(
            "prior",
            far,
            MAX_PRIOR_DISTANCE,
            far <= MAX_PRIOR_DISTANCE,
            f"the posterior mean of {held} is at most {far:.2g} standard deviations of "
            "the prior out"
            + (
                ""
                if far <= MAX_PRIOR_DISTANCE
                else f": the prior holds it back; {advice}"
            ),
        ),
    ]


def _prediction_check(fit: CouplingFit) -> list[Check]:
    """Whether the predicted 6-pt function is the measured one; nothing without both."""
    if ORDER not in fit.correlators.orders or fit.likelihood.has_odd_orders:
        return []  # nothing says how large the powers left out of odd actions are
    six = six_point(fit)
    if six.is_fitted or six.is_heavy_tailed:
        return []
    passed = six.p_value >= MIN_PREDICTED
    advice = (
        ""
        if passed
        else ": what first order leaves out is larger than in ordinary networks "
        "(docs/truncation.md); do not use such predictions, or fit the 6-pt function"
    )
    return [
        Check(
            "prediction",
            six.p_value,
            MIN_PREDICTED,
            passed,
            f"the {round(100 * INTERVAL)} % band of the 6-pt function predicted at "
            f"cutoff {six.cutoff:g} holds {percent(six.inside)} of its "
            f"{fit.correlators.origin} entries; as far off are "
            f"{percent(six.p_value)} of the prediction's own draws, wanted at least "
            f"{percent(MIN_PREDICTED)}{advice}",
        )
    ]


def _odd_orders_check(fit: CouplingFit) -> list[Check]:
    """Whether odd functions that the action does not describe are there.

    The mean is a background, and no such function; nor are those of higher powers of
    1/width than the action keeps, which any action leaves out.
    """
    data, fitted = fit.correlators, fit.likelihood.orders
    most = max(_QUARTIC, *fitted)
    orders = tuple(k for k in data.orders if k % 2 and 1 < k < most and k not in fitted)
    if not orders:
        return []
    named = " and ".join(f"{k}-pt" for k in orders)
    if data.is_exact:
        passed = all(
            (np.abs(data.connected(k)) <= _EXCESS * data.numerical_error[k]).all()
            for k in orders
        )
        value, threshold = 0.0 if passed else 1.0, 0.0
        found = "are zero" if passed else "are not zero"
    else:
        if sum(len(data.connected(k)) for k in orders) >= data.num_batches:
            return []  # too few batches to test by
        test = vanishing(data, "odd_orders", orders, MIN_PREDICTED)
        value, threshold, passed = test.value, MIN_PREDICTED, test.passed
        found = f"differ from zero with p-value {significant(value, 2)}"
    advice = (
        ""
        if passed
        else ": the action has no operator of as many fields and says nothing of them; "
        + ("add 'cubic'" if 3 in orders else "add one of your own (docs/operators.md)")
    )
    return [
        Check(
            "odd_orders",
            value,
            threshold,
            passed,
            f"the connected {named} functions are not fitted, and {found}{advice}",
        )
    ]


def _action_checks(
    fit: CouplingFit, tolerance: float, comparison: pd.DataFrame | None
) -> list[Check]:
    answers = answer(fit, tolerance=tolerance, comparison=comparison)
    rows = fit.adequacy(tolerance=tolerance).to_dict("records")
    if fit.has_discrepancy:
        row = max(rows, key=lambda row: float(row["discrepancy_upper"]))
        value, threshold = float(row["discrepancy_upper"]), float(row["tolerance"])
        first = Check(
            "discrepancy",
            value,
            threshold,
            value <= threshold,
            f"relative model discrepancy {percent(row['discrepancy'])} (90 % interval "
            f"{percent_interval(row['discrepancy_lower'], row['discrepancy_upper'])}) "
            f"at cutoff {row['cutoff']:g}, tolerated {percent(threshold)}",
        )
    else:
        row = min(rows, key=lambda row: float(row["p_value"]))
        value, threshold = float(row["p_value"]), SIGNIFICANCE
        passed = value >= threshold
        otherwise = "does not say" if passed else "says"
        first = Check(
            "predictive",
            value,
            threshold,
            passed,
            "the fit assumes that the action is exact; the residual "
            f"{otherwise} otherwise: chi-squared p-value {significant(value, 2)} at "
            f"cutoff {row['cutoff']:g}, wanted at least {threshold:g}",
        )
    return [
        first,
        Check(
            "verdict",
            first.value,
            first.threshold,
            answers.verdict is Verdict.DESCRIBES,
            f"{answers.verdict.sentence('this action', fit.correlators.origin.this)} "
            "on these inputs "
            f"({', '.join(fit.action.names)}{answers.where}): "
            + "; ".join(answers.sentences),
        ),
    ]
