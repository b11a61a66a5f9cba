"""The operators that the toolkit knows: the built-in ones and the plugins'."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from nnft_ppl._errors import PluginError
from nnft_ppl._typing import Points
from nnft_ppl.operator import Operator
from nnft_ppl.registry import (
    DISABLE_VARIABLE,
    Registry,
    load_registry,
    unknown_name,
)


def _squared_norm(y: Points) -> np.ndarray:
    return np.sum(y**2, axis=-1)


BUILT_IN_OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        operator.name: operator
        for operator in (
            Operator(name="lambda_0", symbol=r"\lambda_0", fields=(0,) * 4),
            Operator(
                name="lambda_2",
                symbol=r"\lambda_2",
                fields=(0,) * 4,
                weight=_squared_norm,
            ),
            Operator(name="lambda_nl", symbol=r"\lambda_{NL}", fields=(0, 0, 1, 1)),
            Operator(name="kappa", symbol=r"\kappa", fields=(0,) * 6),
        )
    }
)


def operators() -> dict[str, Operator]:
    """Every operator by name: the built-in ones and those of the installed plugins.

    Raises:
        PluginError: A plugin claims the name of a built-in operator.
    """
    return {**BUILT_IN_OPERATORS, **_from_plugins(load_registry())}


def operator(name: str) -> Operator:
    """The operator `name`; only a name that is not built in loads the plugins.

    Raises:
        PluginError: No such operator, or its plugin was refused.
    """
    if name in BUILT_IN_OPERATORS:
        return BUILT_IN_OPERATORS[name]
    registry = load_registry()
    known = {**BUILT_IN_OPERATORS, **_from_plugins(registry)}
    if name not in known:
        raise PluginError(unknown_name("operator", name, known, registry))
    return known[name]


def _from_plugins(registry: Registry) -> dict[str, Operator]:
    """The plugins' operators; one that would hide or be hidden is refused."""
    for plugin in registry.plugins:
        if isinstance(plugin.supplies, Operator) and plugin.name in BUILT_IN_OPERATORS:
            raise PluginError(
                f"operator {plugin.name!r} of {plugin.distribution} has the name of a "
                "built-in operator; rename it, or block it with "
                f"{DISABLE_VARIABLE}={plugin.name}"
            )
    return registry.named(Operator)
