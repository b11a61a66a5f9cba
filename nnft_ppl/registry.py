"""Finding plugins: from installed entry points to validated architectures, operators.

Every distribution, ours included, lists its plugins in the entry-point group
`nnft_ppl`. Loading is isolated: a plugin that is refused is reported, and the others
still load. Plugins run with the user's rights; `NNFT_PPL_DISABLE_PLUGINS=a,b` keeps the
named ones from being imported.
"""

import copyreg
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib.metadata import (
    Distribution,
    EntryPoint,
    EntryPoints,
    distributions,
    entry_points,
)
from types import MappingProxyType
from typing import Any

import jax
import pluggy

from nnft_ppl import hookspecs
from nnft_ppl._errors import PluginError, SpecError, shown
from nnft_ppl._measured_kernel import KernelDraws
from nnft_ppl._network import Network
from nnft_ppl._travel import Reduced
from nnft_ppl.architecture import Architecture
from nnft_ppl.operator import Operator
from nnft_ppl.option import OptionValue

DISABLE_VARIABLE = "NNFT_PPL_DISABLE_PLUGINS"
_REQUIRED: Any = object()
"""A default that must be replaced: what is missing is told with an example."""

_HOOK_RESULTS: Mapping[str, type] = MappingProxyType(
    {"nnft_ppl_architecture": Architecture, "nnft_ppl_operator": Operator}
)


@dataclass(frozen=True)
class Plugin:
    """One accepted plugin: where it came from and what it supplies."""

    name: str
    distribution: str
    supplies: Architecture | Operator


@dataclass(frozen=True)
class Refusal:
    """One refused plugin, and why."""

    name: str
    distribution: str
    reason: str


@dataclass(frozen=True)
class Registry:
    """What the installed plugins supply, sorted by name, and what was refused."""

    plugins: tuple[Plugin, ...]
    refusals: tuple[Refusal, ...]

    def named[T](self, kind: type[T]) -> dict[str, T]:
        """Name -> object, for the plugins that supply a `kind`."""
        return {
            p.name: p.supplies for p in self.plugins if isinstance(p.supplies, kind)
        }


def load_registry() -> Registry:
    """Load every enabled plugin of the entry-point group, each on its own.

    Refused, with the reason in `Registry.refusals`: all claimants of a name that two
    distributions claim; a module that does not import; one without a hook or with an
    unknown hook; a hook that raises, returns the wrong type, or another name than the
    entry point's.
    """
    judged = [_judged(name, claims) for name, claims in _claims().items()]
    return Registry(
        tuple(one for one in judged if isinstance(one, Plugin)),
        tuple(
            refusal for one in judged if not isinstance(one, Plugin) for refusal in one
        ),
    )


def supplied[T](kind: type[T], name: str) -> T | None:
    """What the plugin of this name supplies, and only its module is imported.

    `None` where no plugin has the name, it is refused, or it supplies another kind.
    """
    for claims in _claims(name).values():
        found = _judged(name, claims)
        if isinstance(found, Plugin) and isinstance(found.supplies, kind):
            return found.supplies
    return None


type _Claims = list[tuple[str, EntryPoint]]
"""Entry points of one name, each with the distribution that has it."""


def _claims(only: str | None = None) -> dict[str, _Claims]:
    """Names in order, of enabled plugins, and who claims them; nothing is imported."""
    disabled = {
        name.strip()
        for name in os.environ.get(DISABLE_VARIABLE, "").split(",")
        if name.strip()
    }
    described = cache(_described)  # reads the metadata: once for each distribution
    # A distribution can be listed twice (an editable install beside its source), so
    # equal claims of one distribution count once.
    found = {
        (entry.name, described(entry.dist), entry.value): entry
        for entry in _entry_points()
        if only in (None, entry.name) and entry.name not in disabled
    }
    claims: dict[str, _Claims] = {}
    for name, owner, value in sorted(found):
        claims.setdefault(name, []).append((owner, found[name, owner, value]))
    return claims


