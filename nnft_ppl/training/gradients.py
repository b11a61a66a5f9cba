"""Gradients of one network at inputs, and the tangent kernel that they make.

In: a network as a function of its standardised parameters. Out: its Jacobian, one row
for each output at each input, and products of them.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from nnft_ppl.training.standardised import Sites, Standardised


class Modes(NamedTuple):
    """J = U s Vᵀ.

    Attributes:
        vectors: (leg, mode) U.
        sizes: (mode,) s ≥ 0.
        rows: (mode, entry) Vᵀ, of all sites one beside the other.
    """

    vectors: Float[jax.Array, "leg mode"]
    sizes: Float[jax.Array, " mode"]
    rows: Float[jax.Array, "mode entry"]


class Linearised(NamedTuple):
    """A network at inputs, and how it changes with its parameters.

    Attributes:
        outputs: (leg,) f, the output running faster than the input.
        jacobian: Site -> (leg, entry) ∂f/∂ω √r, of trained sites.
    """

    outputs: Float[jax.Array, " leg"]
    jacobian: dict[str, Float[jax.Array, "leg entry"]]

    def joined(self) -> Float[jax.Array, "leg entry"]:
        """J, sites one beside the other in the order of their names here."""
        return jnp.concatenate(list(self.jacobian.values()), axis=1)

    def modes(self) -> "Modes":
        """The singular values of J; those that rounding alone makes are 0.

        Θ = J Jᵀ has their squares for eigenvalues, of which rounding hides all below
        one in 10⁷ of the largest: what is learned of these in a long time is told here
        alone.
        """
        joined = self.joined()
        vectors, sizes, rows = jnp.linalg.svd(joined, full_matrices=False)
        floor = max(joined.shape) * np.finfo(sizes.dtype).eps * sizes[0]
        return Modes(vectors, jnp.where(sizes > floor, sizes, 0.0), rows)

    def tangent_kernel(self) -> jax.Array:
        """J Jᵀ, (leg, other leg)."""
        products = [product(part, part.T) for part in self.jacobian.values()]
        return jnp.sum(jnp.stack(products), axis=0)

    def pulled(self, weights: Float[jax.Array, " leg"]) -> Standardised:
        """Jᵀ weights, flat for each site: a step of the parameters over √r."""
        return {n: product(weights, part) for n, part in self.jacobian.items()}

    def along(self, step: Standardised) -> Float[jax.Array, " leg"]:
        """J step, for a step that is flat for each site."""
        parts = [product(part, step[n]) for n, part in self.jacobian.items()]
        return jnp.sum(jnp.stack(parts), axis=0)


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """Of matrices, in full precision on every device."""
    return jnp.matmul(a, b, precision="highest")


def linearised(
    sites: Sites,
    values: Standardised,
    points: jax.Array,
    rates: Mapping[str, float],
) -> Linearised:
    """One network at inputs (point, input_dim), by reverse differentiation.

    Args:
        sites: Of its prior.
        values: Its parameters.
        points: Inputs.
        rates: Trained site -> r; the others are fixed.
    """
    fixed = {name: v for name, v in values.items() if name not in rates}
    trained = {name: v for name, v in values.items() if name in rates}

    def outputs(trained: Standardised) -> jax.Array:
        return sites.outputs(fixed | trained, points)

    found, pull = jax.vjp(outputs, trained)
    (rows,) = jax.vmap(pull)(jnp.eye(len(found), dtype=found.dtype))
    return Linearised(
        found,
        {
            name: rates[name] ** 0.5 * row.reshape(len(found), -1)
            for name, row in rows.items()
        },
    )
