"""Radii that are to be panel edges: of the inputs, the cutoffs, the kernel's lengths.

In: norms of the inputs and scales of the cutoffs. Out: marks of a radial mesh, so that
no kink, edge or narrow kernel is inside a panel that is too long for it.
"""

import numpy as np

from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Points
from nnft_ppl.eft.mesh.lengths import kernel_lengths
from nnft_ppl.eft.mesh.rays import Radii

_SAME = 1e-12  # relative distance below which two marks are one


def radial_marks(
    network: Network, x: Points, norms: Radii, scales: Radii, axes: Matrix
) -> tuple[Radii, Radii]:
    """Marks of the radius, and the kernel's length at every input.

    Args:
        network: Its propagator is used.
        x: Inputs (point, dim).
        norms: Their distance from 0, as the cutoff counts it.
        scales: Radii between which the weight of the measure is smooth, sorted.
        axes: Unit vectors (axis, dim) along which the kernel's lengths are looked for.
    """
    fixed = _distinct_marks(norms, scales)
    lengths = kernel_lengths(network, x, axes, fixed[-1])
    return _marks(fixed, norms, lengths), lengths[:-1]


def _distinct_marks(norms: Radii, scales: Radii) -> Radii:
    """0, the cutoffs' marks and the norms; norms that differ by rounding are one."""
    same = np.abs(norms[:, None] - scales) <= _SAME * norms[:, None]
    others = np.unique(norms[~same.any(axis=1)])
    others = others[np.diff(others, prepend=-1.0) > _SAME * others]
    fixed = np.unique(np.concatenate([[0.0], others, scales]))
    return fixed if len(fixed) > 1 else np.arange(2.0)


def _marks(fixed: Radii, norms: Radii, lengths: Radii) -> Radii:
    """Radii of the inputs, and those at the kernel's length from them and from 0."""
    found: list[float] = []
    for centre, length in zip(np.append(norms, 0.0), lengths, strict=True):
        # Where the marks are as close as that already, they do.
        gaps = np.abs(fixed - centre)
        gap = gaps[gaps > _SAME * centre].min()
        if length < gap / 4:
            found += [centre + length, centre - length]
    seeds = np.array(found)
    seeds = seeds[(seeds > 0) & (seeds < fixed[-1])]
    return np.concatenate([fixed[1:], seeds])
