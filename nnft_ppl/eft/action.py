"""The effective action: the operators that a study allows, without their couplings.

In: operator names or `Operator` objects. Out: a frozen `Action`. The caller need not
load a plugin; a name that is not built in is looked for among the installed ones.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nnft_ppl._arguments import check_choice
from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl.eft.measures import (
    Box,
    Measure,
    check_measure,
    check_measure_is_saved,
    measure_from_json,
    measure_named,
)
from nnft_ppl.eft.operators import operator, operators
from nnft_ppl.operator import Operator

SCHEMES = ("renormalised", "bare")
_TREES = {4: 3, 6: 4}
"""Order -> number of fields of either of the two vertices of its trees."""


@dataclass(frozen=True, init=False, repr=False)
class Action:
    """ΔS = Σ_i g_i O_i, with P ∝ e^{−S_GP − ΔS}: a negative g goes with positive G4c.

    Couplings carry no 1/4! or 1/6! (theory.md §4). Two actions are equal when they hold
    equal operators in the same order, with one measure and one scheme.

    Args:
        operators: Names, `Operator` objects, or both mixed.
        measure: What the integration points y run over at a cutoff Λ; the box when
            `None`, or the name of one without data.
        scheme: `renormalised`: propagators are the exact 2-pt function, and fields of
            one operator are not contracted with one another, because that is absorbed
            in the propagator and in lower couplings. `bare`: they are, to first order,
            so that an operator shifts every lower correlator too (theory.md §4).

    Raises:
        SpecError: No operators, one named twice, something that is neither, or an
            unknown measure or scheme.
        PluginError: No operator has that name; the message lists those there are.
    """

    operators: tuple[Operator, ...]
    measure: Measure
    scheme: str

    def __init__(
        self,
        operators: Iterable[str | Operator],
        *,
        measure: Measure | str | None = None,
        scheme: str = "renormalised",
    ) -> None:
        """Look the names up and check the list."""
        check_choice("scheme", scheme, SCHEMES)
        if measure is None or isinstance(measure, str):
            measure = measure_named(measure or "box")
        measure = check_measure(measure)
        if isinstance(operators, (str, Operator)):
            raise SpecError(
                f"an action needs a list of operators, not {operators!r} alone; write "
                "it as a list of one"
            )
        try:
            given = tuple(_resolve(item) for item in operators)
        except TypeError:
            raise SpecError(
                f"an action needs a list of operators, not {operators!r}"
            ) from None
        if not given:
            raise SpecError(
                "an action needs at least one operator; give for instance "
                "['lambda_0', 'lambda_2']"
            )
        twice = [n for n, count in Counter(o.name for o in given).items() if count > 1]
        if twice:
            raise SpecError(
                f"operators {twice} are given more than once; one coupling each, so "
                "give distinct names"
            )
        object.__setattr__(self, "operators", given)
        object.__setattr__(self, "measure", measure)
        object.__setattr__(self, "scheme", scheme)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the operators, in the order given."""
        return tuple(operator.name for operator in self.operators)

    @property
    def is_bare(self) -> bool:
        """Whether fields of one operator are contracted with one another."""
        return self.scheme == "bare"

    @property
    def orders(self) -> tuple[int, ...]:
        """Orders of the connected correlators that the couplings are fitted to, sorted.

        Those with a first-order term. In the bare scheme that is every lower order of
        the same parity too, less those that are the input of the diagrams: the 2-pt
        function, and the mean without an operator of one field to make it.
        """
        present = {operator.num_fields for operator in self.operators}
        if self.is_bare:
            for fields in tuple(present):
                present |= set(range(3 + (fields + 1) % 2, fields, 2))
        return tuple(sorted(present))

    @property
    def makes_mean(self) -> bool:
        """Whether an operator has one field, and so is fitted to the mean."""
        return 1 in self.orders

    @property
    def has_odd(self) -> bool:
        """Whether an operator has an odd number of fields."""
        return any(operator.num_fields % 2 for operator in self.operators)

    def tree_operators(self, order: int) -> tuple[int, ...]:
        """Numbers of the operators whose pairs make trees of a connected function.

        A connected k-pt function is of order N^{1−k/2}, so that two cubic vertices
        count beside a quartic one, and two quartic vertices beside a sextic one. There
        are none in the bare scheme, which is of first order alone.
        """
        fields = [operator.num_fields for operator in self.operators]
        if self.is_bare or order not in _TREES or max(fields) < order:
            return ()
        return tuple(i for i, n in enumerate(fields) if n == _TREES[order])

    def check_trees(self) -> None:
        """Refuse operators beside which trees of three vertices would count.

        Raises:
            UnavailableError: There are such.
        """
        fields = [operator.num_fields for operator in self.operators]
        if 3 in fields and max(fields) > 4 and not self.is_bare:
            raise UnavailableError(
                f"{self} has operators of three fields beside ones of "
                f"{max(fields)}: trees of three and more vertices are of the same "
                "order, and are not computed; fit them apart, or to first order alone "
                "with scheme='bare'"
            )

    def check_is_saved(self) -> None:
        """Refuse an action that `record` would not bring back.

        Raises:
            SpecError: An operator is not built in or of an installed plugin, or the
                measure is more than its name and fields.
        """
        for one in self.operators:
            if operators().get(one.name) != one:
                raise SpecError(
                    f"operator {one.name!r} is neither built in nor of an installed "
                    "plugin, and a file holds its name alone; make it a plugin to save "
                    "fits with it"
                )
        check_measure_is_saved(self.measure)

    def record(self) -> dict[str, Any]:
        """The form that files carry: operators by name, measure and scheme."""
        return {
            "operators": list(self.names),
            "measure": self.measure.to_json(),
            "scheme": self.scheme,
        }

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> "Action":
        """The action of `record`; without measure and scheme, the usual ones.

        Raises:
            PluginError: An operator is of a plugin that is not installed.
        """
        measure = record.get("measure")
        return Action(
            record["operators"],
            measure=None if measure is None else measure_from_json(measure),
            scheme=record.get("scheme", SCHEMES[0]),
        )

    def __repr__(self) -> str:
        """Show the names, and measure and scheme where they are not the usual ones."""
        extras = "" if self.measure == Box() else f", measure={self.measure!r}"
        extras += f", scheme={self.scheme!r}" if self.is_bare else ""
        return f"Action({list(self.names)}{extras})"


def _resolve(item: str | Operator) -> Operator:
    """The operator that `item` is or names."""
    if isinstance(item, Operator):
        return item
    if isinstance(item, str):
        return operator(item)
    raise SpecError(
        f"operator {item!r} is a {type(item).__name__}; expected a name or an Operator"
    )
