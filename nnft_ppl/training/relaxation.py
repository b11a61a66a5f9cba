r"""Langevin dynamics of the readout alone, an Ornstein–Uhlenbeck process, step-free.

With f(X) = c + Jω linear in what is trained and A = JᵀJ + T,

.. math:: ω(t + s) = ω_* + e^{-As} (ω(t) - ω_*) + \sqrt{T A^{-1} (1 - e^{-2As})}\, ξ,
    \quad ω_* = J^T (J J^T + T)^{-1} (y - c).

Functions of A are taken from the singular values of J = U s Vᵀ,

.. math:: h(A) = h(T) + V (h(s^2 + T) - h(T)) V^T.

Source: Gardiner, Handbook of Stochastic Methods, 3rd ed., section 4.4.6.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Float

from nnft_ppl._typing import Key
from nnft_ppl.training.gradients import Linearised, product
from nnft_ppl.training.langevin import noise


def relax(
    there: Linearised,
    new: Linearised,
    first: Float[jax.Array, " entry"],
    targets: jax.Array,
    durations: jax.Array,
    temperature: jax.Array,
    key: Key,
) -> jax.Array:
    """Outputs at new inputs and the loss, (time, new leg + 1).

    Args:
        there: The network at the data, before.
        new: The same at new inputs.
        first: ω of what is trained, in the order of J.
        targets: (leg,).
        durations: (time,) from each time to the next.
        temperature: T.
        key: Of the network.
    """
    modes = there.modes()
    rates = modes.sizes**2 + temperature
    here, away = there.joined(), new.joined()

    def applied(
        function: Callable[[jax.Array], jax.Array], step: jax.Array
    ) -> jax.Array:
        rest = function(temperature)
        inside = (function(rates) - rest) * product(modes.rows, step)
        return rest * step + product(inside, modes.rows)

    wanted = targets - (there.outputs - product(here, first))
    pull = modes.sizes / rates * product(modes.vectors.T, wanted)
    end = product(pull, modes.rows)

    def reach(
        off: jax.Array, interval: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        number, duration = interval

        def spread(rate: jax.Array) -> jax.Array:
            return jnp.sqrt(temperature / rate * -jnp.expm1(-2 * rate * duration))

        left = applied(lambda rate: jnp.exp(-rate * duration), off)
        off = left + applied(spread, noise(key, number, {"readout": off})["readout"])
        step = end + off - first
        residual = there.outputs + product(here, step) - targets
        outputs = new.outputs + product(away, step)
        return off, jnp.append(outputs, jnp.sum(residual**2) / 2)

    numbers = jnp.arange(len(durations))
    _, found = jax.lax.scan(reach, first - end, (numbers, durations))
    return found
