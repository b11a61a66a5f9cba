"""NUTS on a NumPyro model as pure functions, to be mapped and compiled by the caller.

In: a model, where its chains start, numbers of draws. Out: samples and the sampler's
statistics by chain, in one go or step by step: `begin` and `advance` hold all there is
between two steps in their state, adaptation included, so that any division of a run
into segments gives the same numbers. NumPyro's own names; `arviz_statistics` gives
ArviZ's.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from operator import attrgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer import NUTS, init_to_sample, init_to_value

from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Key
from nnft_ppl.inference.mcmc.sampling import Sampling

_STATISTICS = {
    "diverging": "diverging",
    "energy": "energy",
    "num_steps": "n_steps",
    "accept_prob": "acceptance_rate",
    "adapt_state.step_size": "step_size",
}
"""NumPyro's name -> ArviZ's name."""

type State = Any
"""NumPyro's HMCState, a leading axis `chain` on every array."""
type Draw = dict[str, jax.Array]
"""Site or statistic -> (chain, …)."""


class Chains(NamedTuple):
    """A sampler that can be stopped after every step.

    Attributes:
        begin: A JAX random key -> the state before the first step.
        step: State -> the next one. Adapts while warming up.
        read: State -> the draw that it stands for.
        sampling: How many steps and draws a run has.
    """

    begin: Callable[[Key], State]
    step: Callable[[State], State]
    read: Callable[[State], Draw]
    sampling: Sampling


def _numpyro_promotion[**P, T](function: Callable[P, T]) -> Callable[P, T]:
    """A function traced with types promoted as usual.

    NumPyro multiplies integers by floats, which JAX_NUMPY_DTYPE_PROMOTION=strict bans.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with jax.numpy_dtype_promotion("standard"):
            return function(*args, **kwargs)

    return call


def build_chains(
    model: Callable[..., None],
    start: Mapping[str, jax.Array] | None,
    *arguments: Any,
    sampling: Sampling,
    target_acceptance: float = 0.8,
    **options: Any,
) -> Chains:
    """NUTS on a model; to be built anew in every traced function.

    Args:
        model: The NumPyro model.
        start: Site -> value at which every chain starts; `None` for a draw of the
            prior, another for each.
        arguments: Of the model.
        sampling: Lengths and number of the chains.
        target_acceptance: Of NUTS; above 0.8 where a density has a sharp corner.
        options: Keyword arguments of the model.
    """
    kernel = NUTS(
        model,
        init_strategy=init_to_sample
        if start is None
        else init_to_value(values=dict(start)),
        target_accept_prob=target_acceptance,
    )

    @_numpyro_promotion
    def begin(key: Key) -> State:
        number = sampling.num_chains
        keys = jax.random.split(key, number) if number > 1 else key[None]
        return jax.vmap(
            lambda each: kernel.init(
                each, sampling.num_warmup, model_args=arguments, model_kwargs=options
            )
        )(keys)

    @_numpyro_promotion
    def step(state: State) -> State:
        return jax.vmap(lambda each: kernel.sample(each, arguments, options))(state)

    @_numpyro_promotion
    def read(state: State) -> Draw:
        sites = jax.vmap(kernel.postprocess_fn(arguments, options))(state.z)
        fields = ("potential_energy", *_STATISTICS)
        return {**sites, **{name: attrgetter(name)(state) for name in fields}}

    # A kernel makes its functions when it is initialised; shapes are enough for that.
    jax.eval_shape(begin, seed_key(0))
    return Chains(begin, step, read, sampling)


def advance(
    chains: Chains,
    state: State,
    drawn: Draw,
    first: int | jax.Array,
    count: int | jax.Array,
) -> tuple[State, Draw]:
    """Take `count` steps more, of which those after the warm-up are kept.

    Args:
        chains: From `build_chains`, mapped or not.
        state: Before these steps.
        drawn: (draw, …) of the whole run, filled up to here.
        first: How many steps were taken before.
        count: How many to take; traced, so that one program serves any number.
    """

    def body(number: jax.Array, carried: tuple[State, Draw]) -> tuple[State, Draw]:
        state, drawn = carried
        state = chains.step(state)
        new = chains.read(state)
        # While warming up the first place is written over and over.
        place = jnp.maximum(number - chains.sampling.num_warmup, 0)
        return state, {
            name: jax.lax.dynamic_update_index_in_dim(values, new[name], place, 0)
            for name, values in drawn.items()
        }

    carried: tuple[State, Draw] = jax.lax.fori_loop(
        first, first + count, body, (state, drawn)
    )
    return carried


def no_draws(chains: Chains, state: State) -> Draw:
    """Zeros (draw, …) for `advance` to fill."""
    return {
        name: jnp.zeros((chains.sampling.num_samples, *shape.shape), shape.dtype)
        for name, shape in jax.eval_shape(chains.read, state).items()
    }


def run_chains(
    model: Callable[..., None],
    start: Mapping[str, jax.Array],
    key: Key,
    *arguments: Any,
    sampling: Sampling,
    **options: Any,
) -> dict[str, jax.Array]:
    """Samples of every site and statistics, (chain, draw, …).

    Args:
        model: The NumPyro model.
        start: Site -> value at which every chain starts.
        key: A JAX random key.
        arguments: Of the model.
        sampling: Lengths and number of the chains.
        options: As `build_chains` takes them.
    """
    chains = build_chains(model, start, *arguments, sampling=sampling, **options)
    state = chains.begin(key)
    drawn = no_draws(chains, state)
    _, drawn = advance(chains, state, drawn, 0, sampling.num_steps)
    return {name: jnp.swapaxes(values, 0, 1) for name, values in drawn.items()}


def arviz_statistics(drawn: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """ArviZ name -> statistic, `lp` included."""
    named = {theirs: drawn[ours] for ours, theirs in _STATISTICS.items()}
    return {**named, "lp": -drawn["potential_energy"]}
