"""An Equinox module as an architecture."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from nnft_ppl._errors import UnavailableError
from nnft_ppl._seed import seed_key
from nnft_ppl.adapters.knowledge import Knowledge, check_width_given
from nnft_ppl.adapters.module import Template, module_architecture
from nnft_ppl.adapters.priors import ParameterPrior, path_name
from nnft_ppl.adapters.ties import copies
from nnft_ppl.architecture import Architecture, Hyperparameters

try:
    import equinox as eqx
except ModuleNotFoundError:  # an optional extra; said when it is needed
    eqx = None  # type: ignore[assignment]

type ModuleOrMake = Callable[[Hyperparameters, jax.Array], eqx.Module] | eqx.Module


def architecture_from_equinox(
    name: str,
    make: ModuleOrMake,
    prior: ParameterPrior | None = None,
    *,
    call: Callable[[Any, jax.Array], jax.Array] = lambda module, x: module(x),
    width: int | None = None,
    **knowledge: Unpack[Knowledge],
) -> Architecture:
    """An architecture of an Equinox module.

    The default prior is σ_W, σ_b of the hyperparameters in place of the module's own
    initialisers: N(0, σ_W²/fan-in) for a floating array that is a weight, the fan-in
    being how many numbers its sums are over when the module is called; N(0, σ_b²) for
    one called `bias`. Others, such as the weight of a normalisation, stay as they are
    made, unless they are random. Equinox does not tell parameters from buffers: what is
    floating and not to be random needs a `dist.Delta`. An array that the module holds
    twice is drawn once. The module is put into inference mode: no dropout.

    Args:
        name: What files and messages call it.
        make: (hyperparameters, key) -> module, or a module, which then has one width.
        prior: Path such as `layers.0.weight` -> distribution, which is expanded to the
            shape; or (path, shape, hyperparameters) -> distribution. Where it gives
            none, the default holds.
        call: (module, one input) -> (output_dim,), or () where output_dim is 1.
        width: The width of a module that is given as such.
        **knowledge: Optional fields of `Architecture`: readout, kernel, symmetries …
            `features` of a readout takes (module, one input).

    Returns:
        For `Network.build`, which refuses sizes at which the module does not run.
        The parameters are a dict, path -> value.

    Raises:
        UnavailableError: Equinox is not installed.
        SpecError: A module without `width`, or a function with one.
    """
    if eqx is None:
        raise UnavailableError(
            "Equinox is not installed; install it with: pip install 'nnft-ppl[equinox]'"
        )
    check_width_given(name, width, fixed=isinstance(make, eqx.Module))

    def template(hp: Hyperparameters) -> Template:
        if isinstance(make, eqx.Module):
            return _template(make, _ties(make), lambda seed: make)
        noted: list[tuple[Any, dict[str, str]]] = []

        def arrays() -> Any:
            module = make(hp, seed_key(0))
            arrays, rest = eqx.partition(module, eqx.is_array)
            noted.append((rest, _ties(module)))
            return arrays

        program, shapes = jax.make_jaxpr(arrays, return_shape=True)()
        ((rest, ties),) = noted
        made = _template(
            eqx.combine(shapes, rest), ties, lambda seed: make(hp, seed_key(seed))
        )
        leaves = jax.tree_util.tree_leaves_with_path(shapes)
        same = copies(program.jaxpr, [path_name(path) for path, _ in leaves])
        return replace(made, copies=same)

    fields: Knowledge = {"description": "an Equinox module", **knowledge}
    return module_architecture(name, template, prior, call, width, fields)


def _ties(module: "eqx.Module") -> dict[str, str]:
    """Later path -> first path, of the arrays that a module holds more than once.

    They are one array to whoever calls the module, and two leaves to JAX.
    """
    first: dict[int, str] = {}
    ties = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(module):
        name = path_name(path)
        if eqx.is_array(leaf) and first.setdefault(id(leaf), name) != name:
            ties[name] = first[id(leaf)]
    return ties


def _template(
    module: "eqx.Module",
    ties: Mapping[str, str],
    make: Callable[[int], "eqx.Module"],
) -> Template:
    leaves, structure = jax.tree_util.tree_flatten_with_path(
        eqx.nn.inference_mode(module)
    )
    names = [path_name(path) for path, _ in leaves]
    # Beside arrays there are leaves of any kind: activations, flags.
    arrays = {
        name: leaf
        for name, (_, leaf) in zip(names, leaves, strict=True)
        if isinstance(leaf, jax.ShapeDtypeStruct) or eqx.is_array(leaf)
        if name not in ties
    }

    def initial(seed: int) -> Mapping[str, jax.Array]:
        made = jax.tree_util.tree_leaves_with_path(make(seed))
        found = {path_name(path): leaf for path, leaf in made}
        return {name: jnp.asarray(found[name]) for name in arrays}

    def build(values: Mapping[str, jax.Array]) -> "eqx.Module":
        filled = [
            values.get(ties.get(name, name), leaf)
            for name, (_, leaf) in zip(names, leaves, strict=True)
        ]
        merged: eqx.Module = jax.tree.unflatten(structure, filled)
        return merged

    return Template(
        paths=tuple(arrays),
        shapes={
            name: leaf.shape
            for name, leaf in arrays.items()
            if jnp.issubdtype(leaf.dtype, jnp.floating)
        },
        initial=initial,
        build=build,
    )
