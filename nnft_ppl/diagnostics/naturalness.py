"""Naturalness: is the quartic coupling a constant or a function of y, and why?

In: correlators and a cutoff. Out: `Naturalness`, one answer in a sentence with the
numbers behind it. A coupling may be a constant because a symmetry of the kernel
demands it: under translations λ(y) = λ(y + t). Where no symmetry does, it is expected
to be a function, λ_0 + λ_2 |y|² + …, and it is worth a remark when it is a constant
all the same. Symmetries that an architecture declares are not believed but measured.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nnft_ppl._html import card, table
from nnft_ppl._network import Network
from nnft_ppl._rms import rms
from nnft_ppl._typing import Packed, Points
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.diagnostics.comparison.actions import compare_fits, fit_alike
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.measures import Measure
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.inference.priors import Prior
from nnft_ppl.inference.verdict import TOLERANCE, Verdict

INVARIANT = 1e-6
"""Change of the kernel under translations that is put down to rounding."""

ANSWERS = {
    "demanded": "a constant, as the translation invariance of K_W demands",
    "accidental": "a constant, though no translation invariance of K_W demands it",
    "function": "a function of y, as is natural where K_W is not translation invariant",
    "unexplained": "no constant, and a dependence on |y|² is no better, so other "
    "operators are missing",
    "insufficient": "not enough: K_W is translation invariant, which demands a "
    "constant, so other operators are missing rather than a function of y",
    "undetermined": "not told by these data to be a constant or a function of y",
}

_POLYNOMIAL = ("lambda_0", "lambda_2", "lambda_4")
_QUARTIC = 4
_NEGLIGIBLE = 1e-9
"""Responses this far below the largest determine no coupling of their own."""
_SHIFTS = 25
_FAR = 1e3
"""How many times the extent of the inputs stands for a box without end."""


@dataclass(frozen=True, eq=False)
class Naturalness:
    """What kind of thing the quartic coupling is at one cutoff.

    Attributes:
        answer: A key of `ANSWERS`.
        discrepancy: Relative, of λ_0 alone, posterior median.
        change_near: Largest change of K_W over the largest variance when the inputs are
            moved, together, by up to their own extent.
        change_in_box: The same for moves up to the edge of the box.
        is_declared: Whether the architecture declares translation invariance.
        local: One row per entry (tuple of inputs): legs, position (mean distance of the
            inputs from the origin), coupling (λ_0 from this entry alone), error (its
            standard error from the data).
        spread: Standard deviation of the local couplings over their mean, all entries
            alike, sampling noise included.
        share: Relative root-mean-square change of the predicted correlators when λ(y)
            may depend on y: |y|² and higher terms beside the constant.
        comparison: `compare_actions` of the constant with polynomials in |y|².
    """

    answer: str
    discrepancy: float
    change_near: float
    change_in_box: float
    is_declared: bool
    local: pd.DataFrame
    spread: float
    share: float
    comparison: pd.DataFrame

    def _repr_html_(self) -> str:
        """The answer and the actions that were compared, for notebooks."""
        return card("Naturalness", [("", table(self.comparison))], self.sentence)

    def __repr__(self) -> str:
        """Show the answer."""
        return f"Naturalness({self.answer!r}: {self.sentence})"

    @property
    def is_enough(self) -> bool:
        """Whether a constant or a polynomial in |y|² describes the network."""
        return bool((self.comparison["verdict"] == Verdict.DESCRIBES).any())

    @property
    def sentence(self) -> str:
        """The answer in words, with the numbers that decided."""
        best = str(self.comparison["action"].iloc[0])
        declared = "declared" if self.is_declared else "not declared"
        more = (
            f"a dependence on y changes the prediction by {self.share:.2g} of itself "
            f"and leaves {self.comparison['discrepancy'].min():.2g}; the evidence is "
            f"highest for {best}"
        )
        warning = (
            "; the architecture declares a translation invariance that its kernel does "
            "not have"
            if self.is_declared and self.change_in_box > INVARIANT
            else ""
        )
        if self.answer == "function" and not self.is_enough:
            more += "; none of the polynomials describes the network"
        return (
            f"the quartic coupling is {ANSWERS[self.answer]} (λ_0 alone leaves "
            f"{self.discrepancy:.2g} of the 4-pt function; moved with the inputs K_W "
            f"changes by {self.change_near:.2g} near them and by "
            f"{self.change_in_box:.2g} over the box, invariance {declared}{warning}; "
            f"{more})"
        )


def naturalness(
    correlators: Correlators,
    cutoff: float,
    *,
    prior: Prior | None = None,
    measure: Measure | None = None,
    tolerance: float = TOLERANCE,
) -> Naturalness:
    """Ask whether the quartic coupling is a constant, and whether a symmetry says so.

    It counts as a constant when λ_0 alone describes the connected 4-pt function, by
    the verdict of the fit: discrepancy and sampling noise below the tolerance.
    Where it does not, the coupling is a function if the polynomial in |y|² leaves less,
    beyond the intervals of both discrepancies. Evidence is reported and does not
    decide: it also asks whether so large couplings were to be expected.

    Args:
        correlators: Of orders 2 and 4, of a network whose kernel is known.
        cutoff: Λ.
        prior: `Prior()` when `None`.
        measure: What y is integrated over; `Box()` when `None`.
        tolerance: Relative misfit up to which an action describes the network.

    Raises:
        SpecError: The correlators lack order 4, the cutoff is not usable, or
            `tolerance` is not a number > 0.
        UnavailableError: The architecture gives no kernel.

    Source: theory.md §5; arXiv:2008.08601 §3.2 and §4.4 on technical naturalness.
    """
    actions = [
        Action(_POLYNOMIAL[:n], measure=measure) for n in range(1, len(_POLYNOMIAL) + 1)
    ]
    fits = fit_alike(correlators, actions, cutoff, prior)
    constant, function = fits[0], fits[-1]
    network, x = correlators.network, correlators.x
    near, far = _shift_ranges(x, constant.cutoffs[0])
    change_near, change_in_box = (
        kernel_change(network, x, shifts) for shifts in (near, far)
    )
    local = _local_couplings(constant)
    couplings = local["coupling"].to_numpy()
    predicted = [_prediction(fit) for fit in (constant, function)]
    share = rms(predicted[1] - predicted[0]) / rms(predicted[1])
    table = compare_fits(fits, tolerance=tolerance)
    row, other = (
        fit.adequacy(tolerance=tolerance).iloc[0] for fit in (constant, function)
    )
    answer = _answer(
        Verdict(row["verdict"]),
        is_invariant=max(change_near, change_in_box) <= INVARIANT,
        is_better=other["discrepancy_upper"] < row["discrepancy_lower"],
    )
    return Naturalness(
        answer=answer,
        discrepancy=float(row["discrepancy"]),
        change_near=change_near,
        change_in_box=change_in_box,
        is_declared="translation" in network.architecture.symmetries,
        local=local,
        spread=float(np.std(couplings) / abs(np.mean(couplings))),
        share=share,
        comparison=table,
    )


def kernel_change(network: Network, x: Points, shifts: np.ndarray) -> float:
    """Largest |K_W(x + t, x' + t) − K_W(x, x')| over the largest variance.

    Args:
        network: Its propagator is used.
        x: Inputs (point, dim).
        shifts: Lengths of t; every axis is tried, both ways.
    """
    here = network.propagator(x)
    largest = 0.0
    for axis in np.eye(x.shape[1]):
        for shift in np.concatenate([shifts, -shifts]):
            moved = network.propagator(x + shift * axis)
            largest = max(largest, float(np.abs(moved - here).max()))
    return largest / float(np.diag(here).max())


def _shift_ranges(x: Points, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of translations near the inputs, and up to the edge of the box."""
    extent = max(float(np.abs(x).max()), np.finfo(float).tiny)
    edge = cutoff if math.isfinite(cutoff) else _FAR * extent
    near = np.linspace(0, extent, _SHIFTS)[1:]
    return near, np.geomspace(min(extent, edge), edge, _SHIFTS)


