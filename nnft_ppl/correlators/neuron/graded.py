"""Quadrature over a Gaussian in one or two dimensions, graded about every zero.

In: linear functions of the plane. Out: points and weights in polar coordinates, on
panels that halve in size towards the origin and towards each line on which one of the
functions vanishes. On any panel each function varies by a factor of four or so, so
that a smooth function of it is resolved however steep it is: on whatever scale it
varies about 0, its argument has that size on some panels.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from nnft_ppl._typing import Matrix

MAX_RANK = 2
"""Most dimensions that this rule serves."""

_OCTAVES = 40
"""Panels towards a zero; the share of the Gaussian in the last one is 1e-12."""

_PARALLEL = 1e-13
"""Angle below which two lines are one."""

type _Nodes = Float[np.ndarray, " node"]


def num_nodes_of(factor: Matrix, radius: float, num_nodes: int, *, even: bool) -> int:
    """How many nodes `graded_rule` yields."""
    rank = factor.shape[1]
    radial = (len(_radial_ends(rank, radius)) - 1) * num_nodes
    angular = 1
    if rank == 2:
        angular = len(_zeros(factor)) * 2 * _OCTAVES * num_nodes
    return radial * angular * (1 if even else 2)


def graded_rule(
    factor: Matrix, radius: float, num_nodes: int, *, even: bool
) -> Iterator[tuple[Float[np.ndarray, "node axis"], _Nodes]]:
    """Yield points within a circle and their weights of the standard normal density.

    Args:
        factor: The linear functions, (function, axis), of at most `MAX_RANK` axes.
        radius: Of the circle.
        num_nodes: Gauss nodes of a panel, along each coordinate.
        even: The integrand is even: take one of each pair of opposite points, with
            twice the weight.
    """
    rank = factor.shape[1]
    r, along = _gauss(_radial_ends(rank, radius), num_nodes)
    along = along * r ** (rank - 1) * np.exp(-(r**2) / 2) / (2 * np.pi) ** (rank / 2)
    for unit, turn in _directions(factor, num_nodes):
        nodes = (r[:, None, None] * unit).reshape(-1, rank)
        weights = np.outer(along, turn).ravel()
        yield nodes, weights * (2 if even else 1)
        if not even:
            yield -nodes, weights


def _directions(
    factor: Matrix, num_nodes: int
) -> Iterator[tuple[Float[np.ndarray, "node axis"], _Nodes]]:
    """Unit vectors of a half turn and their weights, interval by interval."""
    if factor.shape[1] == 1:
        yield np.ones((1, 1)), np.ones(1)
        return
    zeros = _zeros(factor)
    halves = 0.5 ** np.arange(1, _OCTAVES + 1)
    steps = np.concatenate([[0.0], halves[::-1], 1 - halves[1:], [1.0]])
    for low, high in zip(zeros, [*zeros[1:], zeros[0] + np.pi], strict=True):
        angle, weights = _gauss(low + (high - low) * steps, num_nodes)
        yield np.stack([np.cos(angle), np.sin(angle)], axis=1), weights


def _zeros(factor: Matrix) -> Float[np.ndarray, " line"]:
    """Angles in [0, π) at which a function vanishes, in order."""
    rows = factor[np.any(factor != 0, axis=1)]
    angles = np.sort((np.arctan2(rows[:, 1], rows[:, 0]) + np.pi / 2) % np.pi)
    following = np.append(angles[1:], angles[0] + np.pi)
    return np.asarray(angles[following - angles > _PARALLEL])


def _radial_ends(rank: int, radius: float) -> Float[np.ndarray, " end"]:
    """Ends of panels from 0: halving towards it, and no longer than 1."""
    near = 0.5 ** np.arange(_OCTAVES // rank, 0, -1)
    return np.concatenate([[0.0], near, np.arange(1.0, radius), [radius]])


def _gauss(ends: Float[np.ndarray, " end"], num_nodes: int) -> tuple[_Nodes, _Nodes]:
    """Gauss–Legendre nodes and weights on every panel between the ends."""
    x, w = np.polynomial.legendre.leggauss(num_nodes)
    half = np.diff(ends)[:, None] / 2
    nodes = (ends[:-1, None] + half * (x + 1)).ravel()
    return nodes, (half * w).ravel()
