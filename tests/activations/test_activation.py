"""What is taken for an activation, and what is refused before any network is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nnft_ppl as nnft


def own(function):
    return nnft.network("mlp", width=3, input_dim=1, activation=function)


def numpy_sinus(z):
    return np.sin(z)


def centred(z):
    return z - z.mean()


def doubled(z):
    return jnp.concatenate([z, z])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (jax.nn.softmax, "'softmax' mixes the numbers of an array"),
        (centred, "'centred' mixes the numbers"),
        (nnft.Activation(name="flat", function=centred), "'flat' mixes the numbers"),
        (jnp.mean, r"'mean' makes \(\) of an array of shape \(3,\)"),
        (doubled, r"'doubled' makes \(6,\) of"),
        (numpy_sinus, "'numpy_sinus' fails .*TracerArrayConversionError"),
        (int, "'int' fails on a JAX array with TypeError"),
    ],
)
def test_what_is_no_elementwise_function_of_jax_arrays_is_refused(function, message):
    with pytest.raises(
        nnft.SpecError, match=message + ".* expected an elementwise function of a JAX"
    ):
        own(function)


@pytest.mark.parametrize(
    "function", [jax.nn.silu, jnp.sign, jnp.cos, jnp.log, jnp.square]
)
def test_elementwise_functions_are_taken(function):
    """Of any shape, with jumps, and even where some numbers have no value."""
    assert own(function).options["activation"] == function.__name__
