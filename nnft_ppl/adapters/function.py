"""A pure function and a pytree of NumPyro distributions, as an architecture."""

from collections.abc import Callable
from typing import Unpack

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from nnft_ppl._errors import SpecError
from nnft_ppl._typing import Params
from nnft_ppl.adapters.knowledge import (
    Knowledge,
    check_width_given,
    checked_architecture,
)
from nnft_ppl.adapters.priors import sample_tree
from nnft_ppl.architecture import Architecture, Hyperparameters


def architecture_from_function(
    name: str,
    apply: Callable[[Params, jax.Array], jax.Array],
    prior: Params | Callable[[Hyperparameters], Params],
    *,
    width: int | None = None,
    **knowledge: Unpack[Knowledge],
) -> Architecture:
    """An architecture of any pure function and a prior of its parameters.

    Args:
        name: What files and messages call it.
        apply: (params, one input) -> (output_dim,), or () where output_dim is 1.
            `params` is the pytree of the prior with values for distributions.
        prior: hyperparameters -> pytree of NumPyro distributions, or one such pytree,
            which then fixes the width and ignores weight_std and bias_std.
        width: The width of a fixed pytree.
        **knowledge: Optional fields of `Architecture`: readout, kernel, symmetries …

    Returns:
        For `Network.build`, which refuses sizes at which the function does not run.

    Raises:
        SpecError: A fixed pytree without `width`, or a function with one.
    """
    fixed = isinstance(prior, dist.Distribution) or not callable(prior)
    check_width_given(name, width, fixed=fixed)

    def sample(hp: Hyperparameters) -> Params:
        if fixed and (hp.weight_std, hp.bias_std) != (1.0, 0.0):
            raise SpecError(
                f"`weight_std` is {hp.weight_std} and `bias_std` {hp.bias_std}, but "
                f"the prior of {name!r} is a fixed pytree without them; leave them "
                "out, or give a function of hyperparameters"
            )
        return sample_tree(name, prior if fixed else prior(hp))

    def apply_one(hp: Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
        return jnp.atleast_1d(apply(params, x))

    fields: Knowledge = {"description": "a function and its prior", **knowledge}
    return checked_architecture(name, sample, apply_one, width, fields)
