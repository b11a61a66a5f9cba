"""Priors by name: NumPyro distributions for the leaves of a pytree.

Sites are called after the path of the leaf, joined by dots.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist

from nnft_ppl._errors import SpecError
from nnft_ppl._parameters import parameter_name
from nnft_ppl._typing import Params
from nnft_ppl.architecture import Hyperparameters

type ParameterPrior = (
    Mapping[str, dist.Distribution]
    | Callable[[str, tuple[int, ...], Hyperparameters], dist.Distribution | None]
)
"""By path, or from (path, shape, hyperparameters); `None` or no entry: the default."""


def path_name(path: tuple[Any, ...]) -> str:
    """Name of the leaf at a key path, such as `layers.0.weight`.

    Raises:
        SpecError: A key holds "/", which separates groups in saved files.
    """
    name = parameter_name(path)
    if "/" in name:
        raise SpecError(
            f"the parameter {name!r} has '/' in its name, which separates groups in "
            "saved files; rename it"
        )
    return name


def sample_tree(name: str, distributions: Params) -> Params:
    """Sample every distribution of a pytree; the values in the same pytree.

    Args:
        name: Of the architecture, for messages.
        distributions: A pytree whose leaves are NumPyro distributions.

    Raises:
        SpecError: There is no leaf, or one is no distribution.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(
        distributions, is_leaf=lambda node: isinstance(node, dist.Distribution)
    )
    if not leaves:
        raise SpecError(f"the prior of {name!r} holds no distribution; give some")
    values = []
    for path, leaf in leaves:
        site = path_name(path)
        if not isinstance(leaf, dist.Distribution):
            raise SpecError(
                f"the prior of {name!r} holds {type(leaf).__name__} at {site!r}; "
                "expected a NumPyro distribution (dist.Delta(value) for what is not "
                "random). A NumPyro model goes into nnft_ppl.Architecture(prior=...)"
            )
        values.append(numpyro.sample(site, leaf.to_event()))
    return jax.tree.unflatten(structure, values)


def centred_normal(std: float, shape: tuple[int, ...]) -> dist.Distribution:
    """N(0, std²) for every entry of an array; a point mass where std is 0."""
    if std == 0:  # NumPyro refuses a scale of 0
        return dist.Delta(jnp.zeros(shape)).to_event()
    return dist.Normal(0.0, std).expand(shape).to_event()


def fitted(given: object, name: str, shape: tuple[int, ...]) -> dist.Distribution:
    """The distribution `given` for the parameter `name`, expanded to its shape.

    Raises:
        SpecError: No distribution, or not of a shape that expands to this one.
    """
    if not isinstance(given, dist.Distribution):
        raise SpecError(
            f"the prior of the parameter {name!r} is {given!r}; expected a NumPyro "
            "distribution, or None for the default"
        )
    if given.batch_shape + given.event_shape == shape:
        return given.to_event()
    try:
        if given.event_shape:
            raise ValueError("its event shape is not empty")
        return given.expand(shape).to_event()
    except ValueError as error:
        raise SpecError(
            f"the prior of the parameter {name!r} has the shape "
            f"{given.batch_shape + given.event_shape}, which does not expand to that "
            f"of the parameter, {shape}"
        ) from error
