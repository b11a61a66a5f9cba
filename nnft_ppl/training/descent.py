"""Gradient descent: ω ← ω − η r ∂L/∂ω, all data in every step."""

import jax

from nnft_ppl.training.learner import Learner
from nnft_ppl.training.standardised import Standardised


def descend(
    learner: Learner, values: Standardised, steps: jax.Array, learning_rate: jax.Array
) -> Standardised:
    """The parameters after so many steps.

    Args:
        learner: Network and data.
        values: Before.
        steps: How many.
        learning_rate: η.
    """

    def step(_: jax.Array, values: Standardised) -> Standardised:
        slope = learner.gradient(values)
        return values | {
            name: values[name] - learning_rate * rate * slope[name]
            for name, rate in learner.rates.items()
        }

    found: Standardised = jax.lax.fori_loop(0, steps, step, values)
    return found
