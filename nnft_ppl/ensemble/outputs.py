"""What an architecture's own functions return, looked at before anything is drawn.

In: a network. Out: nothing, or an error: a shape or type that is not that of the
contract would go through sums and come out as numbers.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nnft_ppl._arrays import is_real
from nnft_ppl._errors import NnftError, PluginError
from nnft_ppl._network import Network
from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Key
from nnft_ppl.ensemble.model import sample_prior


class _Part(NamedTuple):
    """One function of an architecture.

    Attributes:
        name: What it returns, in the plural.
        call: Of a key and two inputs, flat.
        shape: Of what it must return; `None` for an axis of any length.
        axes: The same in words.
        contract: What it takes and returns.
    """

    name: str
    call: Callable[[Key, jax.Array], jax.Array]
    shape: tuple[int | None, ...]
    axes: str
    contract: str


@lru_cache(maxsize=64)
def check_outputs(network: Network) -> None:
    """Call forward pass, readout, neuron and hidden layers without computing anything.

    Raises:
        PluginError: One of them does not run, or returns another shape than that of
            the contract, or anything but real numbers.
    """
    architecture = f"architecture {network.name!r}"
    points = jax.ShapeDtypeStruct((2, network.hyperparameters.input_dim), jnp.float32)
    for part in _parts(network):
        with jax.enable_x64(False):
            try:
                found = jax.eval_shape(part.call, seed_key(0), points)
            except NnftError:
                raise
            except Exception as error:  # whatever the user's code raises
                raise PluginError(
                    f"{part.name} of {architecture} cannot be computed: "
                    f"{type(error).__name__}: {error}"
                ) from error
        shape = getattr(found, "shape", None)  # of no array: none
        if shape is None or not _agree(shape, part.shape):
            given = f"type {found!r}" if shape is None else f"shape {shape}"
            raise PluginError(
                f"{part.name} of {architecture} have {given}; expected {part.axes}: "
                f"{part.contract}"
            )
        if not is_real(found.dtype) and found.dtype != bool:
            raise PluginError(
                f"{part.name} of {architecture} are {found.dtype}; expected real "
                "numbers: give real and imaginary part of a complex field as two "
                "outputs"
            )


def _agree(found: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(found) == len(expected) and all(
        there in (None, here) for here, there in zip(found, expected, strict=True)
    )


def _parts(network: Network) -> Iterator[_Part]:
    hp = network.hyperparameters
    yield _Part(
        "the outputs",
        lambda key, x: network.apply(sample_prior(network, key), x),
        (2, hp.output_dim),
        f"(point, output), (2, {hp.output_dim}) at two inputs",
        f"`apply` takes one input of shape {hp.input_shape} and returns "
        f"({hp.output_dim},)",
    )
    readout, neuron = network.readout(), network.neuron()
    layers = network.hidden_layers()
    if readout is not None:
        features = readout.features
        yield _Part(
            "the readout's features",
            lambda key, x: features(sample_prior(network, key), x[0]),
            (None,),
            "(feature,)",
            "`features` takes one input and returns the last hidden layer",
        )
    if neuron is not None and neuron.activation is not None:
        activation = neuron.activation
        yield _Part(
            "the neuron's features",
            lambda key, x: activation(x, jnp.ones_like(x)),
            (2, hp.input_dim),
            f"(2, {hp.input_dim}), as the preactivations",
            "`activation` is elementwise",
        )
    for name, owner in (("neuron", neuron), ("hidden layers", layers)):
        if owner is not None:
            yield _Part(
                f"covariances of the {name}",
                partial(_of_two, owner.covariance),
                (),
                "()",
                "`covariance` takes two inputs and returns one number",
            )


def _of_two(
    covariance: Callable[[jax.Array, jax.Array], jax.Array], _: Key, x: jax.Array
) -> jax.Array:
    return covariance(x[0], x[1])
