"""The action as an equation, and the diagrams that its couplings are read off."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from nnft_ppl._latex import formula_html, plain_text
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.feynman.diagram import FeynmanDiagram
from nnft_ppl.eft.feynman.listing import diagrams
from nnft_ppl.eft.measures.measure import Measure

_MOST = 12
"""Drawings in a group; of a longer list it is said how many are left out."""


def measure_text(measure: Measure) -> str:
    """What y runs over: the integral, then the name by which files know it."""
    return f"{plain_text(measure.integral('y'))} ({measure.name})"


def measure_html(measure: Measure) -> Markup:
    """The same as a formula."""
    formula = Markup(formula_html(measure.integral("y")))
    return Markup("{} ({})").format(formula, measure.name)


def action_fields(action: Action) -> dict[str, Any]:
    """What `action.html` is filled with: those diagrams that a fit sums."""
    groups = [
        _group(f"Connected {k}-point function, first order", diagrams(action, k))
        for k in action.orders
    ]
    if action.tree_operators:
        alike = Action(
            [action.operators[i] for i in action.tree_operators],
            measure=action.measure,
            scheme=action.scheme,
        )
        legs = 2 * alike.operators[0].num_fields - 2  # one line joins the two: no loops
        title = f"Connected {legs}-point function, second order"
        groups.append(_group(title, diagrams(alike, legs, 2)))
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