def _local_couplings(fit: CouplingFit) -> pd.DataFrame:
    """The coupling λ_0 that each entry would have by itself."""
    correlators, likelihood = fit.correlators, fit.likelihood
    response = likelihood.to_entries(likelihood.design[0, :, 0] * likelihood.scale[0])
    told = np.abs(response) > _NEGLIGIBLE * np.abs(response).max()
    legs = correlators.entries(_QUARTIC)
    distance = np.linalg.norm(correlators.x, axis=1)[legs].mean(axis=1)
    response = response[told]
    return pd.DataFrame(
        {
            "legs": ["-".join(map(str, row)) for row in legs[told]],
            "position": distance[told],
            "coupling": correlators.connected(_QUARTIC)[told] / response,
            "error": correlators.connected_error(_QUARTIC)[told] / np.abs(response),
        }
    )


def _prediction(fit: CouplingFit) -> Packed:
    """Connected correlators at the posterior mean."""
    mean = fit.dimensionless[:, :, 0].mean(axis=(0, 1))
    return fit.likelihood.to_entries(fit.likelihood.expected(0, mean))


def _answer(verdict: Verdict, *, is_invariant: bool, is_better: bool) -> str:
    """A key of `ANSWERS`.

    Args:
        verdict: On λ_0 alone.
        is_invariant: Whether K_W is, under translations, as measured.
        is_better: Whether a dependence on y leaves less, beyond the intervals of both.
    """
    if verdict is Verdict.UNDETERMINED:
        return "undetermined"
    if verdict is Verdict.DESCRIBES:
        return "demanded" if is_invariant else "accidental"
    if is_invariant:
        return "insufficient"
    return "function" if is_better else "unexplained"
