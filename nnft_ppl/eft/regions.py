"""The mesh of each measure: which norm the cutoff bounds and where the marks are.

In: a network, inputs, a measure and its finite cutoffs. Out: a `RayMesh` with panels at
the inputs' radii, at the cutoffs and at the kernel's own lengths.
"""

import numpy as np

from nnft_ppl._errors import UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Points
from nnft_ppl.eft.faces import Ends
from nnft_ppl.eft.lengths import kernel_lengths
from nnft_ppl.eft.measures import Box, Measure
from nnft_ppl.eft.rays import Radii, RayMesh, Rung

_RUNGS = {1: tuple(Rung(16, bisections) for bisections in range(12))}


def ray_mesh(network: Network, x: Points, measure: Measure, radii: Radii) -> RayMesh:
    """The mesh for ∫ dμ_Λ(y) at all finite cutoffs.

    Args:
        network: Its propagator is used to find the kernel's lengths.
        x: Distinct inputs (point, dim), where the propagator may have kinks.
        measure: The measure.
        radii: Finite cutoffs, sorted, distinct; may be empty.

    Raises:
        UnavailableError: The dimension is too high for the measure.
    """
    dim = x.shape[1]
    if not isinstance(measure, Box) or dim > 1:
        raise UnavailableError(f"{measure!r} in {dim} dimensions is not there yet")
    norms = np.abs(x).max(axis=1)
    marks = _radial_marks(network, x, norms, radii)
    return RayMesh(dim, radii, marks, Ends(), _RUNGS[dim])


def _radial_marks(network: Network, x: Points, norms: Radii, radii: Radii) -> Radii:
    """Radii of the inputs, and those at the kernel's length from them and from 0."""
    fixed = np.unique(np.concatenate([[0.0], norms, radii]))
    if len(fixed) == 1:
        fixed = np.array([0.0, 1.0])
    lengths = kernel_lengths(network, x, np.eye(x.shape[1]), fixed[-1])
    found: list[float] = []
    for centre, length in zip(np.append(norms, 0.0), lengths, strict=True):
        # Where the marks are as close as that already, they do.
        gap = np.abs(fixed[fixed != centre] - centre).min()
        if length < gap / 4:
            found += [centre + length, centre - length]
    seeds = np.array(found)
    seeds = seeds[(seeds > 0) & (seeds < fixed[-1])]
    return np.concatenate([fixed[1:], seeds])
