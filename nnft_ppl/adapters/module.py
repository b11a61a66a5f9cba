"""A module of a neural-network library as an architecture; what the adapters share.

In: a `Template` for given hyperparameters, which the library's adapter makes without
allocating anything, and a prior by path. Out: an `Architecture`, whose parameters are a
flat dict, path -> value. NumPyro's own `random_*_module` are not used: they sample and
evaluate in one go, from an instance whose values they register as a `param` site.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from nnft_ppl._errors import NnftError, SpecError
from nnft_ppl._typing import Params
from nnft_ppl.adapters.fan_in import fan_ins
from nnft_ppl.adapters.knowledge import Knowledge, checked_architecture
from nnft_ppl.adapters.priors import ParameterPrior, centred_normal, fitted
from nnft_ppl.architecture import Architecture, Hyperparameters, Readout

type Module = Any
"""A module of whatever library."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """A module at fixed hyperparameters, but for the values of its arrays.

    Args:
        paths: Of all arrays.
        shapes: Path -> shape, of the floating parameters.
        initial: Seed -> path -> what the module makes of each array; for JAX to trace.
        build: path -> array, of all arrays -> the module.
        copies: Path -> an earlier one, of which it holds the entries in another shape
            or order.
    """

    paths: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]
    initial: Callable[[int], Mapping[str, jax.Array]]
    build: Callable[[Mapping[str, jax.Array]], Module]
    copies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What is random of a module, and what stays as it was made."""

    build: Callable[[Mapping[str, jax.Array]], Module]
    distributions: Mapping[str, dist.Distribution]
    kept: Mapping[str, jax.Array]


def module_architecture(
    name: str,
    template: Callable[[Hyperparameters], Template],
    prior: ParameterPrior | None,
    call: Callable[[Module, jax.Array], jax.Array],
    width: int | None,
    knowledge: Knowledge,
) -> Architecture:
    """The architecture of a module; see `architecture_from_nnx` for the arguments."""
    plans: dict[Any, _Plan] = {}

    def plan(hp: Hyperparameters) -> _Plan:
        # Prior and forward pass are traced often, each time for the same module.
        # Hyperparameters cannot be hashed for their mapping of options.
        options = tuple(sorted(hp.options.items(), key=lambda item: item[0]))
        key = (
            (hp.width, hp.input_shape, hp.output_dim),
            (hp.weight_std, hp.bias_std, options),
        )
        if key not in plans:
            plans[key] = _plan(name, hp, template, prior, call)
        return plans[key]

    def sample(hp: Hyperparameters) -> Params:
        return {
            path: numpyro.sample(path, distribution)
            for path, distribution in plan(hp).distributions.items()
        }

    def module(hp: Hyperparameters, params: Params) -> Module:
        return plan(hp).build({**plan(hp).kept, **params})

    def apply(hp: Hyperparameters, params: Params, x: jax.Array) -> jax.Array:
        return jnp.atleast_1d(call(module(hp, params), x))

    make_readout = knowledge.get("readout")

    def readout(hp: Hyperparameters) -> Readout | None:
        assert make_readout is not None  # there would be no readout
        made = make_readout(hp)
        if made is None:
            return None
        features = made.features
        return replace(made, features=lambda p, x: features(module(hp, p), x))

    if make_readout is not None:
        knowledge = {**knowledge, "readout": readout}
    return checked_architecture(name, sample, apply, width, knowledge)


def _plan(
    name: str,
    hp: Hyperparameters,
    template: Callable[[Hyperparameters], Template],
    prior: ParameterPrior | None,
    call: Callable[[Module, jax.Array], jax.Array],
) -> _Plan:
    try:
        made = template(hp)
    except NnftError:
        raise
    except Exception as error:  # whatever the user's code raises
        raise SpecError(
            f"the module of {name!r} cannot be made at width {hp.width}, input_shape "
            f"{hp.input_shape}, output_dim {hp.output_dim}: {type(error).__name__}: "
            f"{error}"
        ) from error
    # Arrays that stay must be no tracers of a caller. Not around what calls the user's
    # code: there it would evaluate what is to stay abstract.
    with jax.ensure_compile_time_eval():
        given = _given(name, hp, made, prior)
        state = _kept(
            name,
            made,
            [path for path in made.paths if path not in made.shapes],
            "are no parameters; make them from a key of your own",
        )

    def run(params: Mapping[str, jax.Array], x: jax.Array) -> jax.Array:
        return call(made.build({**state, **params}), x)

    stds = _default_stds(hp, made, [p for p in made.shapes if p not in given], run)
    _check_copies(name, made, {*given, *stds}, given)
    with jax.ensure_compile_time_eval():
        distributions = {
            path: given[path] if path in given else centred_normal(stds[path], shape)
            for path, shape in made.shapes.items()
            if path in given or path in stds
        }
        still = _kept(
            name,
            made,
            [path for path in made.shapes if path not in distributions],
            "have no default prior, because the network does not use them, or not "
            "just as weights of sums that are all of one length; give them one with "
            "prior={path: distribution}, or make them from a key of your own",
        )
    if not distributions:
        raise SpecError(f"the module of {name!r} has no parameters; nothing is random")
    return _Plan(build=made.build, distributions=distributions, kept={**state, **still})


