"""The action as an equation, and the diagrams that its couplings are read off."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from nnft_ppl._latex import formula_html
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.feynman.diagram import FeynmanDiagram
from nnft_ppl.eft.feynman.listing import diagrams

_MOST = 12
"""Drawings in a group; of a longer list it is said how many are left out."""


def action_fields(action: Action) -> dict[str, Any]:
    """What `action.html` is filled with: those diagrams that a fit sums."""
    groups = [
        _group(f"Connected {k}-point function, first order", diagrams(action, k))
        for k in action.orders
    ]
    if action.tree_operators:
        quartic = Action(
            [action.operators[i] for i in action.tree_operators],
            measure=action.measure,
            scheme=action.scheme,
        )
        trees = diagrams(quartic, 6, 2)  # with six legs of eight fields: no loops
        groups.append(_group("Connected 6-point function, second order", trees))
    return {
        "equation": Markup(formula_html(action.latex())),
        "conventions": action.conventions,
        "diagrams": groups,
    }


def _group(title: str, found: Sequence[FeynmanDiagram]) -> dict[str, Any]:
    """One order: figures, and how many there are beyond."""
    return {
        "title": title,
        "figures": [
            {
                "drawing": Markup(diagram.to_svg()),
                "formula": Markup(formula_html(diagram.latex)),
            }
            for diagram in found[:_MOST]
        ],
        "num_more": max(len(found) - _MOST, 0),
    }
