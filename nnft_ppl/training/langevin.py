r"""Langevin dynamics at a temperature T, with the prior for its law without data.

.. math:: dω = −(∂L/∂ω + T ω) dt + \sqrt{2T} dW

Its stationary law is exp(−L/T − |ω|²/2): the posterior of a network whose targets have
normal noise of variance T. Steps are

.. math:: ω' = ω − h (∂L/∂ω + T ω) + \sqrt{2hT} (ξ + ξ')/2

with the noise ξ' of one step used again as ξ in the next: of a network that is linear
in ω the stationary law is that of the flow whatever the step, and otherwise off by
order h².

Source: Leimkuhler and Matthews, Appl. Math. Res. Express 2013 (2013) 34, equation 1.4.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from nnft_ppl._typing import Key
from nnft_ppl.training.learner import Learner
from nnft_ppl.training.standardised import Standardised

_STREAM = 0x4C616E67
"""Of a network's key, another than those of its prior."""


class State(NamedTuple):
    """A network on its way.

    Attributes:
        values: ω.
        noise: ξ, of the step before.
        done: Steps so far.
    """

    values: Standardised
    noise: Standardised
    done: jax.Array


def begin(learner: Learner, values: Standardised, key: Key) -> State:
    """Before training."""
    trained = {name: values[name] for name in learner.rates}
    return State(values, noise(key, 0, trained), jnp.zeros((), jnp.int32))


def wander(
    learner: Learner,
    state: State,
    steps: jax.Array,
    step: jax.Array,
    temperature: jax.Array,
    key: Key,
) -> State:
    """The network after so many steps.

    Args:
        learner: Network and data.
        state: Before.
        steps: How many.
        step: h.
        temperature: T.
        key: Of the network.
    """
    scale = jnp.sqrt(step * temperature / 2)

    def one(_: jax.Array, state: State) -> State:
        slope, done = learner.gradient(state.values), state.done + 1
        kick = noise(key, done, slope)
        moved = {
            name: state.values[name]
            - step * (slope[name] + temperature * state.values[name])
            + scale * (state.noise[name] + kick[name])
            for name in slope
        }
        return State(state.values | moved, kick, done)

    found: State = jax.lax.fori_loop(0, steps, one, state)
    return found


def noise(key: Key, count: jax.Array | int, like: Standardised) -> Standardised:
    """Standard normal numbers of one step, a function of (network, step) alone."""
    keys = jax.random.split(
        jax.random.fold_in(jax.random.fold_in(key, _STREAM), count), len(like)
    )
    return {
        name: jax.random.normal(key, value.shape, value.dtype)
        for key, (name, value) in zip(keys, sorted(like.items()), strict=True)
    }
