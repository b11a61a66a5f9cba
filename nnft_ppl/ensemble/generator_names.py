"""Names of the generators of random numbers; what imports them imports no JAX."""

from types import MappingProxyType

ROUNDS = MappingProxyType({"fused13": 13, "fused": 20})
"""Of the cipher in `ensemble.generator`, by the name of the generator that runs it.

13 are the fewest that pass BigCrush, 20 those of `jax.random`: Salmon et al. (2011),
table 2. What was saved says under which name its networks were drawn, so that a name
never changes its numbers.
"""
GENERATORS = (*ROUNDS, "jax")
"""Those of `ROUNDS` fill normal sites from `ensemble.generator`; `jax` is `jax.random`
alone."""
DEFAULT_GENERATOR = "fused13"
