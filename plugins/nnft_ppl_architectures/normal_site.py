"""The prior that most parameters of the standard architectures have."""

import jax
import numpyro
import numpyro.distributions as dist


def normal(name: str, std: float, *shape: int) -> jax.Array:
    """Sample site `name` of independent N(0, std²) numbers of this shape.

    The site holds numbers of unit variance, so that std may be 0.
    """
    values: jax.Array = numpyro.sample(
        name, dist.Normal(0.0, 1.0).expand(shape).to_event()
    )
    return std * values
