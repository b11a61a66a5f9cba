"""The effective action: the operators that a study allows, without their couplings.

In: operator names or `Operator` objects. Out: a frozen `Action`. The caller need not
load a plugin; a name that is not built in is looked for among the installed ones.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nnft_ppl._arguments import check_choice
from nnft_ppl._errors import SpecError
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
_TREE_VERTICES = (3, 4)
"""Numbers of fields of operators whose trees are computed."""


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
    def power(self) -> int:
        """Power of 1/N up to which the connected correlators are complete.

        A connected k-pt function is of order N^{1−k/2}: 1 with quartic operators, 2
        with a sextic one, beside which the trees of two quartic vertices count. Of
        half-integer powers, those of odd k, the whole one below.
        """
        most = max(operator.num_fields for operator in self.operators)
        return max(most // 2 - 1, 0)

    @property
    def tree_operators(self) -> tuple[int, ...]:
        """Numbers of the operators whose pairs make trees that count.

        Those of four fields beside a sextic operator, and those of three beside a
        quartic one: two vertices of n fields make the (2n − 2)-pt function at the power
        of 1/N of an operator of as many fields. Empty without such, and in the bare
        scheme, which is of first order alone.
        """
        fields = [operator.num_fields for operator in self.operators]
        for vertex in _TREE_VERTICES:
            if vertex in fields and max(fields) >= 2 * vertex - 2 and not self.is_bare:
                return tuple(i for i, n in enumerate(fields) if n == vertex)
        return ()

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
