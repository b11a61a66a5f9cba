"""How many numbers each weight's sum is over, read from the program of the network.

In: a function of parameters and one input. Out: parameter -> fan-in. Its shape does not
tell: layers stacked for a scan have an axis more, kernels may have several input or
output axes, libraries disagree about their order, and a table that is added is no
weight at all. So the parameter is followed through the traced program, as long as its
entries are only moved about, to the matrix product or convolution that sums over them.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn, Literal

type _Origin = frozenset[str] | None
"""What an array of the program holds: entries of these parameters, moved about; none
for what depends on neither parameters nor input; `None` for anything computed."""

_CONSTANT: _Origin = frozenset()
_COMPUTED: _Origin = None

_MOVES = frozenset(
    {
        "broadcast_in_dim",
        "concatenate",
        "convert_element_type",
        "copy",
        "dynamic_slice",
        "gather",
        "reshape",
        "rev",
        "sharding_constraint",
        "slice",
        "split",
        "squeeze",
        "stop_gradient",
        "transpose",
    }
)
CALLS = frozenset(
    {"jit", "closed_call", "remat2", "custom_jvp_call", "custom_vjp_call"}
)
"""Steps that run a program of the same inputs and outputs."""


def fan_ins(
    run: Callable[[Mapping[str, jax.Array], jax.Array], jax.Array],
    shapes: Mapping[str, tuple[int, ...]],
    weights: Collection[str],
    input_shape: tuple[int, ...],
) -> dict[str, int]:
    """Fan-in of the parameters that are weights of one sum; nothing is computed.

    Args:
        run: (parameters, one input) -> output.
        shapes: Of all parameters.
        weights: Those of them whose fan-in is asked for.
        input_shape: Of one input.

    Returns:
        The length of the sum, for each parameter that multiplies activations in matrix
        products or convolutions, all over equally many numbers, and does nothing else.
        There is no entry for others: a factor of each entry, a table that is looked up,
        a weight that is normalised before it is used.
    """
    names = list(shapes)

    def flat(values: Sequence[jax.Array], x: jax.Array) -> jax.Array:
        return run(dict(zip(names, values, strict=True)), x)

    program = jax.make_jaxpr(flat)(
        [jax.ShapeDtypeStruct(shapes[name], jnp.float32) for name in names],
        jax.ShapeDtypeStruct(input_shape, jnp.float32),
    )
    reader = _Reader()
    origins = [frozenset((name,)) if name in weights else _COMPUTED for name in names]
    reader.follow(program.jaxpr, [*origins, _COMPUTED])
    return {
        name: length
        for name, lengths in reader.lengths.items()
        if len(lengths) == 1 and (length := next(iter(lengths))) is not None
    }


class _Reader:
    """Follows parameters through a program.

    Attributes:
        lengths: Parameter -> lengths of the sums that its entries are weights of;
            `None` for any other use.
    """

    def __init__(self) -> None:
        self.lengths: dict[str, set[int | None]] = {}

    def follow(self, program: Jaxpr, inputs: Sequence[_Origin]) -> list[_Origin]:
        """Origins of the outputs, from those of the inputs."""
        known = dict(zip(program.invars, inputs, strict=True))

        def origin(atom: Any) -> _Origin:
            return (
                _CONSTANT if isinstance(atom, Literal) else known.get(atom, _CONSTANT)
            )

        for step in program.eqns:
            outputs = self._outputs(step, [origin(atom) for atom in step.invars])
            known.update(zip(step.outvars, outputs, strict=True))
        return [origin(atom) for atom in program.outvars]

    def _outputs(self, step: JaxprEqn, inputs: list[_Origin]) -> list[_Origin]:
        name = step.primitive.name
        if name in CALLS:
            return self.follow(called_program(step), inputs)
        if name == "scan":
            return self._scan(step, inputs)
        if name == "while":
            return self._while(step, inputs)
        if name == "cond":
            return self._cond(step, inputs)
        if name in _MOVES and _moved(step, inputs):
            return [_union(inputs)] * len(step.outvars)
        lengths = _sum_lengths(step)
        if all(inputs[:2]):  # parameters times parameters, before any input
            lengths = {}
        for at, held in enumerate(inputs):
            self._note(held, lengths.get(at))
        constant = all(held == _CONSTANT for held in inputs)
        return [_CONSTANT if constant else _COMPUTED] * len(step.outvars)

    def _note(self, held: _Origin, length: int | None) -> None:
        for parameter in held or ():
            self.lengths.setdefault(parameter, set()).add(length)

    def _scan(self, step: JaxprEqn, inputs: list[_Origin]) -> list[_Origin]:
        """Constants, carry and slices of what is scanned over, in this order."""
        body = step.params["jaxpr"].jaxpr

        def sliced(outer: Sequence[Any], inner: Sequence[Any]) -> int:
            pairs = zip(outer, inner, strict=True)
            return sum(len(_shape(a)) > len(_shape(b)) for a, b in pairs)

        carried = len(body.outvars) - sliced(step.outvars, body.outvars)
        end = len(inputs) - sliced(step.invars, body.invars)
        return self._loop(body, inputs, slice(end - carried, end))

    def _while(self, step: JaxprEqn, inputs: list[_Origin]) -> list[_Origin]:
        """Constants of the condition, constants of the body, carry."""
        of_condition = step.params["cond_nconsts"]
        of_body = inputs[of_condition:]
        carry = slice(step.params["body_nconsts"], len(of_body))
        outputs = self._loop(step.params["body_jaxpr"].jaxpr, of_body, carry)
        condition = step.params["cond_jaxpr"].jaxpr
        self.follow(condition, [*inputs[:of_condition], *outputs])
        return outputs

    def _loop(self, body: Jaxpr, inputs: list[_Origin], carry: slice) -> list[_Origin]:
        """Outputs of a body whose first outputs are its carry in the next round."""
        inputs = list(inputs)
        while True:  # until each carried array holds after a round what it did before
            before = inputs[carry]
            after = _Reader().follow(body, inputs)[: len(before)]
            inputs[carry] = [
                held if held == then else _COMPUTED
                for held, then in zip(before, after, strict=True)
            ]
            if inputs[carry] == before:
                outputs = self.follow(body, inputs)
                return [*before, *outputs[len(before) :]]
            for held, now in zip(before, inputs[carry], strict=True):
                if held != now:
                    self._note(held, None)

    def _cond(self, step: JaxprEqn, inputs: list[_Origin]) -> list[_Origin]:
        """The first input says which program is run with the others."""
        programs = [branch.jaxpr for branch in step.params["branches"]]
        results = [self.follow(program, inputs[1:]) for program in programs]
        outputs = []
        for held in zip(*results, strict=True):
            # What is picked by the input is looked up.
            same = inputs[0] == _CONSTANT and all(one == held[0] for one in held)
            if not same:
                self._note(_union(held), None)
            outputs.append(held[0] if same else _COMPUTED)
        return outputs


def called_program(step: JaxprEqn) -> Jaxpr:
    """The program that one of `CALLS` runs."""
    program: Jaxpr = step.params["jaxpr" if "jaxpr" in step.params else "call_jaxpr"]
    return program.jaxpr


def _shape(atom: Any) -> tuple[int, ...]:
    shape: tuple[int, ...] = atom.aval.shape
    return shape


def _union(origins: Sequence[_Origin]) -> frozenset[str]:
    return frozenset().union(*(held for held in origins if held))


def _moved(step: JaxprEqn, inputs: list[_Origin]) -> bool:
    """Whether a step only moves entries of parameters about."""
    if step.primitive.name == "concatenate":
        return all(inputs)
    if step.primitive.name == "broadcast_in_dim":
        if math.prod(_shape(step.invars[0])) != math.prod(_shape(step.outvars[0])):
            return False
    # Where they come from must not depend on the input: that would be a look-up.
    return bool(inputs[0]) and all(held == _CONSTANT for held in inputs[1:])


def _sum_lengths(step: JaxprEqn) -> dict[int, int]:
    """Operand -> length of the sums that its entries are weights of."""
    if step.primitive.name == "dot_general":
        contracted, _ = step.params["dimension_numbers"]
        shape = _shape(step.invars[0])
        length = math.prod(shape[axis] for axis in contracted[0])
        return {0: length, 1: length}
    if step.primitive.name == "conv_general_dilated":
        output_axis = step.params["dimension_numbers"].rhs_spec[0]
        shape = _shape(step.invars[1])
        return {1: math.prod(shape) // shape[output_axis]}
    return {}
