"""Adapters: a network written elsewhere becomes an `Architecture`, without a plugin.

`function` takes a pure function and a pytree of NumPyro distributions, `nnx` a Flax NNX
module, `equinox` an Equinox module. The last two need the extras of these names, and
nothing here is imported until it is asked for.
"""
