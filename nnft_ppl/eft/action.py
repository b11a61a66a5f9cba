"""The effective action: the operators that a study allows, without their couplings.

In: operator names or `Operator` objects. Out: a frozen `Action`. The caller need not
load a plugin; a name that is not built in is looked for among the installed ones.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from nnft_ppl._errors import SpecError
from nnft_ppl.eft.operators import operator
from nnft_ppl.operator import Operator


@dataclass(frozen=True, init=False, repr=False)
class Action:
    """ΔS = Σ_i g_i O_i, with P ∝ e^{−S_GP − ΔS}: a negative g goes with positive G4c.

    Couplings carry no 1/4! or 1/6! (theory.md §4). Two actions are equal when they hold
    equal operators in the same order.

    Args:
        operators: Names, `Operator` objects, or both mixed.

    Raises:
        SpecError: No operators, one named twice, or something that is neither.
        PluginError: No operator has that name; the message lists those there are.
    """

    operators: tuple[Operator, ...]

    def __init__(self, operators: Iterable[str | Operator]) -> None:
        """Look the names up and check the list."""
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

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the operators, in the order given."""
        return tuple(operator.name for operator in self.operators)

    @property
    def orders(self) -> tuple[int, ...]:
        """Orders of the connected correlators that get a first-order term, sorted."""
        return tuple(sorted({operator.num_fields for operator in self.operators}))

    def __repr__(self) -> str:
        """Show the names."""
        return f"Action({list(self.names)})"


def _resolve(item: str | Operator) -> Operator:
    """The operator that `item` is or names."""
    if isinstance(item, Operator):
        return item
    if isinstance(item, str):
        return operator(item)
    raise SpecError(
        f"operator {item!r} is a {type(item).__name__}; expected a name or an Operator"
    )
