r"""Langevin dynamics of the readout alone, an Ornstein–Uhlenbeck process, step-free.

With f(X) = c + Jω linear in what is trained and A = JᵀJ + T,

.. math:: ω(t + s) = ω_* + e^{-As} (ω(t) - ω_*) + \sqrt{T A^{-1} (1 - e^{-2As})}\, ξ,
    \quad ω_* = J^T (J J^T + T)^{-1} (y - c).

Functions of A are taken from the eigenvectors of Θ = JJᵀ = U λ Uᵀ,

.. math:: h(A) = h(T) + J^T U \frac{h(λ + T) - h(T)}{λ} U^T J.

Source: Gardiner, Handbook of Stochastic Methods, 3rd ed., section 4.4.6.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._typing import Key
from nnft_ppl.training.gradients import Linearised
from nnft_ppl.training.langevin import noise
from nnft_ppl.training.standardised import Standardised


def relax(
    there: Linearised,
    new: Linearised,
    first: Standardised,
    targets: jax.Array,
    durations: jax.Array,
    temperature: jax.Array,
    key: Key,
) -> jax.Array:
    """Outputs at new inputs and the loss, (time, new leg + 1).

    Args:
        there: The network at the data, before.
        new: The same at new inputs.
        first: ω of what is trained, flat for each site.
        targets: (leg,).
        durations: (time,) from each time to the next.
        temperature: T.
        key: Of the network.
    """
    eigenvalues, vectors = jnp.linalg.eigh(there.tangent_kernel())
    floor = np.finfo(eigenvalues.dtype).eps * eigenvalues[-1]
    positive = eigenvalues > floor
    safe = jnp.where(positive, eigenvalues, 1.0)
    rates = jnp.maximum(eigenvalues, 0.0) + temperature

    def applied(
        function: Callable[[jax.Array], jax.Array], step: Standardised
    ) -> Standardised:
        rest = function(temperature)
        factors = jnp.where(positive, (function(rates) - rest) / safe, 0.0)
        inside = there.pulled(vectors @ (factors * (vectors.T @ there.along(step))))
        return {name: rest * step[name] + inside[name] for name in step}

    wanted = targets - (there.outputs - there.along(first))
    end = there.pulled(vectors @ ((vectors.T @ wanted) / rates))

    def reach(
        off: Standardised, interval: tuple[jax.Array, jax.Array]
    ) -> tuple[Standardised, jax.Array]:
        number, duration = interval

        def spread(rate: jax.Array) -> jax.Array:
            return jnp.sqrt(temperature / rate * -jnp.expm1(-2 * rate * duration))

        left = applied(lambda rate: jnp.exp(-rate * duration), off)
        kicks = applied(spread, noise(key, number, off))
        off = {name: left[name] + kicks[name] for name in off}
        step = {name: end[name] + off[name] - first[name] for name in off}
        residual = there.outputs + there.along(step) - targets
        outputs = new.outputs + new.along(step)
        return off, jnp.append(outputs, jnp.sum(residual**2) / 2)

    start = {name: first[name] - end[name] for name in first}
    numbers = jnp.arange(len(durations))
    _, found = jax.lax.scan(reach, start, (numbers, durations))
    return found
