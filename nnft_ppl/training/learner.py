"""One network at its data: residuals, squared loss, and its gradient."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Float

from nnft_ppl.training.gradients import Linearised, linearised
from nnft_ppl.training.standardised import Sites, Standardised


@dataclass(frozen=True, eq=False)
class Learner:
    """L = ½ Σ (f − y)² over the data, as a function of standardised parameters ω.

    Training follows −r ∂L/∂ω, with r = 1 in the NTK parametrisation.

    Attributes:
        sites: Of the prior.
        rates: Trained site -> r; the others keep their first values.
        points: (point, dim).
        targets: (leg,) the output running faster.
    """

    sites: Sites
    rates: Mapping[str, float]
    points: Float[jax.Array, "point dim"]
    targets: Float[jax.Array, " leg"]

    def residual(self, values: Standardised) -> Float[jax.Array, " leg"]:
        """Of f from y."""
        return self.sites.outputs(values, self.points) - self.targets

    def loss(self, values: Standardised) -> Float[jax.Array, ""]:
        """L."""
        return jnp.sum(self.residual(values) ** 2) / 2

    def gradient(self, values: Standardised) -> Standardised:
        """∂L/∂ω of the trained sites."""
        trained = {name: values[name] for name in self.rates}

        def loss(trained: Standardised) -> jax.Array:
            return self.loss(values | trained)

        slopes: Standardised = jax.grad(loss)(trained)
        return slopes

    def linearised(self, values: Standardised) -> Linearised:
        """The network at the data, and its Jacobian by ω times √r."""
        return linearised(self.sites, values, self.points, self.rates)

    def moved(self, values: Standardised, step: Standardised) -> Standardised:
        """The parameters after a step that is in units of √r."""
        return values | {
            name: values[name]
            + self.rates[name] ** 0.5 * step[name].reshape(values[name].shape)
            for name in self.rates
        }
