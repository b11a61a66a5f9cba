"""A Flax NNX module as an architecture."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl.adapters.knowledge import Knowledge, check_width_given
from nnft_ppl.adapters.module import Template, module_architecture
from nnft_ppl.adapters.priors import ParameterPrior, path_name
from nnft_ppl.adapters.ties import copies
from nnft_ppl.architecture import Architecture, Hyperparameters

try:
    from flax import nnx
except ModuleNotFoundError:  # an optional extra; said when it is needed
    nnx = None  # type: ignore[assignment]

type ModuleOrMake = Callable[[Hyperparameters, nnx.Rngs], nnx.Module] | nnx.Module


def architecture_from_nnx(
    name: str,
    make: ModuleOrMake,
    prior: ParameterPrior | None = None,
    *,
    call: Callable[[Any, jax.Array], jax.Array] = lambda module, x: module(x),
    width: int | None = None,
    **knowledge: Unpack[Knowledge],
) -> Architecture:
    """An architecture of a Flax NNX module.

    The default prior is σ_W, σ_b of the hyperparameters in place of the module's own
    initialisers: N(0, σ_W²/fan-in) for an `nnx.Param` that is a weight, the fan-in
    being how many numbers its sums are over when the module is called; N(0, σ_b²) for
    one called `bias`. Others, such as the scale of a normalisation, and all state stay
    as they are made, unless they are random. What the graph shares is drawn once.
    The module is put into evaluation mode: no dropout, running averages.

    Args:
        name: What files and messages call it.
        make: (hyperparameters, rngs) -> module, or a module, which then has one width.
        prior: Path such as `layers.0.kernel` -> distribution, which is expanded to the
            shape; or (path, shape, hyperparameters) -> distribution. Where it gives
            none, the default holds.
        call: (module, one input) -> (output_dim,). A module that needs a batch axis:
            `lambda module, x: module(x[None])[0]`.
        width: The width of a module that is given as such.
        **knowledge: Optional fields of `Architecture`: readout, kernel, symmetries …
            `features` of a readout takes (module, one input).

    Returns:
        For `Network.build`, which refuses sizes at which the module does not run.
        The parameters are a dict, path -> value.

    Raises:
        UnavailableError: Flax is not installed.
        SpecError: A module without `width`, or a function with one.
    """
    if nnx is None:
        raise UnavailableError(
            "Flax is not installed; install it with: pip install 'nnft-ppl[flax]'"
        )
    check_width_given(name, width, fixed=isinstance(make, nnx.Module))

    def template(hp: Hyperparameters) -> Template:
        if isinstance(make, nnx.Module):
            # A copy, because evaluation mode is set in place.
            graph, *states = _split(nnx.clone(make))
            return _template(graph, states, lambda seed: nnx.clone(make))
        noted: list[nnx.GraphDef[nnx.Module]] = []

        def arrays() -> list[Any]:
            graph, *states = _split(make(hp, nnx.Rngs(0)))
            noted.append(graph)
            return states

        program, states = jax.make_jaxpr(arrays, return_shape=True)()
        made = _template(noted[0], states, lambda seed: make(hp, nnx.Rngs(seed)))
        return replace(made, copies=copies(program.jaxpr, made.paths))

    fields: Knowledge = {"description": "a Flax NNX module", **knowledge}
    return module_architecture(name, template, prior, _unchanged(call), width, fields)


def _split(module: "nnx.Module") -> tuple[Any, ...]:
    """Graph, parameters and other state of a module, put into evaluation mode.

    Raises:
        SpecError: It holds a bare array that Flax would take for a constant, although
            it belongs to the trace in which the module is made.
    """
    for path, part in nnx.iter_modules(module):
        for name, value in vars(part).items():
            if isinstance(value, jax.core.Tracer):
                whole = ".".join(map(str, (*path, name)))
                raise SpecError(
                    f"the attribute {whole!r} of the module is a bare array; wrap it: "
                    "nnx.Variable(array), or nnx.Param(array) for a parameter"
                )
    module.eval()
    return nnx.split(module, nnx.Param, ...)


def _template(
    graph: Any, states: list[Any], make: Callable[[int], "nnx.Module"]
) -> Template:
    leaves, structure = jax.tree_util.tree_flatten_with_path(states)
    paths = [_variable_name(path[1:]) for path, _ in leaves]  # [0]: which state
    shapes = {
        name: leaf.shape
        for name, (path, leaf) in zip(paths, leaves, strict=True)
        if path[0].idx == 0 and jnp.issubdtype(leaf.dtype, jnp.floating)
    }

    def initial(seed: int) -> Mapping[str, jax.Array]:
        _, *values = _split(make(seed))
        return dict(zip(paths, jax.tree.leaves(values), strict=True))

    def build(values: Mapping[str, jax.Array]) -> "nnx.Module":
        filled = jax.tree.unflatten(structure, [values[path] for path in paths])
        merged: nnx.Module = nnx.merge(graph, *filled)
        return merged

    return Template(
        paths=tuple(paths),
        shapes=shapes,
        initial=initial,
        build=build,
    )


def _variable_name(path: tuple[Any, ...]) -> str:
    """Path of a variable, or of an array that is an attribute itself."""
    in_variable = isinstance(path[-1], jax.tree_util.GetAttrKey)  # its value
    return path_name(path[:-1] if in_variable else path)


def _unchanged(
    call: Callable[[Any, jax.Array], jax.Array],
) -> Callable[["nnx.Module", jax.Array], jax.Array]:
    """`call`, refused where it changes the module: it would be no function of x."""

    def state(module: "nnx.Module") -> dict[str, Any]:
        leaves = jax.tree_util.tree_leaves_with_path(nnx.state(module))
        return {_variable_name(path): leaf for path, leaf in leaves}

    def checked(module: "nnx.Module", x: jax.Array) -> jax.Array:
        before = state(module)
        out = call(module, x)
        after = state(module)
        changed = [p for p, value in before.items() if after[p] is not value]
        if changed:
            raise SpecError(
                f"the module changes {changed} when it is called, so that one draw is "
                "no function of its input; call it without random streams or running "
                "statistics"
            )
        return out

    return checked