def _judged(name: str, claims: _Claims) -> Plugin | list[Refusal]:
    """The plugin of a name, loaded, or why each of its claimants is refused."""
    if len(claims) > 1:
        owners = " and ".join(owner for owner, _ in claims)
        reason = (
            f"the name is claimed by {owners}; uninstall one, or rename its entry point"
        )
        return [Refusal(name, owner, reason) for owner, _ in claims]
    ((owner, entry),) = claims
    try:
        return Plugin(name, owner, _load(entry))
    except PluginError as error:
        return [Refusal(name, owner, str(error))]


def _entry_points() -> EntryPoints:
    """Those of our group.

    Raises:
        PluginError: A distribution, maybe one of no plugin, has unreadable ones.
    """
    try:
        return entry_points(group=hookspecs.PROJECT)
    except Exception as error:  # one bad file, and importlib gives none of any
        raise PluginError(
            f"the entry points of {_unreadable()} cannot be read "
            f"({type(error).__name__}: {error}); reinstall or uninstall it"
        ) from error


def _unreadable() -> str:
    """The distribution whose entry points cannot be read."""
    for distribution in distributions():
        try:
            _ = list(distribution.entry_points)
        except Exception:
            return _described(distribution)
    return "an installed distribution"


def _described(distribution: Distribution | None) -> str:
    """Distribution name and version, for messages."""
    if distribution is None:
        return "an unknown distribution"
    return f"{distribution.name} {distribution.version}"


