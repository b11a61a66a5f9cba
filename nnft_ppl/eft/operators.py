"""The operators that the toolkit knows: the built-in ones and the plugins'."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from nnft_ppl._errors import PluginError
from nnft_ppl._typing import Points
from nnft_ppl.operator import Operator, ProductWeight
from nnft_ppl.registry import (
    DISABLE_VARIABLE,
    Registry,
    load_registry,
    unknown_name,
)


def _squared_norm(y: Points) -> np.ndarray:
    return np.sum(y**2, axis=-1)


def _quartic_norm(y: Points) -> np.ndarray:
    return np.sum(y**2, axis=-1) ** 2


def _distance_terms(y: Points) -> np.ndarray:
    """|y|², 1 and √2·y: the first point's side of |y − y'|²."""
    squared = _squared_norm(y)[..., None]
    return np.concatenate([squared, np.ones_like(squared), np.sqrt(2) * y], axis=-1)


def _distance_partners(y: Points) -> np.ndarray:
    """1, |y'|² and −√2·y': the second point's side."""
    squared = _squared_norm(y)[..., None]
    return np.concatenate([np.ones_like(squared), squared, -np.sqrt(2) * y], axis=-1)


_LOCAL = (0,) * 4
_BILOCAL = (0, 0, 1, 1)

BUILT_IN_OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        operator.name: operator
        for operator in (
            Operator(name="lambda_0", symbol=r"\lambda_0", fields=_LOCAL),
            Operator(
                name="lambda_2",
                symbol=r"\lambda_2",
                fields=_LOCAL,
                weight=_squared_norm,
            ),
            Operator(
                name="lambda_4",
                symbol=r"\lambda_4",
                fields=_LOCAL,
                weight=_quartic_norm,
            ),
            Operator(name="lambda_nl", symbol=r"\lambda_{NL}", fields=_BILOCAL),
            Operator(
                name="lambda_nl2",
                symbol=r"\lambda_{NL,2}",
                fields=_BILOCAL,
                weight=ProductWeight((_distance_terms, _distance_partners)),
            ),
            Operator(
                name="quadratic_squared", symbol=r"\lambda_{S^2}", quadratic_forms=2
            ),
            Operator(
                name="gradient",
                symbol=r"\lambda_{\nabla}",
                fields=_LOCAL,
                derivatives=(0, 0, 1, 1),
            ),
            Operator(name="kappa", symbol=r"\kappa", fields=(0,) * 6),
            Operator(name="source", symbol=r"\eta", fields=(0,)),
            Operator(name="cubic", symbol=r"\mu", fields=(0,) * 3),
        )
    }
)
"""`lambda_0`, `lambda_2`, `lambda_4`: ∫ |y|^p f⁴. `lambda_nl`, `lambda_nl2`:
∫∫ |y − y'|^p f² f'². `quadratic_squared`: (S_GP)². `gradient`: ∫ f² |∇f|².
`kappa`: ∫ f⁶. `source`: ∫ f. `cubic`: ∫ f³ (theory.md §4)."""


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
