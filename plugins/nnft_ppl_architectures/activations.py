"""The standard activations, by name."""

from collections.abc import Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp

import nnft_ppl as nnft

ACTIVATIONS: Mapping[str, nnft.Activation] = MappingProxyType(
    {
        a.name: a
        for a in (
            nnft.Activation(
                name="relu",
                function=lambda z: jnp.maximum(z, 0.0),
                homogeneity=1,
                kinks=(0.0,),
            ),
            nnft.Activation(name="tanh", function=jnp.tanh),
            nnft.Activation(name="erf", function=jax.scipy.special.erf),
        )
    }
)
