"""The smallest action that predicts held-out inputs, among all that operators can form.

In: correlators at some inputs, correlators of the same network at others, cutoffs and
operators. Out: `ActionSearch`, every subset of the operators at every cutoff with its
error on both sets. Least squares, all entries weighted alike, and no prior: the
question is what the operators can span, not what the data leave open.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from nnft_ppl._arguments import check_number
from nnft_ppl._errors import FitError, NnftError, SpecError, UnavailableError
from nnft_ppl._html import card, table
from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Points
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.diagnostics.held_out import check_held_out, relative_error
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.expansion import design_matrix
from nnft_ppl.eft.integration.pair_sums import check_cutoffs
from nnft_ppl.eft.measures import Measure
from nnft_ppl.eft.operators import BUILT_IN_OPERATORS
from nnft_ppl.operator import Operator

MAX_OPERATORS = 12
"""Whose 4095 subsets take seconds per cutoff."""
_QUARTIC = 4
_INTEGRAL_LIMIT = 1e-4
"""Relative error of a cutoff integral beyond which its operator is left out."""


@dataclass(frozen=True, eq=False)
class ActionSearch:
    """Every action tried, and which one to take.

    Attributes:
        target: Held-out relative error that an action shall stay below.
        table: One row per cutoff and action, fewest operators first and then smallest
            held-out error: cutoff, action, num_operators, fitted_error, held_out_error
            (relative root mean squares, the data's own noise subtracted).
        left_out: One row per operator and cutoff that could not be used: operator,
            cutoff, reason.
    """

    target: float
    table: pd.DataFrame
    left_out: pd.DataFrame

    @property
    def is_reached(self) -> bool:
        """Whether any action stays below the target."""
        return bool((self.table["held_out_error"] < self.target).any())

    @property
    def best(self) -> pd.Series:
        """The smallest action below the target; else the closest of all.

        Among equally small ones, that with the smallest held-out error.
        """
        error = self.table["held_out_error"].to_numpy()
        below = np.flatnonzero(error < self.target)
        return self.table.iloc[int(below[0] if below.size else np.argmin(error))]

    @property
    def sentence(self) -> str:
        """The answer in words."""
        best = self.best
        error = f"{100 * best['held_out_error']:.2g} %"
        aim = f"{100 * self.target:.2g} %"
        where = f"at cutoff {best['cutoff']:g}"
        if self.is_reached:
            return (
                f"{best['action']} {where} predicts held-out inputs to {error}, and "
                f"no action with fewer operators stays below {aim}"
            )
        return (
            f"no action tried stays below {aim} on held-out inputs; the closest is "
            f"{best['action']} {where} with {error}"
        )

    def _repr_html_(self) -> str:
        """The answer and the best of what was tried, for notebooks."""
        return card("ActionSearch", [("", table(self.table))], self.sentence)

    def __repr__(self) -> str:
        """Show the answer."""
        return f"ActionSearch({len(self.table)} tried: {self.sentence})"


def search_actions(
    correlators: Correlators,
    held_out: Correlators,
    cutoffs: Sequence[float],
    *,
    operators: Sequence[str | Operator] | None = None,
    target: float = 0.05,
    measure: Measure | None = None,
) -> ActionSearch:
    """Fit every subset of the operators at every cutoff and try it on held-out inputs.

    Args:
        correlators: Fitted.
        held_out: Of the same network, at other inputs; not fitted.
        cutoffs: Λ; `math.inf` where the integrals converge.
        operators: All with the same number of fields; the built-in ones with four when
            `None`.
        target: Relative error of the connected correlators at the held-out inputs that
            is good enough.
        measure: What y is integrated over; `Box()` when `None`.

    Raises:
        SpecError: Inputs that are not held out, operators of different order or too
            many, a target that is not positive, an order that was not measured, or no
            operator that can be used at any cutoff.
        UnavailableError: The architecture gives no kernel.
    """
    check_held_out(correlators, held_out)
    check_number("target", target, lambda t: t > 0, "a number > 0, such as 0.05")
    action = Action(
        [o for o in BUILT_IN_OPERATORS.values() if o.num_fields == _QUARTIC]
        if operators is None
        else operators,
        measure=measure,
    )
    if len(action.operators) > MAX_OPERATORS:
        raise SpecError(
            f"{len(action.operators)} operators have too many subsets; give at most "
            f"{MAX_OPERATORS}"
        )
    if len(action.orders) > 1:
        raise SpecError(
            f"the operators have {list(action.orders)} fields; give operators that all "
            "have the same number, since each order is a search of its own"
        )
    order = action.orders[0]
    data = [
        (c.connected(order), c.connected_error(order)) for c in (correlators, held_out)
    ]
    rows: list[dict[str, object]] = []
    left_out: list[dict[str, object]] = []
    values = tuple(check_cutoffs(cutoffs).tolist())
    columns = {
        given.name: _columns(
            Action([given], measure=action.measure),
            correlators,
            held_out,
            values,
            left_out,
        )
        for given in action.operators
    }
    for cutoff in values:
        usable = [name for name in action.names if cutoff in columns[name]]
        for size in range(1, len(usable) + 1):
            for names in combinations(usable, size):
                fitted, predicted = (
                    np.stack([columns[name][cutoff][side] for name in names], axis=1)
                    for side in (0, 1)
                )
                scale = np.abs(fitted).max(axis=0)
                solution = np.linalg.lstsq(fitted / scale, data[0][0])[0] / scale
                rows.append(
                    {
                        "cutoff": cutoff,
                        "action": " + ".join(names),
                        "num_operators": size,
                        "fitted_error": float(
                            relative_error(fitted @ solution, *data[0])
                        ),
                        "held_out_error": float(
                            relative_error(predicted @ solution, *data[1])
                        ),
                    }
                )
    missing = pd.DataFrame(left_out, columns=["operator", "cutoff", "reason"])
    if not rows:
        raise SpecError(
            "no operator can be used at any cutoff; the first could not because "
            f"{missing['reason'].iloc[0]}"
        )
    table = pd.DataFrame(rows).sort_values(["num_operators", "held_out_error"])
    return ActionSearch(float(target), table.reset_index(drop=True), missing)


type Sides = tuple[np.ndarray, np.ndarray]


def _columns(
    action: Action,
    correlators: Correlators,
    held_out: Correlators,
    cutoffs: tuple[float, ...],
    left_out: list[dict[str, object]],
) -> dict[float, Sides]:
    """Cutoff -> responses at the fitted and at the held-out inputs, where there are.

    The action holds one operator. One whose integral diverges at one cutoff is still
    good at another; the reasons of those left out are appended to `left_out`.
    """
    network = correlators.network
    found: dict[float, Sides] = {}
    for cutoff in cutoffs:
        try:
            found[cutoff] = (
                _response(action, network, correlators.x, cutoff),
                _response(action, network, held_out.x, cutoff),
            )
        except NnftError as error:
            if isinstance(error, UnavailableError) and not network.has_kernel:
                raise
            left_out.append(
                {
                    "operator": action.names[0],
                    "cutoff": cutoff,
                    "reason": str(error),
                }
            )
    return found


def _response(action: Action, network: Network, x: Points, cutoff: float) -> np.ndarray:
    """(entry,) connected correlators per unit coupling of an action's one operator."""
    operator = action.operators[0]
    values, error = design_matrix(
        action, network, x, np.array([cutoff]), operator.num_fields
    )
    column: Matrix = values[0, :, 0]
    largest = np.abs(column).max()
    if not largest > 0:
        raise FitError(f"operator {operator.name!r} has no effect on these inputs")
    if error.max() > _INTEGRAL_LIMIT * largest:
        raise FitError(
            f"the integral of operator {operator.name!r} at cutoff {cutoff:g} has "
            f"relative error {error.max() / largest:.1e}"
        )
    return column
