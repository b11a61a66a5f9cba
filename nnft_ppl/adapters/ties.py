"""Parameters that are one array in another guise, seen in the program that makes them.

In: the traced making of a module. Out: which parameters are another one transposed,
say: with a prior each they would be independent, which the network is not.
"""

import math
from collections.abc import Sequence
from typing import Any

from jax.extend.core import Jaxpr, Literal

from nnft_ppl.adapters.fan_in import CALLS, called_program

_KEEP_ALL_ENTRIES = frozenset(
    {
        "broadcast_in_dim",
        "convert_element_type",
        "copy",
        "reshape",
        "rev",
        "squeeze",
        "stop_gradient",
        "transpose",
    }
)


def copies(program: Jaxpr, names: Sequence[str]) -> dict[str, str]:
    """Array -> an earlier one whose entries it holds, in whatever shape or order.

    Args:
        program: Makes the arrays of a module.
        names: Of its outputs.
    """
    first: dict[object, str] = {}
    origins = _origins(program, [object() for _ in program.invars])
    found = {
        name: first.setdefault(origin, name)
        for name, origin in zip(names, origins, strict=True)
    }
    return {name: same for name, same in found.items() if same != name}


def _origins(program: Jaxpr, inputs: Sequence[object]) -> list[object]:
    """One object for each output, the same for those that hold the same entries."""
    known: dict[Any, object] = dict(zip(program.invars, inputs, strict=True))

    def origin(atom: Any) -> object:
        if isinstance(atom, Literal):
            return object()
        return known.setdefault(atom, object())  # a constant, when first seen

    for step in program.eqns:
        name = step.primitive.name
        if name in CALLS:
            inputs = [origin(atom) for atom in step.invars]
            held = _origins(called_program(step), inputs)
        elif name in _KEEP_ALL_ENTRIES and _size(step.invars[0]) == _size(
            step.outvars[0]
        ):
            held = [origin(step.invars[0])]
        else:
            held = [object() for _ in step.outvars]
        known.update(zip(step.outvars, held, strict=True))
    return [origin(atom) for atom in program.outvars]


def _size(atom: Any) -> int:
    return math.prod(atom.aval.shape)
