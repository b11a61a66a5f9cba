"""The hooks that a plugin may implement. pluggy finds; nothing is computed here."""

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from nnft_ppl.architecture import Architecture
    from nnft_ppl.operator import Operator

PROJECT = "nnft_ppl"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def nnft_ppl_architecture() -> "Architecture":  # type: ignore[empty-body]  # a spec
    """Return the plugin's one architecture, named as its entry point."""


@hookspec
def nnft_ppl_operator() -> "Operator":  # type: ignore[empty-body]  # a spec
    """Return the plugin's one operator of the effective action, named likewise."""
