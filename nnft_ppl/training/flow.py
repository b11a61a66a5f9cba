r"""Gradient flow dω/dt = −r ∂L/∂ω, by steps that are exact for a linear network.

With J the Jacobian at the beginning of a step, in units where r = 1, the flow is
F(ω) = −JᵀJ ω + N(ω), of which the first part is done exactly whatever the step,

.. math:: a = ω + h φ_1(−h JᵀJ) F(ω), \quad
    ω' = a + h φ_2(−h JᵀJ) (N(a) − N(ω)),

φ_1(z) = (e^z − 1)/z, φ_2(z) = (e^z − 1 − z)/z². Only the change of the tangent kernel
limits the step: a wide network is trained to the end in a few, where explicit rules
take as many as the largest eigenvalue times t. A step costs a gradient for every datum
and the eigenvectors of Θ = J Jᵀ. Its size is chosen for each network by the size of the
second line's correction.

Where the gradient jumps, on the kink of an activation, the correction is of first order
in the step and as large as what is left out. Where it is still too large in a step of
a quarter of one over the largest eigenvalue of Θ, that step is made of plain ones, by
Heun's method, each so short that the jump within it is small. They cost two gradients
each and no eigenvectors, and follow a network that slides along a kink, too: its steps
to and fro have the right mean.

Source: Cox and Matthews, J. Comput. Phys. 176 (2002) 430, equations 20 and 22 (ETD2RK),
with the linear part of the step's beginning (exponential Rosenbrock: Hochbruck and
Ostermann, Acta Numerica 19 (2010) 209).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl.training.learner import Learner
from nnft_ppl.training.standardised import Standardised

_TOLERANCE = 1e-3
"""Of the correction in f at the data, relative to the residuals before training. What
is left out is of the next order in the step."""
MAX_STEPS = 20_000
"""Between two times; a network that needs more ends as NaN."""
_SHORTEST = 0.25
"""In units of one over the largest eigenvalue; shorter ones are plain."""
_FEWEST, _MOST = 4, 128
"""Plain steps in its place."""
_SERIES = 0.3
"""Below it φ₂ is summed, as its closed form loses digits."""


class State(NamedTuple):
    """A network on its way.

    Attributes:
        values: ω.
        step: The next one to try.
        size: Norm of the residuals before training.
    """

    values: Standardised
    step: jax.Array
    size: jax.Array


def begin(learner: Learner, values: Standardised) -> State:
    """Before training."""
    found = learner.linearised(values)
    residual = found.outputs - learner.targets
    trace = jnp.trace(found.tangent_kernel())
    size = jnp.sqrt(jnp.sum(residual**2))
    tiny = np.finfo(size.dtype).tiny
    return State(values, 1 / jnp.maximum(trace, tiny), jnp.maximum(size, tiny))


def flow(learner: Learner, state: State, duration: jax.Array) -> State:
    """The network a while later; NaN where it takes too many steps.

    Args:
        learner: Network and data.
        state: Before.
        duration: Of training, ≥ 0.
    """

    def unfinished(carry: tuple[State, jax.Array, jax.Array]) -> jax.Array:
        state, left, count = carry
        return (left > 0) & (count < MAX_STEPS) & jnp.isfinite(state.step)

    def advance(
        carry: tuple[State, jax.Array, jax.Array],
    ) -> tuple[State, jax.Array, jax.Array]:
        state, left, count = carry
        step = jnp.minimum(state.step, left)
        moved, correction, largest = _step(learner, state.values, step)
        error = correction / (_TOLERANCE * state.size)
        shortest = _SHORTEST / jnp.maximum(largest, np.finfo(largest.dtype).tiny)
        good = error <= 1  # false of NaN
        in_pieces = ~good & (step <= shortest)
        pieces = jnp.where(in_pieces, _pieces(error), 0)
        plain = _in_pieces(learner, state.values, step, pieces)
        values = jax.tree.map(
            lambda new, fine, old: jnp.where(
                good, new, jnp.where(in_pieces, fine, old)
            ),
            *(moved, plain, state.values),
        )
        factor = jnp.clip(0.8 / jnp.sqrt(jnp.maximum(error, 1e-3)), 0.2, 10.0)
        factor = jnp.where(jnp.isnan(factor), 0.2, factor)
        # A last step that was cut short tells nothing against longer ones.
        tried = jnp.maximum(step * factor, jnp.where(good, state.step, 0.0))
        tried = jnp.maximum(tried, shortest)
        left = jnp.where(good | in_pieces, left - step, left)
        return State(values, tried, state.size), left, count + 1

    start = (state, jnp.asarray(duration, state.step.dtype), jnp.zeros((), jnp.int32))
    state, left, _ = jax.lax.while_loop(unfinished, advance, start)
    reached = left <= 0
    values = jax.tree.map(lambda v: jnp.where(reached, v, jnp.nan), state.values)
    return state._replace(values=values)


def _step(
    learner: Learner, values: Standardised, step: jax.Array
) -> tuple[Standardised, jax.Array, jax.Array]:
    """ω', the size of the correction in f, and the largest eigenvalue of Θ."""
    found = learner.linearised(values)
    eigenvalues, vectors = jnp.linalg.eigh(found.tangent_kernel())
    eigenvalues = jnp.maximum(eigenvalues, 0.0)
    z = step * eigenvalues

    def filtered(factors: jax.Array, legs: jax.Array) -> jax.Array:
        return jnp.matmul(vectors, factors * jnp.matmul(vectors.T, legs))

    residual = found.outputs - learner.targets
    back = found.pulled(filtered(step * _phi_one(z), residual))
    middle = learner.moved(values, {name: -part for name, part in back.items()})
    slope = learner.gradient(middle)
    expected = found.pulled(residual - found.along(back))
    rest = {
        name: part - learner.rates[name] ** 0.5 * slope[name].ravel()
        for name, part in expected.items()
    }
    damped = found.pulled(filtered(step * _phi_two_less_half(z), found.along(rest)))
    correction = {n: step * (rest[n] / 2 + damped[n]) for n in rest}
    squares = jnp.stack([jnp.sum(part**2) for part in correction.values()])
    size = jnp.sqrt(eigenvalues[-1] * jnp.sum(squares))
    return learner.moved(middle, correction), size, eigenvalues[-1]