def _given(
    name: str, hp: Hyperparameters, made: Template, prior: ParameterPrior | None
) -> dict[str, dist.Distribution]:
    """Path -> prior, for the parameters that the user gives one."""
    if isinstance(prior, Mapping):
        unknown = sorted(set(prior) - set(made.shapes))
        if unknown:
            near = get_close_matches(unknown[0], made.shapes, 1)
            raise SpecError(
                f"the prior of {name!r} names {unknown}, which are no parameters of "
                f"the module{f' (did you mean {near[0]!r}?)' if near else ''}; it has "
                f"{list(made.shapes)}"
            )
    given = {}
    for path, shape in made.shapes.items():
        wanted: object = None
        if isinstance(prior, Mapping):
            wanted = prior.get(path)
        elif prior is not None:
            wanted = prior(path, shape, hp)
        if wanted is not None:
            given[path] = fitted(wanted, path, shape)
    return given


def _is_bias(path: str) -> bool:
    return path.split(".")[-1] in ("bias", "bias_n")  # the second: Equinox's GRU


def _check_copies(
    name: str, made: Template, drawn: Collection[str], given: Collection[str]
) -> None:
    """Refuse to make independent what is one array, unless the user says so.

    Biases may well be made of the same zeros.
    """
    for path, same in made.copies.items():
        pair = {path, same}
        if pair <= set(drawn) and not pair <= set(given) and not _is_bias(path):
            raise SpecError(
                f"the module of {name!r} makes {same!r} and {path!r} of the same "
                "entries, which with a prior each would be independent; keep one of "
                "them and use it twice when the module is called, or give both a prior"
            )


def _default_stds(
    hp: Hyperparameters,
    made: Template,
    paths: list[str],
    run: Callable[[Mapping[str, jax.Array], jax.Array], jax.Array],
) -> dict[str, float]:
    """Path -> standard deviation of the default prior, where there is one."""
    biases = [path for path in paths if _is_bias(path)]
    weights = [path for path in paths if not _is_bias(path)]
    if not weights:
        return dict.fromkeys(biases, hp.bias_std)
    found = fan_ins(run, made.shapes, weights, hp.input_shape)
    return dict.fromkeys(biases, hp.bias_std) | {
        path: hp.weight_std / math.sqrt(fan_in) for path, fan_in in found.items()
    }


def _kept(
    name: str, made: Template, wanted: list[str], why_not: str
) -> dict[str, jax.Array]:
    """What has no prior, as the module makes it: the same whatever its seed.

    Args:
        name: Of the architecture, for messages.
        made: The module.
        wanted: Paths of what has no prior.
        why_not: What to say of those that are random.

    Raises:
        SpecError: Something is random when the module is made. Kept, it would be one
            draw for the whole ensemble.
    """
    if not wanted:
        return {}

    def values(seed: int) -> list[jax.Array]:
        initial = made.initial(seed)
        return [initial[path] for path in wanted]

    # Compiled apart, lest the trace of a caller takes it in; the rest is dropped.
    one, other = (
        jax.jit(values, static_argnums=0).lower(s).compile()() for s in (0, 1)
    )
    random = [
        path
        for path, a, b in zip(wanted, one, other, strict=True)
        # Random streams differ, of course.
        if not jnp.issubdtype(a.dtype, jax.dtypes.prng_key) and not np.array_equal(a, b)
    ]
    if random:
        raise SpecError(
            f"the module of {name!r} draws {random} when it is made, and they {why_not}"
        )
    return dict(zip(wanted, one, strict=True))
