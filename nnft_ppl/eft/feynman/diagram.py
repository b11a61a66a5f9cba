"""A Feynman diagram and a list of them: what they say, and how they are shown."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from html import escape
from typing import overload

from nnft_ppl._latex import formula_html, plain_text
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.feynman.formula import diagram_latex
from nnft_ppl.eft.feynman.layout import picture
from nnft_ppl.eft.feynman.nodes import OUTSIDE, Line
from nnft_ppl.eft.feynman.svg import svg
from nnft_ppl.eft.feynman.tikz import tikz
from nnft_ppl.eft.measures import Measure
from nnft_ppl.operator import Operator


@dataclass(frozen=True)
class FeynmanDiagram:
    """One diagram, for one way to deal the external points to its legs.

    Attributes:
        operators: One per vertex; the couplings are theirs.
        measure: What integration points run over.
        num_points: External points.
        lines: Propagators, sorted pairs of nodes (vertex, site, derivative); vertex −1
            is the external point of number `site`.
        num_assignments: Ways to deal the external points that differ: the diagram
            stands for as many terms with the same factor.
        factor: What multiplies couplings and propagators in each: the sign, and the
            number of contractions over n!.
        symmetry_factor: Order of the group that exchanges lines, points and vertices
            and leaves the diagram with its external points as it is. The factor of a
            coupling of n equal fields at one point, with no 1/n!, is n! over it.
    """

    operators: tuple[Operator, ...]
    measure: Measure
    num_points: int
    lines: tuple[Line, ...]
    num_assignments: int
    factor: Fraction
    symmetry_factor: int

    def __repr__(self) -> str:
        """The formula in one line."""
        return f"FeynmanDiagram({plain_text(self.latex)})"

    def _repr_html_(self) -> str:
        """Drawing, formula and what counts, as a figure."""
        words = f"{self._loops_text()}, symmetry factor {self.symmetry_factor}" + (
            f", {self.num_assignments} assignments of the points" * (self._many)
        )
        return (
            '<figure style="display:inline-block;margin:0.5em 1em;'
            'max-width:21em;vertical-align:top">'
            f"{self.to_svg()}<figcaption>{formula_html(self.latex)}<br/>"
            f"<small>{escape(words)}</small></figcaption></figure>"
        )

    @property
    def _many(self) -> bool:
        return self.num_assignments > 1

    @property
    def sign(self) -> int:
        """Of the factor: (−1)^vertices, as P ∝ e^{−S}."""
        return 1 if self.factor > 0 else -1

    @property
    def couplings(self) -> dict[str, int]:
        """Name of each operator -> power of its coupling."""
        return dict(Counter(operator.name for operator in self.operators))

    @property
    def edges(self) -> dict[Line, int]:
        """Pairs of nodes that lines join -> how many do."""
        return dict(Counter(self.lines))

    @property
    def num_self_contractions(self) -> int:
        """Lines that begin and end at one operator; none in the renormalised scheme."""
        return sum(a.vertex == b.vertex != OUTSIDE for a, b in self.lines)

    @property
    def num_loops(self) -> int:
        """Loops, an operator of several integration points counting as one vertex."""
        pieces = {vertex: {vertex} for vertex in range(len(self.operators))}
        outside = 0
        for a, b in self.lines:
            if OUTSIDE in (a.vertex, b.vertex):
                outside += 1
            elif pieces[a.vertex] is not pieces[b.vertex]:
                joined = pieces[a.vertex] | pieces[b.vertex]
                pieces.update(dict.fromkeys(joined, joined))
        number = len({id(piece) for piece in pieces.values()})
        return len(self.lines) - outside - len(self.operators) + number

    @cached_property
    def latex(self) -> str:
        r"""The term of the correlator, as LaTeX without dollar signs.

        Where the external points can be dealt in several ways, one is written out.
        """
        return diagram_latex(
            self.factor,
            self.operators,
            self.lines,
            self.measure,
            self.num_assignments,
        )

    def to_svg(self) -> str:
        """The drawing as an SVG that needs nothing else, in the colour of the text.

        Dots are integration points, dashes tie those of one operator together, squares
        are factors S_GP, and bars across a line derivatives.
        """
        formula = plain_text(self.latex)
        return svg(picture(self.operators, self.lines), self._title(), formula)

    def to_tikz(self) -> str:
        r"""The drawing as a `tikzpicture`, for a paper with `\usepackage{tikz}`."""
        return tikz(picture(self.operators, self.lines))

    def _loops_text(self) -> str:
        number = self.num_loops
        return "tree" if not number else f"{number} loop{'s' * (number > 1)}"

    def _title(self) -> str:
        names = ", ".join(plain_text(operator.symbol) for operator in self.operators)
        vertices = f"with {names}" if names else "of the free theory"
        return (
            f"Feynman diagram of {self.num_points} points {vertices}: "
            f"{self._loops_text()}"
        )


@dataclass(frozen=True)
class Diagrams(Sequence[FeynmanDiagram]):
    """The diagrams of a correlator at one order in the couplings, fewest loops first.

    Attributes:
        action: Whose.
        num_points: External points.
        coupling_order: Vertices.
        connected: Whether of the connected correlator.
        items: The diagrams.
    """

    action: Action
    num_points: int
    coupling_order: int
    connected: bool
    items: tuple[FeynmanDiagram, ...]

    @overload
    def __getitem__(self, index: int) -> FeynmanDiagram: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[FeynmanDiagram, ...]: ...
    def __getitem__(
        self, index: int | slice
    ) -> FeynmanDiagram | tuple[FeynmanDiagram, ...]:
        """One or some, in order."""
        return self.items[index]

    def __len__(self) -> int:
        """How many."""
        return len(self.items)

    def __repr__(self) -> str:
        """What they are of, and each formula in a line."""
        return "\n".join([self._title(), *(repr(item) for item in self.items)])

    def _repr_html_(self) -> str:
        """Every diagram with its formula, as many in a row as there is room for."""
        figures = "".join(item._repr_html_() for item in self.items)
        return f"<div><p>{escape(self._title())}</p>{figures}</div>"

    def _title(self) -> str:
        kind = "connected" if self.connected else "full"
        number = len(self.items)
        return (
            f"{number} diagram{'s' * (number != 1)} of the {kind} {self.num_points}-pt "
            f"function at order {self.coupling_order} in the couplings "
            f"({self.action.scheme} scheme)"
        )