def _load(entry: EntryPoint) -> Architecture | Operator:
    """Import one plugin, check its hook and call it; any failure is a PluginError."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        module = entry.load()
    except (Exception, SystemExit) as error:  # no plugin may end the program
        raise PluginError(
            f"its module {entry.value!r} does not import: "
            f"{type(error).__name__}: {error}"
        ) from error
    try:
        manager.register(module, name=entry.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(
            f"{error}; the hooks are {sorted(_HOOK_RESULTS)}, without arguments"
        ) from error
    calls = manager.get_hookcallers(module) or []
    if len(calls) != 1 or calls[0].name not in _HOOK_RESULTS:
        found = sorted(call.name for call in calls) or "no hook"
        raise PluginError(
            f"module {entry.value!r} implements {found}; "
            f"expected one of {sorted(_HOOK_RESULTS)}, marked with nnft_ppl.hookimpl"
            + ("; give each a module and an entry point" if len(calls) > 1 else "")
        )
    (implementation,) = calls[0].get_hookimpls()
    try:
        supplies = _call(implementation.function)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"its hook `{calls[0].name}` raised {type(error).__name__}: {error}"
        ) from error
    expected = _HOOK_RESULTS[calls[0].name]
    if not isinstance(supplies, (Architecture, Operator)) or not isinstance(
        supplies, expected
    ):
        raise PluginError(
            f"its hook `{calls[0].name}` returned a {type(supplies).__name__}; "
            f"expected nnft_ppl.{expected.__name__}"
        )
    if supplies.name != entry.name:
        raise PluginError(
            f"its {expected.__name__.lower()} is named {supplies.name!r} but its entry "
            f"point {entry.name!r}; make them equal"
        )
    return supplies


@cache
def _call(hook: Callable[[], object]) -> object:
    """What a hook returns, once: the same architecture is the same object."""
    return hook()


def architectures() -> dict[str, Architecture]:
    """Every architecture of the installed plugins, by name."""
    return load_registry().named(Architecture)


def network(
    name: str,
    *,
    width: int = _REQUIRED,
    input_dim: int | Sequence[int] = _REQUIRED,
    output_dim: int = 1,
    weight_std: float = 1.0,
    bias_std: float = 0.0,
    **options: OptionValue | Callable[[jax.Array], jax.Array],
) -> Network:
    """The network `name` at the given hyperparameters.

    Args:
        name: A key of `architectures()`.
        width: The asymptotic parameter N ≥ 1; must be given.
        input_dim: Dimension of one input, or its shape, such as (8, 8, 1); must be
            given.
        output_dim: Number of outputs.
        weight_std: σ_W > 0; hidden weights are N(0, σ_W²/fan-in).
        bias_std: σ_b ≥ 0.
        **options: The architecture's own options.

    Raises:
        PluginError: No such architecture, or its plugin was refused.
        SpecError: A hyperparameter or option is missing or out of range.
    """
    given = {"width": width, "input_dim": input_dim}
    missing = [key for key, value in given.items() if value is _REQUIRED]
    if missing:
        raise SpecError(
            f"{' and '.join(missing)} must be given, as in "
            f"nnft_ppl.network({shown(name)}, width=20, input_dim=1)"
        )
    architecture = supplied(Architecture, name)
    if architecture is None:
        registry = load_registry()
        known = registry.named(Architecture)
        raise PluginError(unknown_name("architecture", name, known, registry))
    return Network.build(
        architecture,
        width=width,
        input_dim=input_dim,
        output_dim=output_dim,
        weight_std=weight_std,
        bias_std=bias_std,
        **options,
    )


def network_from_json(
    record: Mapping[str, Any], given: Network | None = None
) -> Network:
    """The network that `Network.to_json` describes, its JSON parsed.

    Args:
        record: Name and hyperparameters.
        given: The network itself, where no plugin supplies it; it must be the one
            described.

    Raises:
        SpecError: `given` is another one, or the record alone does not suffice: an
            option is a function, of which it has the name.
        PluginError: No plugin supplies the architecture, and none is given.
    """
    if given is not None:
        _check_same(record, given)
        return given
    hp = dict(record)
    draws = hp.pop("kernel_draws", None)
    try:
        found = network(hp.pop("architecture"), **hp.pop("options"), **hp)
    except (PluginError, SpecError) as error:
        raise type(error)(
            f"{error}. If the network was built by hand, or with a function as an "
            "option, build it again and pass it as network=..."
        ) from error
    if draws is None:
        return found
    words = draws.pop("words")
    return replace(found, kernel_draws=KernelDraws(words=tuple(words), **draws))


def _check_same(record: Mapping[str, Any], given: Network) -> None:
    """Raise SpecError, listing what differs, unless `given` is the one described."""
    differences = [
        f"{name} is {theirs!r} in the file and {ours!r} in `network`"
        for name, theirs, ours in _compare(record, json.loads(given.to_json()))
    ]
    if differences:
        raise SpecError(
            f"the network given is not the one in the file: {'; '.join(differences)}"
        )


def _compare(
    record: Mapping[str, Any], given: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Any]]:
    """Name and both values of every field that differs, options one by one."""
    for name in sorted({*record, *given}):
        theirs, ours = record.get(name, "absent"), given.get(name, "absent")
        if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
            yield from _compare(theirs, ours)
        elif theirs != ours:
            yield name, theirs, ours


def unknown_name(
    kind: str, name: str, known: Mapping[str, object], registry: Registry
) -> str:
    """Say that `name` is unknown, what there is, and why a plugin of it was refused."""
    refused = [
        f"plugin {refusal.name!r} of {refusal.distribution} was refused: "
        f"{refusal.reason}"
        for refusal in registry.refusals
        if refusal.name == name
    ]
    if refused:
        return f"no {kind} {name!r}; {'; '.join(refused)}"
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"no {kind} {name!r}; there are {sorted(known)}{hint}"


def _by_name(thing: Architecture | Operator) -> Reduced:
    """What pickle takes of a plugin's architecture or operator: its name."""
    kind, name = type(thing), thing.name
    if supplied(kind, name) == thing:
        return _named, (kind, name)
    return thing.__reduce__()


def _named[T](kind: type[T], name: str) -> T:
    """What a plugin here supplies under this name.

    Raises:
        PluginError: None does.
    """
    found = supplied(kind, name)
    if found is None:
        registry = load_registry()
        known = registry.named(kind)
        message = unknown_name(kind.__name__.lower(), name, known, registry)
        raise PluginError(
            f"{message}. What was pickled needs it; install here the plugins that are "
            "installed there"
        )
    return found


for _kind in _HOOK_RESULTS.values():
    copyreg.pickle(_kind, _by_name)
