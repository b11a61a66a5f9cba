"""Panels of the cutoff integrals: where the quadrature nodes of a radius go.

In: marks, the places where an integrand may have a kink or a region may end. Out: edges
of panels on [0, R] whose lengths grow by at most 2 from one to the next, and
Gauss–Legendre nodes on them. One mesh then serves inputs of
0.002 and a cutoff of 1e5, and nested regions share their nodes.
"""

import numpy as np
from jaxtyping import Float

_LARGEST_RATIO = 2.001  # a little over 2, so that rounding cannot bisect for ever

type Edges = Float[np.ndarray, " edge"]


def graded_edges(marks: Edges) -> Edges:
    """Edges 0 = r_0 < r_1 < … that hold all marks, neighbouring lengths within 2 : 1.

    Panels longer than twice a neighbour are bisected until none is left, so a long gap
    beside a short one is filled with geometrically growing panels.

    Args:
        marks: Positive radii, in any order, repetitions allowed; at least one.
    """
    edges = np.unique(np.concatenate([[0.0], marks]))
    while True:
        lengths = np.diff(edges)
        padded = np.concatenate([[np.inf], lengths, [np.inf]])
        shortest = np.minimum(padded[:-2], padded[2:])
        long = np.flatnonzero(lengths > _LARGEST_RATIO * shortest)
        if not long.size:
            return edges
        edges = np.insert(edges, long + 1, edges[long] + lengths[long] / 2)


def panel_nodes(
    edges: Edges, order: int, bisections: int
) -> tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"]]:
    """Gauss–Legendre nodes and weights on adjoining panels, each bisected first.

    Args:
        edges: Edges of the panels, increasing.
        order: Nodes per piece.
        bisections: How many times every panel is bisected.

    Returns:
        Nodes, increasing, and weights for ∫ dy from the first edge to the last.
    """
    pieces = 2**bisections
    fractions = np.arange(pieces) / pieces
    starts = (edges[:-1, None] + np.diff(edges)[:, None] * fractions).ravel()
    lengths = np.repeat(np.diff(edges) / pieces, pieces)
    unit, weight = np.polynomial.legendre.leggauss(order)
    nodes = (starts[:, None] + lengths[:, None] * (unit + 1) / 2).ravel()
    return nodes, (lengths[:, None] * weight / 2).ravel()
