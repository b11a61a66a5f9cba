"""Where random numbers come from: all of them from the key of the network.

In: a network. Out: `CheckResult`s, from the traced programs alone; nothing is run. A
key made inside the prior gives every network of the ensemble the same numbers, which no
comparison of two draws can tell from a constant.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from nnft_ppl._network import Network
from nnft_ppl._seed import seed_key
from nnft_ppl.ensemble.model import sample_prior
from nnft_ppl.testing.result import CheckResult, exact, plugin_code

_GENERATORS = frozenset({"random_bits", "threefry2x32", "rng_bit_generator"})


def check_randomness(network: Network) -> Iterator[CheckResult]:
    """The prior draws from the key it is given; the forward pass draws nothing."""
    key = seed_key(0)
    x = jnp.zeros((1, network.hyperparameters.input_dim))
    with plugin_code(network, "prior-own-keys"):
        prior = jax.make_jaxpr(lambda k: sample_prior(network, k))(key)
        foreign = _foreign_draws(prior.jaxpr, [True] * len(prior.jaxpr.invars))[1]
    yield exact(
        "prior-own-keys",
        f"{foreign} draws from another key",
        "0 draws from another key",
        "a key made inside the prior gives every network the same numbers: draw with "
        "numpyro.sample alone",
    )
    with plugin_code(network, "apply-random"):
        params = jax.eval_shape(lambda k: sample_prior(network, k), key)
        forward = jax.make_jaxpr(network.apply)(params, x)
        drawn = _foreign_draws(forward.jaxpr, [False] * len(forward.jaxpr.invars))[1]
    yield exact(
        "apply-random",
        f"{drawn} draws",
        "0 draws",
        "the forward pass draws random numbers: they belong in the prior",
    )


def _foreign_draws(
    program: core.Jaxpr, from_key: Sequence[bool]
) -> tuple[list[bool], int]:
    """Which results depend on the marked inputs, and draws that do not."""
    depends: dict[Any, bool] = dict(zip(program.invars, from_key, strict=True))
    found = 0

    def marked(value: Any) -> bool:
        return not isinstance(value, core.Literal) and depends.get(value, False)

    for equation in program.eqns:
        given = [marked(value) for value in equation.invars]
        some = any(given)
        results = [some] * len(equation.outvars)
        inner = list(_programs(equation.params.values()))
        for part in inner:
            aligned = len(inner) == 1 and len(part.invars) == len(given)
            inner_given = given if aligned else [some] * len(part.invars)
            inner_results, inner_found = _foreign_draws(part, inner_given)
            found += inner_found
            if aligned and len(inner_results) == len(results):
                results = inner_results
        if not inner and equation.primitive.name in _GENERATORS and not some:
            found += 1
        depends.update(zip(equation.outvars, results, strict=True))
    return [marked(value) for value in program.outvars], found


def _programs(values: Any) -> Iterator[core.Jaxpr]:
    """The programs among the parameters of an operation: those of calls and loops."""
    for value in values:
        if isinstance(value, core.Jaxpr):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _programs(value)