def _pieces(error: jax.Array) -> jax.Array:
    """How many plain steps are a step whose correction is this many times too large.

    Each then has half of what is tolerated, as kinks are passed one after the other.
    """
    wanted = jnp.where(jnp.isfinite(error), jnp.ceil(2 * error), _MOST)
    return jnp.clip(wanted, _FEWEST, _MOST).astype(jnp.int32)


def _in_pieces(
    learner: Learner, values: Standardised, step: jax.Array, pieces: jax.Array
) -> Standardised:
    """The network after a step by so many of Heun's."""
    short = step / jnp.maximum(pieces, 1)

    def descended(
        values: Standardised, slope: Standardised, by: jax.Array
    ) -> Standardised:
        return values | {
            name: values[name] - by * rate * slope[name]
            for name, rate in learner.rates.items()
        }

    def one(_: jax.Array, values: Standardised) -> Standardised:
        slope = learner.gradient(values)
        after = learner.gradient(descended(values, slope, short))
        mean = {name: (slope[name] + after[name]) / 2 for name in slope}
        return descended(values, mean, short)

    found: Standardised = jax.lax.fori_loop(0, pieces, one, values)
    return found


def _phi_one(z: jax.Array) -> jax.Array:
    """φ₁(−z)."""
    small = z < 1e-3
    return jnp.where(small, 1 - z / 2, -jnp.expm1(-z) / jnp.where(small, 1.0, z))


def _phi_two_less_half(z: jax.Array) -> jax.Array:
    """(φ₂(−z) − ½)/z."""
    small = z < _SERIES
    safe = jnp.where(small, 1.0, z)
    direct = ((jnp.expm1(-safe) + safe) / safe**2 - 0.5) / safe
    series = -1 / 6 + z / 24 - z**2 / 120 + z**3 / 720 - z**4 / 5040
    return jnp.where(small, series, direct)
