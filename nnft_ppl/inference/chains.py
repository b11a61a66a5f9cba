"""NUTS on a NumPyro model as a pure function, to be mapped and compiled by the caller.

In: a model, where its chains start, numbers of draws. Out: samples and the sampler's
statistics by chain. NumPyro's own names; `arviz_statistics` gives ArviZ's.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from numpyro.infer import MCMC, NUTS, init_to_value

from nnft_ppl._typing import Key

_STATISTICS = {
    "diverging": "diverging",
    "energy": "energy",
    "num_steps": "n_steps",
    "accept_prob": "acceptance_rate",
    "adapt_state.step_size": "step_size",
}
"""NumPyro's name -> ArviZ's name."""


def run_chains(
    model: Callable[..., None],
    start: Mapping[str, jax.Array],
    key: Key,
    *arguments: Any,
    num_warmup: int,
    num_samples: int,
    num_chains: int,
    target_acceptance: float = 0.8,
    **options: Any,
) -> dict[str, jax.Array]:
    """Samples of every site and statistics, (chain, draw, …).

    Args:
        model: The NumPyro model.
        start: Site -> value at which every chain starts.
        key: A JAX random key.
        arguments: Of the model.
        num_warmup: Adaptation steps.
        num_samples: Draws kept per chain.
        num_chains: Number of chains, side by side.
        target_acceptance: Of NUTS; above 0.8 where a density has a sharp corner.
        options: Keyword arguments of the model.
    """
    sampler = MCMC(
        NUTS(
            model,
            init_strategy=init_to_value(values=dict(start)),
            target_accept_prob=target_acceptance,
        ),
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=num_chains,
        chain_method="vectorized",
        progress_bar=False,
    )
    fields = ("potential_energy", *_STATISTICS)
    sampler.run(key, *arguments, extra_fields=fields, **options)
    return {
        **sampler.get_samples(group_by_chain=True),
        **sampler.get_extra_fields(group_by_chain=True),
    }


def arviz_statistics(drawn: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """ArviZ name -> statistic, `lp` included."""
    named = {theirs: drawn[ours] for ours, theirs in _STATISTICS.items()}
    return {**named, "lp": -drawn["potential_energy"]}
