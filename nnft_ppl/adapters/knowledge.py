"""What an adapter may be told beside the network itself, and what it always checks."""

from collections.abc import Callable, Mapping
from typing import TypedDict

import jax
import jax.numpy as jnp
from numpyro import handlers

from nnft_ppl._errors import NnftError, SpecError
from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Key, Params
from nnft_ppl.architecture import (
    Architecture,
    HiddenLayers,
    Hyperparameters,
    Neuron,
    PairFunction,
    PairShares,
    Readout,
)
from nnft_ppl.option import Option


class Knowledge(TypedDict, total=False):
    """The optional fields of `nnft_ppl.Architecture`, passed on as they are.

    None of it is found out from the network: what is declared unlocks what needs it,
    and `nnft_ppl.testing.check_architecture` verifies it.
    """

    description: str
    kernel: PairFunction
    kernel_error: PairFunction
    tangent_kernel: PairShares
    unknown_kernel: Callable[[Hyperparameters], str | None]
    no_gp_limit: Callable[[Hyperparameters], str | None]
    readout: Callable[[Hyperparameters], Readout | None]
    neuron: Callable[[Hyperparameters], Neuron | None]
    hidden_layers: Callable[[Hyperparameters], HiddenLayers | None]
    symmetries: frozenset[str]
    options: Mapping[str, Option]
    check: Callable[[Hyperparameters], None]
    suggested_inputs: Mapping[int, list[list[float]]]


def check_width_given(name: str, width: int | None, *, fixed: bool) -> None:
    """Refuse what is given at one width without saying which, and the converse."""
    if fixed and width is None:
        raise SpecError(
            f"{name!r} is given at one width; say which with width=..., or give a "
            "function of hyperparameters"
        )
    if not fixed and width is not None:
        raise SpecError(
            f"`width` is {width!r}, but {name!r} is given as a function of "
            "hyperparameters; leave `width` to Network.build"
        )


def checked_architecture(
    name: str,
    prior: Callable[[Hyperparameters], Params],
    apply: Callable[[Hyperparameters, Params, jax.Array], jax.Array],
    width: int | None,
    knowledge: Knowledge,
) -> Architecture:
    """An architecture that refuses sizes at which it does not run.

    Args:
        name: What files and messages call it.
        prior: Hyperparameters -> parameters, a NumPyro model.
        apply: (hyperparameters, params, one input) -> (output_dim,).
        width: The only one there is; any where it is `None`.
        knowledge: The other fields, a `check` of the user's own among them.
    """
    also = knowledge.get("check")

    def check(hp: Hyperparameters) -> None:
        if also is not None:
            also(hp)
        if width is not None and hp.width != width:
            raise SpecError(
                f"`width` is {hp.width}, but {name!r} was given at the one width "
                f"{width}; give a function of hyperparameters to have others"
            )
        _check_runs(name, hp, prior, apply)

    fields: Knowledge = {**knowledge, "check": check}
    return Architecture(name=name, prior=prior, apply=apply, **fields)


def _check_runs(
    name: str,
    hp: Hyperparameters,
    prior: Callable[[Hyperparameters], Params],
    apply: Callable[[Hyperparameters, Params, jax.Array], jax.Array],
) -> None:
    """Draw and call the network abstractly: nothing is computed or allocated.

    Raises:
        SpecError: It does not run at one input, or returns another shape.
    """

    def run(key: Key, x: jax.Array) -> jax.Array:
        return apply(hp, handlers.seed(prior, key)(hp), x)

    x = jax.ShapeDtypeStruct(hp.input_shape, jnp.float32)
    where = f"{name!r} at width {hp.width}, on one input of shape {hp.input_shape},"
    try:
        out = jax.eval_shape(run, seed_key(0), x)
    except NnftError:
        raise
    except Exception as error:  # whatever the user's code raises
        raise SpecError(
            f"{where} does not run: {type(error).__name__}: {error}"
        ) from error
    if out.shape != (hp.output_dim,):
        raise SpecError(
            f"{where} returns the shape {out.shape}; expected ({hp.output_dim},) "
            f"because output_dim is {hp.output_dim}: it is called on one input, "
            "without a batch axis"
        )
