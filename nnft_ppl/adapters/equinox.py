"""An Equinox module as an architecture."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Unpack

import jax
import jax.numpy as jnp

from nnft_ppl._errors import UnavailableError
from nnft_ppl._seed import seed_key
from nnft_ppl.adapters.knowledge import Knowledge, check_width_given
from nnft_ppl.adapters.module import Template, module_architecture
from nnft_ppl.adapters.priors import ParameterPrior, path_name
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
    initialisers: N(0, σ_W²/fan-in) for a floating array of two or more axes, the first
    of which is the output's; N(0, σ_b²) for one called `bias`. Others, such as the
    weight of a normalisation, stay as they are made, unless they are random. Equinox
    does not tell parameters from buffers: what is floating and not to be random needs a
    `dist.Delta`. The module is put into inference mode: no dropout.

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
            return _template(make, lambda seed: make)
        return _template(
            eqx.filter_eval_shape(make, hp, seed_key(0)),
            lambda seed: make(hp, seed_key(seed)),
        )

    fields: Knowledge = {"description": "an Equinox module", **knowledge}
    return module_architecture(name, template, prior, call, width, fields)


def _template(module: "eqx.Module", make: Callable[[int], "eqx.Module"]) -> Template:
    leaves, structure = jax.tree_util.tree_flatten_with_path(
        eqx.nn.inference_mode(module)
    )
    # Beside arrays there are leaves of any kind: activations, flags.
    arrays = {
        path_name(path): (path, leaf)
        for path, leaf in leaves
        if isinstance(leaf, jax.ShapeDtypeStruct) or eqx.is_array(leaf)
    }
    parameters = {
        name: (path, leaf.shape)
        for name, (path, leaf) in arrays.items()
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    }
    # Their weights multiply no sum over a layer of known size.
    nn = eqx.nn
    other = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.BatchNorm, nn.Embedding)
    special = [
        path
        for path, node in jax.tree_util.tree_leaves_with_path(
            module, is_leaf=lambda node: isinstance(node, other)
        )
        if isinstance(node, other)
    ]

    def initial(seed: int) -> Mapping[str, jax.Array]:
        made = jax.tree_util.tree_leaves_with_path(make(seed))
        found = {path_name(path): leaf for path, leaf in made}
        return {name: jnp.asarray(found[name]) for name in arrays}

    def build(values: Mapping[str, jax.Array]) -> "eqx.Module":
        filled = [values.get(path_name(path), leaf) for path, leaf in leaves]
        merged: eqx.Module = jax.tree.unflatten(structure, filled)
        return merged

    return Template(
        paths=tuple(arrays),
        shapes={name: shape for name, (_, shape) in parameters.items()},
        fan_in={
            name: math.prod(shape[1:])
            for name, (path, shape) in parameters.items()
            if len(shape) >= 2 and path[:-1] not in special
        },
        initial=initial,
        build=build,
    )
